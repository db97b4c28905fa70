//! The life of fractals: what is committed, and how attempts end.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Part, RENDERS, table};
use crate::events::Event;
use crate::fractal::Fractal;

#[derive(Clone, Debug)]
pub struct FarmMetrics {
    accepted: Counter,
    done: Counter,
    failed: Counter,
    retried: Counter,
    deleted: Counter,
    attempts: Counter,
    retries: Counter,
    attempts_failed: Counter,
    given_back: Counter,
    leases_expired: Counter,
    render_seconds: Histogram,
    /// Sum of `render_seconds`, which a histogram does not tell.
    rendered: Counter<f64, AtomicU64>,
    iterations: Counter,
    pixels: Counter,
    image_bytes: Counter,
}

/// Fractals that are done, and that failed.
#[derive(Clone, Copy, Debug)]
pub struct Totals {
    pub done: u64,
    pub failed: u64,
    /// Seconds that all of those done took to render.
    pub rendered: f64,
}

impl Default for FarmMetrics {
    fn default() -> Self {
        FarmMetrics {
            accepted: Counter::default(),
            done: Counter::default(),
            failed: Counter::default(),
            retried: Counter::default(),
            deleted: Counter::default(),
            attempts: Counter::default(),
            retries: Counter::default(),
            attempts_failed: Counter::default(),
            given_back: Counter::default(),
            leases_expired: Counter::default(),
            render_seconds: Histogram::new(RENDERS),
            rendered: Counter::default(),
            iterations: Counter::default(),
            pixels: Counter::default(),
            image_bytes: Counter::default(),
        }
    }
}

impl Part for FarmMetrics {
    fn register(&self, registry: &mut Registry) {
        for (row, counter) in [
            (&table::FRACTALS_ACCEPTED, &self.accepted),
            (&table::FRACTALS_DONE, &self.done),
            (&table::FRACTALS_FAILED, &self.failed),
            (&table::FRACTALS_RETRIED, &self.retried),
            (&table::FRACTALS_DELETED, &self.deleted),
            (&table::ATTEMPTS, &self.attempts),
            (&table::ATTEMPTS_RETRIES, &self.retries),
            (&table::ATTEMPTS_FAILED, &self.attempts_failed),
            (&table::ATTEMPTS_GIVEN_BACK, &self.given_back),
            (&table::LEASES_EXPIRED, &self.leases_expired),
            (&table::ITERATIONS, &self.iterations),
            (&table::PIXELS, &self.pixels),
            (&table::IMAGE_BYTES, &self.image_bytes),
        ] {
            row.register(registry, counter.clone());
        }
        table::RENDER_SECONDS.register(registry, self.render_seconds.clone());
    }
}

impl FarmMetrics {
    /// Takes note of a commit.
    pub fn follow(&self, event: &Event) {
        match event {
            Event::Created(_) => {
                self.accepted.inc();
            }
            Event::Running(fractal) => {
                self.attempts.inc();
                // What was given back, or cut off with its process, does not count as an attempt.
                if fractal.attempts > 1 {
                    self.retries.inc();
                }
            }
            Event::Done(fractal) => self.done(fractal),
            Event::Failed(_) => {
                self.failed.inc();
            }
            Event::Deleted(..) => {
                self.deleted.inc();
            }
            // Why it waits again it does not tell: that is recorded by the calls that follow.
            Event::Queued(_) | Event::Progress(..) => {}
            // Begun elsewhere, and told there; ended elsewhere likewise.
            Event::Adopted(_) | Event::Departed(_) => {}
        }
    }

    fn done(&self, fractal: &Fractal) {
        self.done.inc();
        self.iterations.inc_by(fractal.spec.work());
        self.pixels.inc_by(fractal.spec.pixels());
        if let Some(outcome) = &fractal.outcome {
            self.image_bytes.inc_by(outcome.size);
            self.render_seconds.observe(outcome.duration);
            self.rendered.inc_by(outcome.duration);
        }
    }

    /// What has ended since the start.
    pub fn ended(&self) -> Totals {
        Totals {
            done: self.done.get(),
            failed: self.failed.get(),
            rendered: self.rendered.get(),
        }
    }

    pub fn attempt_failed(&self) {
        self.attempts_failed.inc();
    }

    pub fn given_back(&self) {
        self.given_back.inc();
    }

    pub fn lease_expired(&self) {
        self.leases_expired.inc();
    }

    pub fn retried(&self) {
        self.retried.inc();
    }
}
