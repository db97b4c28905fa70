//! Real database servers, each in a temporary folder at a free port of loopback, durable as by
//! default.
//!
//! A server belongs to the process of the test: a shell waits for that to end, however it does, and
//! then ends the server and removes its folder.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, PgConnection};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    MariaDb,
}

pub const PASSWORD: &str = "hush-hush";

/// MariaDB reserves addresses for terabytes, which small machines lack.
const BOUNDED: &str = "--loose-innodb-buffer-pool-size-max=1G";

/// A server of its own for one test.
pub struct DbServer {
    pub kind: Kind,
    pub port: u16,
    folder: PathBuf,
    options: Vec<String>,
    shell: Option<Child>,
    /// The server itself, inside the shell.
    pid: u32,
}

/// Those that all tests of a process share.
static SHARED: LazyLock<Mutex<Vec<DbServer>>> = LazyLock::new(Mutex::default);

/// A new, empty database on a server shared with other tests, as a URL.
pub async fn new_database(kind: Kind) -> String {
    let url = tokio::task::spawn_blocking(move || {
        let mut shared = SHARED.lock().unwrap();
        if !shared.iter().any(|server| server.kind == kind) {
            shared.push(DbServer::start(kind, &[]));
        }
        let server = shared.iter().find(|server| server.kind == kind).unwrap();
        let name = format!("f{}", uuid::Uuid::new_v4().simple());
        (server.url(&name), server.admin_url(), name)
    });
    let (url, admin, name) = url.await.unwrap();
    execute(kind, &admin, &format!("CREATE DATABASE {name}")).await;
    url
}

/// The server that the environment wants all tests to use.
pub fn asked_for() -> Option<Kind> {
    match std::env::var("FAAFO_TEST_DATABASE").ok()?.as_str() {
        "postgres" => Some(Kind::Postgres),
        "mariadb" => Some(Kind::MariaDb),
        other => panic!("FAAFO_TEST_DATABASE is {other}"),
    }
}

/// A file with the URL of the database that belongs to a data folder, new if there is none yet.
pub fn of_folder(kind: Kind, data: &Path) -> PathBuf {
    let file = data.join("database-url");
    if !file.exists() {
        let made = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(new_database(kind))
        });
        std::fs::create_dir_all(data).unwrap();
        std::fs::write(&file, made.join().unwrap()).unwrap();
    }
    file
}

/// Runs a statement with the rights to do anything.
pub async fn execute(kind: Kind, admin_url: &str, sql: &str) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    match kind {
        Kind::Postgres => {
            let mut conn = PgConnection::connect(admin_url).await.unwrap();
            conn.execute(sql).await.unwrap();
        }
        Kind::MariaDb => {
            let mut conn = MySqlConnection::connect(admin_url).await.unwrap();
            conn.execute(sql).await.unwrap();
        }
    }
}

/// Who the servers run as: they refuse root.
fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"])
        .arg(program);
    command
}

/// Makes these files of a folder the servers' own, as secret keys have to be.
pub fn give_to_servers(folder: &Path, secret: &[&str]) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    for name in secret {
        let file = folder.join(name);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let mut chown = Command::new("chown");
        chown.arg("nobody:nogroup").arg(file);
        if is_root() {
            done(chown);
        }
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// A program of a server, which Debian keeps out of the way.
fn program(name: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> = vec!["/usr/sbin".into(), "/usr/bin".into()];
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.map(|version| version.unwrap().path().join("bin")));
    }
    let found = folders.iter().map(|folder| folder.join(name));
    let mut found = found.filter(|path| path.exists());
    let found = found.next_back();
    found.unwrap_or_else(|| panic!("{name} is not installed: tests/run does that"))
}

fn done(mut command: Command) {
    let out = command.current_dir("/").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {said}");
}

impl DbServer {
    /// Makes a server and waits until it answers.
    pub fn start(kind: Kind, options: &[&str]) -> DbServer {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let name = format!("faafo-{kind:?}-{}-{port}", std::process::id()).to_lowercase();
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
        let mut server = DbServer {
            kind,
            port,
            folder,
            options: options.iter().map(|option| option.to_string()).collect(),
            shell: None,
            pid: 0,
        };
        server.install();
        drop(free);
        server.run();
        if kind == Kind::MariaDb {
            let sql = format!(
                "CREATE USER faafo@localhost IDENTIFIED BY '{PASSWORD}'; \
                 GRANT ALL ON *.* TO faafo@localhost WITH GRANT OPTION"
            );
            let mut client = Command::new("mariadb");
            client.args(["--no-defaults", "-u", "root", "-S"]);
            client.arg(server.folder.join("s")).args(["-e", &sql]);
            done(client);
        }
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn install(&self) {
        match self.kind {
            Kind::Postgres => {
                let password = self.folder.join("password");
                std::fs::write(&password, PASSWORD).unwrap();
                let mut init = as_user(&program("initdb"));
                init.args([
                    "-U",
                    "faafo",
                    "-A",
                    "scram-sha-256",
                    "-E",
                    "UTF8",
                    "--locale=C.UTF-8",
                ])
                .arg("--pwfile")
                .arg(password)
                .arg("-D")
                .arg(self.data());
                done(init);
            }
            Kind::MariaDb => {
                let mut init = as_user(&program("mariadb-install-db"));
                init.args(["--no-defaults", "--auth-root-authentication-method=normal"])
                    .args(["--skip-test-db", BOUNDED])
                    .arg(format!("--datadir={}", self.data().display()));
                done(init);
            }
        }
    }

    /// Starts it, also after [`DbServer::kill`].
    pub fn run(&mut self) {
        self.try_run(20);
    }

    fn try_run(&mut self, tries: u32) {
        let (data, folder) = (self.data(), &self.folder);
        let mut server = match self.kind {
            Kind::Postgres => {
                let mut server = as_user(&program("postgres"));
                server.arg("-D").arg(data);
                for setting in [
                    format!("port={}", self.port),
                    "listen_addresses=127.0.0.1".into(),
                    format!("unix_socket_directories={}", folder.display()),
                    "max_connections=200".into(),
                ] {
                    server.args(["-c", &setting]);
                }
                server
            }
            Kind::MariaDb => {
                let mut server = as_user(&program("mariadbd"));
                server
                    .arg("--no-defaults")
                    .arg(format!("--datadir={}", data.display()))
                    .arg(format!("--port={}", self.port))
                    .arg(format!("--socket={}", folder.join("s").display()))
                    .args(["--bind-address=127.0.0.1", "--max-connections=400", BOUNDED]);
                server
            }
        };
        server.args(&self.options);
        let mut words = vec![server.get_program().to_owned()];
        words.extend(server.get_args().map(|arg| arg.to_owned()));
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(
                "dir=$1; shift; \"$@\" </dev/null >>\"$dir/log\" 2>&1 & pid=$!; echo $pid; \
                 read -r keep; kill -INT $pid; kill -TERM $pid; wait $pid; \
                 [ \"$keep\" ] || rm -rf \"$dir\"",
            )
            .arg("sh")
            .arg(folder)
            .args(words)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let begun = Instant::now();
        let mut shell = shell.spawn().unwrap();
        let mut pid = String::new();
        let mut out = BufReader::new(shell.stdout.take().unwrap());
        out.read_line(&mut pid).unwrap();
        self.pid = pid.trim().parse().unwrap();
        self.shell = Some(shell);
        while !self.answers() {
            assert!(begun.elapsed() < super::PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
            if self.has_ended() {
                // What a killed one has left behind may still be about.
                self.end("keep");
                std::thread::sleep(Duration::from_millis(200));
                assert!(tries > 0, "{}", self.log());
                return self.try_run(tries - 1);
            }
        }
    }

    /// The shell above it waits for words and not for its children: one that has ended is still listed.
    fn has_ended(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        stat.map_or(true, |stat| stat.contains(") Z "))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn answers(&self) -> bool {
        let mut ask = match self.kind {
            Kind::Postgres => {
                let mut ask = Command::new(program("pg_isready"));
                ask.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
                ask
            }
            Kind::MariaDb => {
                let mut ask = Command::new("mariadb-admin");
                ask.args(["--no-defaults", "-u", "root", "ping", "-S"]);
                ask.arg(self.folder.join("s"));
                ask
            }
        };
        let ask = ask.stdout(Stdio::null()).stderr(Stdio::null()).status();
        ask.unwrap().success()
    }

    pub fn url(&self, database: &str) -> String {
        let scheme = match self.kind {
            Kind::Postgres => "postgres",
            Kind::MariaDb => "mysql",
        };
        let port = self.port;
        format!("{scheme}://faafo:{PASSWORD}@127.0.0.1:{port}/{database}")
    }

    pub fn admin_url(&self) -> String {
        match self.kind {
            Kind::Postgres => self.url("postgres"),
            Kind::MariaDb => self.url("mysql"),
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid.to_string();
        // It may have ended already.
        let _ = Command::new("kill").args([signal, &pid]).status();
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        self.end("keep");
    }

    /// Stands still, as a machine that is cut off does.
    pub fn freeze(&self) {
        self.signal_all("-STOP");
    }

    pub fn thaw(&self) {
        self.signal_all("-CONT");
    }

    /// PostgreSQL has a process a connection.
    fn signal_all(&self, signal: &str) {
        self.signal(signal);
        let pid = self.pid.to_string();
        // Without such processes it says so, which is fine.
        let _ = Command::new("pkill").args([signal, "-P", &pid]).status();
    }

    fn end(&mut self, keep: &str) {
        use std::io::Write;
        if let Some(mut shell) = self.shell.take() {
            if let Some(mut stdin) = shell.stdin.take() {
                // Its end says the same.
                let _ = writeln!(stdin, "{keep}");
            }
            shell.wait().unwrap();
        }
    }
}

impl Drop for DbServer {
    fn drop(&mut self) {
        self.thaw();
        self.end("");
    }
}
