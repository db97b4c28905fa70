//! What looks after a farm, where its database is a server: doctor and import.

use super::*;

struct Found {
    findings: Vec<Value>,
    code: i32,
}

/// Runs the doctor for a node that is not running.
fn doctor(folder: &Path, url: &str) -> Found {
    let mut command = Command::new(FAAFO);
    command.args(["doctor", "-f", "json", "--bind-port", "0", "--data-dir"]);
    command
        .arg(folder)
        .arg("--database-url-file")
        .arg(secret(folder, url));
    let output = command.output().unwrap();
    let said = text(&output.stdout);
    assert!(!said.contains(PASSWORD), "{said}");
    let findings =
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let code = output.status.code().unwrap();
    Found { findings, code }
}

impl Found {
    fn one(&self, check: &str) -> &Value {
        let found = self.findings.iter().find(|one| one["check"] == check);
        found.unwrap_or_else(|| panic!("{check}: {:#?}", self.findings))
    }

    #[track_caller]
    fn wrong(&self, check: &str, says: &str, mend: &str) {
        let wrong: Vec<_> = self
            .findings
            .iter()
            .filter(|one| one["mark"] == "wrong")
            .collect();
        assert_eq!((wrong.len(), self.code), (1, 1), "{wrong:#?}");
        assert_eq!(wrong[0]["check"], check, "{wrong:#?}");
        let (said, mended) = (&wrong[0]["says"], &wrong[0]["mend"]);
        assert!(said.as_str().unwrap().contains(says), "{said}");
        assert!(mended.as_str().unwrap().contains(mend), "{mended}");
    }
}

#[tokio::test]
async fn the_doctor_knows_databases_that_are_well_gone_or_closed() {
    for kind in BOTH {
        let options: &[&str] = match kind {
            Kind::Postgres => &[],
            Kind::MariaDb => &["--max-allowed-packet=64M"],
        };
        let mut server = DbServer::start(kind, options);
        execute(kind, &server.admin_url(), "CREATE DATABASE farm").await;
        let url = server.url("farm");
        let folder = TempDir::new().unwrap();
        let empty = doctor(&folder.path().join("new"), &url);
        assert_eq!(empty.code, 0, "{:#?}", empty.findings);
        let says = empty.one("database")["says"].as_str().unwrap();
        assert!(says.ends_with("the first start makes its tables"), "{says}");
        let (name, tool) = match kind {
            Kind::Postgres => ("PostgreSQL ", "pg_isready"),
            Kind::MariaDb => ("MariaDB ", "mariadb-admin ping"),
        };
        assert!(says.starts_with(name), "{says}");
        let mut farm = farm(folder.path(), "used", &url, &["all"]);
        let fractal = farm.created().await;
        farm.until(fractal["uuid"].as_str().unwrap(), "done").await;
        assert!(farm.stop().success());
        let used = folder.path().join("used");
        let well = doctor(&used, &url);
        assert_eq!(well.code, 0, "{:#?}", well.findings);
        let says = well.one("database")["says"].as_str().unwrap();
        assert!(says.contains("1 fractals, 1 of them done"), "{says}");
        assert_eq!(well.one("clock")["says"], "within 5s of the database's");

        let closed = doctor(&used, &url.replace(PASSWORD, "another"));
        closed.wrong("database", "", "see to user, password and rights");
        server.kill();
        doctor(&used, &url).wrong("database", "cannot be reached", tool);
    }
}

#[tokio::test]
async fn the_doctor_finds_a_packet_limit_that_is_too_small() {
    let server = DbServer::start(Kind::MariaDb, &["--max-allowed-packet=16M"]);
    execute(Kind::MariaDb, &server.admin_url(), "CREATE DATABASE farm").await;
    let folder = TempDir::new().unwrap();
    let small = doctor(folder.path(), &server.url("farm"));
    small.wrong(
        "packet limit",
        "is 16 MB",
        "SET GLOBAL max_allowed_packet = 67108864",
    );
    let mend = "SET GLOBAL max_allowed_packet = 67108864";
    execute(Kind::MariaDb, &server.admin_url(), mend).await;
    let mended = doctor(folder.path(), &server.url("farm"));
    assert_eq!(mended.code, 0, "{:#?}", mended.findings);
}

#[tokio::test]
async fn an_import_fills_a_shared_database() {
    let old = Farm::all();
    for _ in 0..20 {
        old.created().await;
    }
    let begun = Instant::now();
    while old.counts().await["done"] != 20 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for kind in BOTH {
        let url = new_database(kind).await;
        let folder = TempDir::new().unwrap();
        let new = farm(folder.path(), "a", &url, &["api"]);
        let other = farm(folder.path(), "b", &url, &["all"]);
        let import = || {
            let mut import = Command::new(FAAFO);
            import.args(["import", &old.base, "--endpoint-url", &new.base]);
            let output = import.output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            text(&output.stdout)
        };
        assert!(import().starts_with("20 imported, 0 to be"), "{kind:?}");
        assert!(import().contains(" 20 there already"), "{kind:?}");
        // At the other node, too, and what is created afterwards is rendered as ever.
        let list = old.list(&[("results_per_page", "100")]).await;
        for was in list["objects"].as_array().unwrap() {
            let uuid = was["uuid"].as_str().unwrap();
            let is = other.show(uuid).await;
            assert_eq!(
                (&is["checksum"], &is["status"]),
                (&was["checksum"], &"done".into())
            );
            let image = other.get(&format!("/fractal/{uuid}")).send().await.unwrap();
            let sum = common::sha256(&image.bytes().await.unwrap());
            assert_eq!(is["checksum"], sum.as_str());
        }
        let fractal = new.created().await;
        new.until(fractal["uuid"].as_str().unwrap(), "done").await;
        assert_eq!(new.counts().await["done"], 21);
    }
}
