//! How long a render goes on once it is told to stop. How fast it is meanwhile, `faafo bench` says.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // a benchmark that fails says so

use std::time::{Duration, Instant};

use faafo::fractal::{Constant, FractalSpec, Palette, Plane};
use faafo::render::{Control, render_to_vec};

fn spec(c: (f64, f64), half: f64) -> FractalSpec {
    FractalSpec {
        width: 1024,
        height: 1024,
        iterations: 512,
        plane: Plane {
            xa: -half,
            xb: half,
            ya: -half * 0.75,
            yb: half * 0.75,
        },
        c: Constant { re: c.0, im: c.1 },
        palette: Palette::Classic,
    }
}

fn main() {
    let endless = |width, height| FractalSpec {
        width,
        height,
        iterations: 1_000_000,
        // Within its Siegel disk: points neither escape nor come to rest in a cycle.
        plane: Plane {
            xa: -0.42,
            xb: -0.32,
            ya: -0.39,
            yb: -0.29,
        },
        ..spec((-0.3905408702184, -0.5867879073469687), 0.1)
    };
    let large = |iterations| FractalSpec {
        width: 10_000,
        height: 10_000,
        iterations,
        ..spec((-0.8, 0.156), 2.0)
    };
    for (name, spec) in [
        ("stop 1000x1000x1M", endless(1_000, 1_000)),
        ("stop 20000x50x1M", endless(20_000, 50)),
        ("stop 10000x10000", large(512)),
        ("stop file alone", large(1)),
    ] {
        if is_wanted(name) {
            println!("{name:<18} {:.1} ms, worst of {STOPS}", stops(&spec) * 1e3);
        }
    }
}

fn is_wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1);
    !words.any(|word| !word.starts_with("--") && !name.contains(&word))
}

const STOPS: u32 = 20;

/// Seconds from being told to stop to the renderer's return, at the worst of some moments.
fn stops(spec: &FractalSpec) -> f64 {
    let mut worst: f64 = 0.0;
    for n in 0..STOPS {
        let control = Control::default();
        let told = std::thread::scope(|scope| {
            let render = scope.spawn(|| render_to_vec(spec, &control));
            // Spread over several bands and any part of one; the last still in the shortest picture.
            std::thread::sleep(Duration::from_micros(2_000 + 2_300 * u64::from(n)));
            let told = Instant::now();
            control.cancel.cancel();
            assert!(render.join().unwrap().is_err());
            told
        });
        worst = worst.max(told.elapsed().as_secs_f64());
    }
    worst
}
