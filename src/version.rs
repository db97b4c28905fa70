//! What this binary is: its version, the commit it was built from, and what is in it.

use std::sync::LazyLock;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Of what it was built; builds for development do not ask, or each commit would build all anew.
const COMMIT: &str = env!("FAAFO_COMMIT");

/// For `-V`.
pub fn short() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{VERSION} ({COMMIT})"));
    &TEXT
}

/// For `--version`.
pub fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let lines = built_in().map(|(what, which)| format!("\n  {what:<11}{which}"));
        short().to_owned() + &lines.concat()
    });
    &TEXT
}

fn built_in() -> [(&'static str, String); 7] {
    let linked = if cfg!(target_feature = "crt-static") {
        "static"
    } else {
        "dynamic"
    };
    let kernels = if cfg!(target_arch = "x86_64") {
        "AVX-512, AVX2, portable"
    } else {
        "portable"
    };
    [
        ("roles", "all, api, worker".into()),
        (
            "store",
            format!("SQLite {}, MySQL, PostgreSQL", rusqlite::version()),
        ),
        ("queue", "in process, over HTTP, RabbitMQ".into()),
        ("backup", "tar, zstd".into()),
        ("TLS", "rustls with ring".into()),
        ("renderer", kernels.into()),
        (
            "built",
            format!(
                "{} by {}, {linked}",
                env!("FAAFO_TARGET"),
                env!("FAAFO_RUSTC")
            ),
        ),
    ]
}
