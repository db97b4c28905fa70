//! What is being done, live: a line a node on a terminal, else a line a change, or lines in the log.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

pub struct Board {
    lines: MultiProgress,
    nodes: Mutex<BTreeMap<String, (ProgressBar, String)>>,
    in_log: bool,
}

const SPIN: Duration = Duration::from_millis(200);

impl Default for Board {
    fn default() -> Self {
        Board {
            lines: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            nodes: Mutex::default(),
            in_log: false,
        }
    }
}

impl Board {
    /// One for a program that runs on and on, and has a log.
    pub fn in_log() -> Board {
        Board {
            in_log: true,
            ..Board::default()
        }
    }

    /// Tells of a thing that is done.
    pub fn say(&self, text: &str) {
        match self.lines.is_hidden() {
            _ if self.in_log => tracing::debug!("{text}"),
            true => eprintln!("{text}"),
            // Fails only if the terminal has gone.
            false => drop(self.lines.println(text)),
        }
    }

    /// Tells how far a node is.
    pub fn set(&self, node: &str, step: &str) {
        if self.in_log {
            tracing::info!("{node}: {step}");
            return;
        }
        let Ok(mut nodes) = self.nodes.lock() else {
            return;
        };
        if nodes.get(node).is_some_and(|(_, known)| known == step) {
            return;
        }
        let new = || {
            let style = ProgressStyle::with_template("  {prefix:32} {elapsed:>4}  {wide_msg}");
            let bar = self.lines.add(ProgressBar::new_spinner());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(node.to_owned());
            bar.enable_steady_tick(SPIN);
            (bar, String::new())
        };
        let entry = nodes.entry(node.to_owned()).or_insert_with(new);
        entry.1 = step.to_owned();
        if self.lines.is_hidden() {
            eprintln!("{node}: {step}");
        } else if matches!(step, "ready" | "failed" | "gone") {
            entry.0.finish_with_message(step.to_owned());
        } else {
            entry.0.set_message(step.to_owned());
        }
    }
}
