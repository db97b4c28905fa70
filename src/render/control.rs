//! What others may do to a render under way: stop it, and see how far it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::fractal::FractalSpec;

/// Asks a render to stop. Clones share the request; a render sees it within milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Pixels of one render that have their colour. Clones share the count, which only grows.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    pub fn add(&self, pixels: usize) {
        self.0.fetch_add(pixels as u64, Ordering::Relaxed);
    }

    /// The share of the picture that is there, 0 to 1; 1 only once every pixel is.
    pub fn fraction(&self, spec: &FractalSpec) -> f64 {
        let pixels = u64::from(spec.width) * u64::from(spec.height);
        self.0.load(Ordering::Relaxed) as f64 / pixels as f64
    }
}

/// The handle on one render.
#[derive(Clone, Debug, Default)]
pub struct Control {
    pub cancel: Cancel,
    pub progress: Progress,
}

impl Control {
    /// Of a render that stops with `cancel`, and has not begun.
    pub fn new(cancel: Cancel) -> Control {
        Control {
            cancel,
            progress: Progress::default(),
        }
    }
}
