//! The renderer by itself: Giter/s on one core, by path, beside what the processor can do at most.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // a benchmark that fails says so

use std::time::Instant;

use faafo::fractal::{Constant, FractalSpec, Plane};
use faafo::render::{Cancel, Path, steps_of};

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
            if std::env::args()
                .skip(1)
                .any(|word| !word.starts_with("--") && !name.contains(&word))
            {
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
}
