//! A command on a terminal of its own, at which somebody sits and answers.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::common::text;
use crate::lab::{BINARY, Lab, lab, names};

struct Terminal {
    script: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    /// All that was shown.
    shown: String,
    /// So much of it was waited for already.
    known: usize,
}

/// As the terminal sends it.
const CTRL_C: &str = "\x03";

impl Terminal {
    fn run(lab: &Lab, words: &str) -> Terminal {
        let command = format!("exec {} provision {words}", BINARY.display());
        let mut script = Command::new("script")
            .args(["-qefc", &command, "/dev/null"])
            .env("HOME", lab.home.path())
            .env("TERM", "xterm")
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Terminal {
            keys: script.stdin.take().unwrap(),
            screen: script.stdout.take().unwrap(),
            script,
            shown: String::new(),
            known: 0,
        }
    }

    /// Waits until this is shown.
    fn until(&mut self, what: &str) {
        let mut bytes = [0; 4096];
        loop {
            if let Some(place) = self.shown[self.known..].find(what) {
                self.known += place + what.len();
                return;
            }
            let count = self.screen.read(&mut bytes).unwrap();
            assert!(count > 0, "{what:?} is never shown: {}", self.shown);
            self.shown.push_str(&text(&bytes[..count]));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// All that was shown by its end, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).unwrap();
        let code = self.script.wait().unwrap().code();
        (std::mem::take(&mut self.shown) + &text(&rest), code)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already; what runs there ends with it.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// Interrupts an `up` once something is made, until it asks what is to become of that.
fn interrupted(lab: &Lab) -> Terminal {
    let words = "up --name t25 --image tiny --flavor m1.nano --no-wait";
    let mut up = Terminal::run(lab, words);
    up.until("this binary is in the object store");
    up.press(CTRL_C);
    up.until("Keep what was made so far, or undo it? [keep/undo]");
    up
}

#[tokio::test]
async fn questions_can_be_answered_or_interrupted() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    let mut up = interrupted(&lab);
    up.press(CTRL_C);
    let (shown, code) = up.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("with the same words goes on"), "{shown}");
    let is_there = |lab: &mut Lab| {
        let containers = names(&lab.snapshot(), "containers");
        containers.contains(&"faafo-t25".to_owned())
    };
    assert!(is_there(&mut lab));

    let question = "Delete all of this? [yes/no]";
    let mut down = Terminal::run(&lab, "down --name t25");
    down.until(question);
    down.press(CTRL_C);
    let (shown, code) = down.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(is_there(&mut lab), "{shown}");
    let mut down = Terminal::run(&lab, "down --name t25");
    down.until(question);
    down.press("yes\n");
    let (shown, code) = down.end();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(lab.snapshot(), before);

    let mut up = interrupted(&lab);
    up.press("undo\n");
    let (shown, code) = up.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("all of it is gone"), "{shown}");
    assert_eq!(lab.snapshot(), before);
}
