//! The page is part of the binary: build it anew when a file of it changes, comes or goes.
//! And the binary says of which commit it is.

use std::env::var;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=static");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FAAFO_COMMIT");
    println!("cargo::rustc-env=FAAFO_COMMIT={}", commit());
    let of = |variable| var(variable).unwrap_or_default();
    println!("cargo::rustc-env=FAAFO_TARGET={}", of("TARGET"));
    let rustc = output(Command::new(of("RUSTC")).arg("--version")).unwrap_or_default();
    // Without what stands in brackets, which is the compiler's own commit.
    let rustc = rustc.split(" (").next().unwrap_or_default();
    println!("cargo::rustc-env=FAAFO_RUSTC={rustc}");
}

/// What makes the binary, and may differ from the commit.
const SOURCES: [&str; 5] = ["src", "static", "Cargo.toml", "Cargo.lock", ".cargo"];

/// Given by who builds from an archive, else asked of git. Builds for development do not ask: they
/// would be built anew with each commit.
fn commit() -> String {
    if let Ok(given) = var("FAAFO_COMMIT")
        && !given.is_empty()
    {
        return given;
    }
    if var("PROFILE").as_deref() != Ok("release") {
        return "development".into();
    }
    asked_of_git().unwrap_or_else(|| "no commit known".into())
}

fn asked_of_git() -> Option<String> {
    // An archive may lie somewhere within the repository of something else.
    if !Path::new(".git").exists() {
        return None;
    }
    let git = |args: &[&str]| output(Command::new("git").args(args));
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    for moves in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", moves])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let mut status = vec!["status", "--porcelain", "--untracked-files=no", "--"];
    status.extend(SOURCES);
    let changed = git(&status)?;
    Some(match changed.is_empty() {
        true => commit,
        false => commit + ", changed",
    })
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
