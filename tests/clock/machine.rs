//! A machine whose clock may be set: Linux as a program (Debian's user-mode-linux). It has this
//! machine's files, which it cannot change, a network of its own, and a folder in its memory.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

/// It is given up after so long.
const SECONDS: &str = "1200";

fn is_here() -> bool {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    about.contains("User Mode Linux")
}

/// Boots such a machine, in which the test that calls this, `test` by name, runs alone. Whether this
/// is that machine already.
pub fn enter(test: &str) -> bool {
    if is_here() {
        return true;
    }
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: Linux runs as a program on x86-64 only");
        return false;
    }
    let folder = TempDir::new().unwrap();
    let room = folder.path().join("room");
    std::fs::create_dir(&room).unwrap();
    // Databases share memory there, which its kernel's own /dev lacks, and reserve more than there is.
    let script = format!(
        "#!/bin/sh\n\
         export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME={room} TMPDIR={room}\n\
         mount -t proc none /proc && mount -t tmpfs none {room} && ip link set lo up\n\
         echo 1 >/proc/sys/vm/overcommit_memory\n\
         mkdir -p -m 1777 /dev/shm && mount -t tmpfs none /dev/shm\n\
         cd {package}\n\
         {program} --exact {test} --nocapture\n\
         echo \"the test ended with $?\"\n\
         echo o >/proc/sysrq-trigger; sleep 60\n",
        room = room.display(),
        package = env!("CARGO_MANIFEST_DIR"),
        program = std::env::current_exe().unwrap().display(),
    );
    let init = folder.path().join("init");
    std::fs::write(&init, script).unwrap();
    for (path, mode) in [(folder.path(), 0o755), (&*init, 0o755)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let machine = Command::new("timeout")
        .args(["--kill-after=5", SECONDS, "linux.uml", "mem=1G", "quiet"])
        .args(["rootfstype=hostfs", "rootflags=/", "ro"])
        .args(["con=null", "con0=null,fd:1"])
        .arg(format!("init={}", init.display()))
        .env("HOME", folder.path())
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut machine = machine.unwrap();
    let mut ended = None;
    for line in BufReader::new(machine.stdout.take().unwrap()).split(b'\n') {
        let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
        println!("{}", line.trim_end());
        if let Some(code) = line.trim_end().strip_prefix("the test ended with ") {
            ended = Some(code.to_owned());
        }
    }
    machine.wait().unwrap();
    assert_eq!(ended.as_deref(), Some("0"), "is user-mode-linux installed?");
    false
}

/// Sets the machine's clock: by so many seconds to the future, or to the past.
pub fn jump(seconds: i64) {
    assert!(
        is_here(),
        "no test changes the clock of the machine it runs on"
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let then = now.as_secs().cast_signed() + seconds;
    let mut set = Command::new("date");
    set.args(["-s", &format!("@{then}")]).stdout(Stdio::null());
    assert!(set.status().unwrap().success());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(Duration::from_secs(then.cast_unsigned()).abs_diff(now) < Duration::from_secs(5));
}
