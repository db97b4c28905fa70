//! The renderer by itself: Giter/s on one core, by path, beside what the processor can do at most; and
//! on all cores, how long it goes on once it is told to stop.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // a benchmark that fails says so

use std::time::{Duration, Instant};

use faafo::fractal::{Constant, FractalSpec, Plane};
use faafo::render::{Cancel, Control, Path, render_to_vec, steps_of};

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
    }
}

fn main() {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    for path in Path::available() {
        let limit = (0..5).map(|_| path.limit(20_000_000)).fold(0.0, f64::max);
        println!("{path:<9} limit {limit:.2} Giter/s");
        let interior = FractalSpec {
            plane: Plane {
                xa: -0.2,
                xb: 0.2,
                ya: -0.2,
                yb: 0.2,
            },
            ..spec((-0.1, 0.1), 0.2)
        };
        for (name, spec) in [
            ("c=-0.8+0.156i", spec((-0.8, 0.156), 2.0)),
            ("c=-0.1+0.65i", spec((-0.1, 0.65), 2.0)),
            ("interior", interior),
        ] {
            if !is_wanted(name) {
                continue;
            }
            let mut times = Vec::new();
            let mut iterations = 0;
            for _ in 0..7 {
                let begun = Instant::now();
                let steps = pool
                    .install(|| steps_of(path, &spec, &Cancel::default()))
                    .unwrap();
                times.push(begun.elapsed().as_secs_f64());
                iterations = steps;
            }
            times.sort_by(f64::total_cmp);
            let rate = iterations as f64 / times[3] / 1e9;
            println!(
                "  {name:<14} {:7.2} ms  {:6.1} Miter  {rate:5.2} Giter/s  {:3.0}%",
                times[3] * 1e3,
                iterations as f64 / 1e6,
                rate / limit * 100.0
            );
        }
    }
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
