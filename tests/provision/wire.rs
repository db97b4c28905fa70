//! The way to the cloud: encrypted, by a cloud that has too much to do, and with answers that are lost.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::Url;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::SMALL;
use crate::common::text;
use crate::heat::{WHERE, artifact};
use crate::lab::{Lab, lab, names};
use crate::proxy::{self, Fault, Proxy};

/// HTTPS for localhost before a service, as signed by an authority of our own, whose certificate is
/// written to `ca`. Its address.
async fn encrypted(service: &Url, ca: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(ca, params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let chain = vec![params.signed_by(&key, &issuer).unwrap().der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = format!(
        "{}:{}",
        service.host_str().unwrap(),
        service.port_or_known_default().unwrap()
    );
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (acceptor, to) = (acceptor.clone(), to.clone());
            tokio::spawn(async move {
                // Who does not trust it goes away.
                let Ok(mut near) = acceptor.accept(near).await else {
                    return;
                };
                let mut far = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    format!("https://localhost:{port}{}", service.path())
}

/// Runs a command on a cloud that is this one, changed.
fn on(lab: &mut Lab, changes: &Value, words: &str) -> Output {
    let file = lab.changed_cloud(changes.clone());
    let mut command = lab.command(words);
    command
        .env("OS_CLIENT_CONFIG_FILE", file)
        .env("OS_CLOUD", "changed");
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn https_by_an_authority_of_ones_own() {
    let Some(mut lab) = lab().await else { return };
    let access = lab.ask("access", json!({}));
    let url = |value: &Value| value.as_str().unwrap().parse::<Url>().unwrap();
    let (ca, other) = (
        lab.home.path().join("ca.pem"),
        lab.home.path().join("other.pem"),
    );
    let identity = encrypted(&url(&access["auth"]["auth_url"]), &ca).await;
    let compute = encrypted(&url(&access["endpoints"]["compute"]), &other).await;
    // A file may hold several.
    let both = lab.home.path().join("both.pem");
    let [one, two] = [&ca, &other].map(|file| std::fs::read_to_string(file).unwrap());
    std::fs::write(&both, one + &two).unwrap();
    let mut auth = access["auth"].clone();
    auth["auth_url"] = json!(identity);
    let with = |more: Value| {
        let mut cloud = json!({"auth": auth, "compute_endpoint_override": compute});
        for (name, value) in more.as_object().unwrap() {
            cloud[name] = value.clone();
        }
        cloud
    };

    let trusted = on(&mut lab, &with(json!({"cacert": both})), "list -f json");
    assert_eq!(text(&trusted.stdout), "[]\n", "{trusted:?}");
    assert!(trusted.stderr.is_empty(), "{trusted:?}");
    for (changes, why) in [
        (
            json!({}),
            "identity service does not answer POST /auth/tokens",
        ),
        (
            json!({"cacert": other}),
            "name its certificate as cacert in clouds.yaml",
        ),
        (
            json!({"cacert": ca}),
            "compute service does not answer GET /servers/detail",
        ),
        (
            json!({"cacert": "/nonexistent/ca.pem"}),
            "cannot read the authorities /nonexistent/ca.pem",
        ),
    ] {
        let refused = on(&mut lab, &with(changes), "list");
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(text(&refused.stderr).contains(why), "{refused:?}");
    }
    let blind = on(&mut lab, &with(json!({"verify": false})), "list -f json");
    assert_eq!(text(&blind.stdout), "[]\n", "{blind:?}");
    let warning = "not to verify certificates: whoever sits on the way can read your password";
    assert!(text(&blind.stderr).contains(warning), "{blind:?}");

    // The same by an openrc file's variables.
    let mut command = lab.command("list -f json");
    command
        .env_clear()
        .env("HOME", lab.home.path())
        .env("OS_CACERT", &ca);
    for (name, value) in auth.as_object().unwrap() {
        command.env(
            format!("OS_{}", name.to_uppercase()),
            value.as_str().unwrap(),
        );
    }
    let output = command.output().unwrap();
    assert_eq!(text(&output.stdout), "[]\n", "{output:?}");
}

/// A service of the lab, behind what goes wrong.
async fn behind(lab: &mut Lab, service: &str, fault: Fault) -> Proxy {
    let access = lab.ask("access", json!({}));
    let url = access["endpoints"][service].as_str().unwrap();
    let bare = url.trim_end_matches('/').trim_end_matches("/v2.1");
    proxy::start(bare.to_owned(), fault).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_has_too_much_to_do_or_breaks_off() {
    let Some(mut lab) = lab().await else { return };
    let busy = Duration::from_secs(6);
    let proxy = behind(&mut lab, "network", Fault::Busy(busy, "7")).await;
    let changes = json!({"network_endpoint_override": proxy.url});
    let output = on(&mut lab, &changes, "list -f json");
    assert_eq!(text(&output.stdout), "[]\n", "{output:?}");
    assert_eq!(
        proxy.spoiled.load(Ordering::SeqCst),
        1,
        "it is asked again no sooner than it says"
    );

    // Nobody waits for an hour.
    let hour = Duration::from_secs(3600);
    let proxy = behind(&mut lab, "network", Fault::Busy(hour, "3600")).await;
    let changes = json!({"network_endpoint_override": proxy.url});
    let output = on(&mut lab, &changes, "list");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let why = "network service answers GET /networks with 429";
    assert!(text(&output.stderr).contains(why), "{output:?}");
    assert_eq!(proxy.spoiled.load(Ordering::SeqCst), 1);

    let proxy = behind(&mut lab, "network", Fault::Cut(3)).await;
    let changes = json!({"network_endpoint_override": proxy.url});
    let output = on(&mut lab, &changes, "list -f json");
    assert_eq!(text(&output.stdout), "[]\n", "{output:?}");
    assert_eq!(proxy.spoiled.load(Ordering::SeqCst), 3);
}

/// What is asked for is made, and the answer lost: it is looked for, and nothing is made twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_though_its_answer_is_lost_is_not_made_twice() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    let network = Fault::Lost(&[
        "/networks",
        "/ports",
        "/add_router_interface",
        "/floatingips",
    ]);
    let network = behind(&mut lab, "network", network).await;
    let compute = behind(&mut lab, "compute", Fault::Lost(&["/servers"])).await;
    let heat = behind(&mut lab, "orchestration", Fault::Lost(&["/stacks"])).await;
    let changes = json!({
        "network_endpoint_override": network.url,
        "compute_endpoint_override": compute.url,
        "orchestration_endpoint_override": heat.url,
    });
    let words = format!("up --name t18 --topology split --workers 1 {SMALL}");
    let output = on(&mut lab, &changes, &words);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{output:?}");
    for lost in ["/networks", "/ports", "/floatingips", "/servers"] {
        let line = format!("service to POST {lost} was lost: ");
        assert!(said.contains(&line), "{lost}: {said}");
    }
    assert!(!said.contains("are there already"), "{said}");
    assert_eq!(network.spoiled.load(Ordering::SeqCst), 4);
    assert_eq!(compute.spoiled.load(Ordering::SeqCst), 1);
    let up = lab.snapshot();
    let nodes = ["faafo-t18-api", "faafo-t18-worker-1"];
    assert_eq!(names(&up, "servers"), nodes);
    assert_eq!(names(&up, "ports"), nodes);
    let once = json!({"names": [], "addresses": 1});
    assert_eq!(lab.ask("doubled", json!({})), once);
    let joined = &up["routers"]["faafo-t18"]["joined"];
    assert_eq!(*joined, json!([up["subnets"]["faafo-t18"]["id"]]));
    lab.done(&format!("up --name t18 {SMALL}"));
    assert_eq!(lab.snapshot(), up, "there is nothing left to do");
    lab.done("down --name t18 --yes");

    let words = format!(
        "heat --name t18 --topology all-in-one --create --no-wait {WHERE} {}",
        artifact()
    );
    let output = on(&mut lab, &changes, &words);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(heat.spoiled.load(Ordering::SeqCst), 1);
    assert_eq!(names(&lab.snapshot(), "stacks"), ["faafo-t18"]);
    lab.done("down --name t18 --yes");
    assert_eq!(lab.snapshot(), before);
}
