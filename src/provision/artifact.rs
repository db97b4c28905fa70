//! How the binary gets to the nodes: this executable goes to the cloud's object store, from where
//! cloud-init fetches it by an address that is good for some hours, and checks its SHA-256.

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{Method, StatusCode, Url};
use ring::hmac;

use super::cloud::{Cloud, Service};
use super::{Name, Result, container, failed};
use crate::digest::{checksum, hexadecimal};

/// A binary that somebody else has put somewhere.
#[derive(Clone, Debug)]
pub struct Given {
    pub url: Url,
    /// In hexadecimal.
    pub sha256: String,
}

pub const NO_STORE: &str = "this cloud has no object store from which its instances could fetch faafo: put \
                            the binary at an address that they reach, and name it with --artifact and \
                            --artifact-sha256";

/// Hours for which nodes may fetch it.
pub const FOR_NOW: i64 = 6;

/// This very executable, and its SHA-256.
pub fn own() -> Result<(Bytes, String)> {
    match std::env::current_exe().and_then(std::fs::read) {
        Ok(binary) => {
            let sha256 = checksum(&binary);
            Ok((Bytes::from(binary), sha256))
        }
        Err(error) => failed(format!("cannot read this executable: {error}")),
    }
}

/// Puts this executable where the nodes find it, for as many hours.
pub async fn publish(cloud: &Cloud, name: &Name, hours: i64) -> Result<Given> {
    let (binary, sha256) = own()?;
    let key = container::ensure(cloud, name).await?;
    let path = format!("/{}/faafo-{}", name.prefix(), &sha256[..16]);
    let there = cloud
        .call(Service::ObjectStore, Method::HEAD, &path)
        .send()
        .await;
    let complete = there.is_ok_and(|there| {
        there.header("x-object-meta-sha256").as_deref() == Some(&sha256)
            && there.header("content-length") == Some(binary.len().to_string())
    });
    if !complete {
        let put = cloud
            .call(Service::ObjectStore, Method::PUT, &path)
            .bytes(binary);
        let put = put.header("content-type", "application/octet-stream");
        put.header("x-object-meta-sha256", &sha256).send().await?;
    }
    let base = cloud.base(Service::ObjectStore).await?;
    let expires = Timestamp::now().as_second() + hours * 3600;
    // Old stores know SHA-1 only, new ones may have forgotten it.
    for digest in [hmac::HMAC_SHA256, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY] {
        let url = temp_url(&base, &path, &key, digest, expires);
        if cloud.is_open(&url).await? {
            return Ok(Given { url, sha256 });
        }
    }
    failed(
        "the cloud's object store lets nobody fetch by a TempURL, which an instance would have to: \
         put the binary at an address that instances reach, and name it with --artifact and \
         --artifact-sha256",
    )
}

/// An address that lets whoever has it fetch this one object until `expires`.
fn temp_url(base: &Url, path: &str, key: &str, digest: hmac::Algorithm, expires: i64) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    let text = format!("GET\n{expires}\n{}", url.path());
    let signature = hmac::sign(&hmac::Key::new(digest, key.as_bytes()), text.as_bytes());
    url.query_pairs_mut()
        .append_pair("temp_url_sig", &hexadecimal(signature.as_ref()))
        .append_pair("temp_url_expires", &expires.to_string());
    url
}

impl Cloud {
    /// Whether an address opens without a token.
    async fn is_open(&self, url: &Url) -> Result<bool> {
        match self.look(url).await? {
            status if status.is_success() => Ok(true),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(false),
            status => failed(format!(
                "the cloud's object store answers a TempURL with {status}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_signed_as_swift_reckons() {
        let base = "https://swift-cluster.example.com/v1/AUTH_account"
            .parse()
            .unwrap();
        let digest = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
        let url = temp_url(&base, "/container/object", "mykey", digest, 1_323_479_485);
        let text = "GET\n1323479485\n/v1/AUTH_account/container/object";
        let expected = hmac::sign(&hmac::Key::new(digest, b"mykey"), text.as_bytes());
        let expected = hexadecimal(expected.as_ref());
        assert_eq!(
            url.as_str(),
            format!(
                "https://swift-cluster.example.com/v1/AUTH_account/container/object?temp_url_sig=\
                 {expected}&temp_url_expires=1323479485"
            )
        );
    }
}
