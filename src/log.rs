//! The log on standard error: for people, for programs, or for systemd's journal.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use clap::ValueEnum;
use serde::Deserialize;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
    /// Lines that begin with their priority, as systemd's journal takes them.
    Journal,
}

impl Default for LogFormat {
    fn default() -> Self {
        match goes_to_journal() {
            true => LogFormat::Journal,
            false => LogFormat::Text,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}

static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Starts the log of this process; `colours` is whether people see it on a terminal that has them.
pub fn start(level: LogLevel, format: LogFormat, colours: bool) {
    let (filter, handle) = reload::Layer::new(targets(level));
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        LogFormat::Text => lines.with_target(false).with_ansi(colours).boxed(),
        LogFormat::Journal => lines
            .with_writer(Journal)
            .with_target(false)
            .with_ansi(false)
            // The journal has both by itself.
            .with_level(false)
            .without_time()
            .boxed(),
    };
    // Fails only if there is a log already, as in tests.
    let started = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    if started.is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Logs more or less from now on.
pub fn set_level(level: LogLevel) {
    if let Some(handle) = FILTER.get() {
        // Fails only once the log is gone.
        let _ = handle.reload(targets(level));
    }
}

fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // Libraries speak up only when something is wrong.
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        // Whatever breaks there is told by the one that mends it.
        .with_target("lapin", LevelFilter::OFF)
        .with_target("faafo", level)
}

/// Whether standard error is a stream to systemd's journal, which says of which file it is.
pub fn goes_to_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let stream = io::stderr().as_fd().try_clone_to_owned();
    let found = stream.and_then(|stream| File::from(stream).metadata());
    found.is_ok_and(|found| named == format!("{}:{}", found.dev(), found.ino()))
}

/// Lines that begin with `<6>` or so, by which the journal knows what is how important.
struct Journal;

struct Lines {
    priority: u8,
}

impl<'a> MakeWriter<'a> for Journal {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        Lines { priority: 6 }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Lines {
        // Those of syslog: error, warning, info, debug.
        let priority = match *event.level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        Lines { priority }
    }
}

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut lines = Vec::with_capacity(text.len() + 4);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            write!(lines, "<{}>", self.priority)?;
            lines.extend_from_slice(line);
        }
        io::stderr().lock().write_all(&lines)?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
