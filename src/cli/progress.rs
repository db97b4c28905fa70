//! Progress bars: on standard error, and only where that is a terminal.

use std::convert::Infallible;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::fractal::FractalSpec;
use crate::render::Progress;

/// A bar over `steps`, which is cleared when it is finished, or dropped in the middle.
pub fn bar(steps: u64, template: &str, message: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(steps)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_finish(ProgressFinish::AndClear)
        .with_message(message)
}

/// Steps of a bar for one picture.
pub const PICTURE: u64 = 10_000;

/// How many of a picture's steps are done at such a fraction of it.
pub fn steps(fraction: f64) -> u64 {
    (fraction * PICTURE as f64) as u64
}

/// A render that ends sooner than this shows no bar.
const SHORT: Duration = Duration::from_millis(500);

const REDRAW: Duration = Duration::from_millis(100);

/// Shows how far a render is, until dropped.
pub async fn show(progress: Progress, spec: FractalSpec) -> Infallible {
    let bar = bar(PICTURE, "{msg} {wide_bar} {percent}% {eta}", "rendering");
    // From the start, or the time left would be reckoned from what came at once.
    bar.set_draw_target(ProgressDrawTarget::hidden());
    loop {
        tokio::time::sleep(REDRAW).await;
        bar.set_position(steps(progress.fraction(&spec)));
        if bar.is_hidden() && bar.elapsed() >= SHORT {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

/// Cells of a [`gauge`].
const CELLS: usize = 10;

/// A fraction as text of always the same width.
pub fn gauge(fraction: f64) -> String {
    let full = (fraction * CELLS as f64) as usize;
    let (full, empty) = ("█".repeat(full), "░".repeat(CELLS.saturating_sub(full)));
    format!("{full}{empty} {:>3}", percent(fraction))
}

/// In whole percent, rounded down: 100 % is only what is complete.
pub fn percent(fraction: f64) -> String {
    format!("{}%", (fraction * 100.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_full_only_at_the_end() {
        assert_eq!(gauge(0.0), "░░░░░░░░░░  0%");
        assert_eq!(gauge(0.5), "█████░░░░░ 50%");
        assert_eq!(gauge(0.9999), "█████████░ 99%");
        assert_eq!(gauge(1.0), "██████████ 100%");
    }
}
