use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::grid::Grid;
use super::palette::Shades;
use super::*;
use crate::fractal::{Constant, Palette, Plane};

#[derive(serde::Deserialize)]
struct Golden {
    sets: Vec<GoldenSet>,
}

/// One picture of the original's worker: what was asked, and the SHA-256 of its RGB pixels.
#[derive(serde::Deserialize)]
struct GoldenSet {
    name: String,
    width: u32,
    height: u32,
    iterations: u32,
    xa: f64,
    xb: f64,
    ya: f64,
    yb: f64,
    c_re: f64,
    c_im: f64,
    raw_rgb_sha256: String,
}

impl GoldenSet {
    fn spec(&self) -> FractalSpec {
        FractalSpec {
            width: self.width,
            height: self.height,
            iterations: self.iterations,
            plane: Plane {
                xa: self.xa,
                xb: self.xb,
                ya: self.ya,
                yb: self.yb,
            },
            c: Constant {
                re: self.c_re,
                im: self.c_im,
            },
            palette: Palette::Classic,
        }
    }
}

fn spec(width: u32, height: u32, iterations: u32) -> FractalSpec {
    FractalSpec {
        width,
        height,
        iterations,
        plane: Plane {
            xa: -2.0,
            xb: 2.0,
            ya: -1.5,
            yb: 1.5,
        },
        c: Constant {
            re: -0.8,
            im: 0.156,
        },
        palette: Palette::Classic,
    }
}

fn png_of(spec: &FractalSpec) -> Vec<u8> {
    render_to_vec(spec, &Control::default()).unwrap()
}

fn rgb_of(png: &[u8]) -> image::RgbImage {
    image::load_from_memory(png).unwrap().into_rgb8()
}

#[test]
fn pixels_equal_the_originals() {
    let golden: Golden = serde_json::from_str(include_str!("golden.json")).unwrap();
    assert!(golden.sets.len() >= 10);
    for set in golden.sets {
        let rgb = rgb_of(&png_of(&set.spec()));
        assert_eq!(rgb.dimensions(), (set.width, set.height), "{}", set.name);
        let digest = Sha256::digest(rgb.as_raw());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, set.raw_rgb_sha256, "{}", set.name);
    }
}

/// What every fast path is held against: the definition, pixel by pixel.
fn indices_by_definition(spec: &FractalSpec) -> Vec<u8> {
    let grid = Grid::new(spec);
    let shades = Shades::new(spec.palette, spec.iterations);
    let index = |r, q| match &shades {
        None => classic::index(escape::step(r, q, spec.c, spec.iterations)),
        Some(shades) => escape::passage(r, q, spec.c, spec.iterations)
            .map_or(Shades::INSIDE, |(step, distance)| {
                shades.shade(step, distance)
            }),
    };
    let rows = (0..spec.height).map(|y| grid.row(y));
    rows.flat_map(|q| grid.columns().iter().map(move |r| (*r, q)))
        .map(|(r, q)| index(r, q))
        .collect()
}

const NO_SHORTCUTS: Shortcuts = Shortcuts {
    symmetry: false,
    cycles: false,
};

/// The path that is forced, or else every one that this processor can go.
fn paths() -> Vec<Path> {
    match std::env::var_os("FAAFO_SIMD") {
        Some(_) => vec![Path::chosen()],
        None => Path::available(),
    }
}

/// Holds those paths, with shortcuts and without, against the definition.
fn check(spec: &FractalSpec) {
    let paths = paths();
    for palette in [Palette::Classic, Palette::Viridis] {
        let spec = FractalSpec { palette, ..*spec };
        let expected = indices_by_definition(&spec);
        for &path in &paths {
            for shortcuts in [Shortcuts::default(), NO_SHORTCUTS] {
                let mut found = vec![0xff; expected.len()];
                indices(&spec, path, shortcuts, &mut found).unwrap();
                assert_eq!(found, expected, "{path} {shortcuts:?} {spec:?}");
            }
        }
    }
}

#[test]
fn the_path_taken_is_the_one_forced_or_the_best() {
    let wanted = match std::env::var("FAAFO_SIMD") {
        Ok(name) => name.parse().unwrap(),
        Err(_) => *Path::available().last().unwrap(),
    };
    assert_eq!(Path::chosen(), wanted);
}

#[test]
fn all_paths_agree_with_the_definition_on_random_pictures() {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for _ in 0..400 {
        let scale = 10f64.powi(-random.random_range(0..14));
        let mut near = |most: f64| (random.random::<f64>() - 0.5) * most;
        let (x, y) = (near(3.0), near(3.0));
        let spec = FractalSpec {
            plane: Plane {
                xa: x + near(4.0) * scale,
                xb: x + near(4.0) * scale,
                ya: y + near(4.0) * scale,
                yb: y + near(4.0) * scale,
            },
            c: Constant {
                re: near(3.0),
                im: near(2.0),
            },
            width: random.random_range(1..70),
            height: random.random_range(1..40),
            iterations: random.random_range(1..300),
            palette: Palette::Classic,
        };
        check(&spec);
    }
}

/// Where the pixels have their opposites, and where points inside go round in cycles of many lengths.
#[test]
fn shortcuts_change_nothing() {
    check_shortcuts(11, [50, 700], &[2, 3, 5, 9, 17, 33, 65]);
}

#[test]
fn shortcuts_change_nothing_where_points_are_followed_for_long() {
    check_shortcuts(12, [2_000, 6_000], &[33, 65, 129]);
}

fn check_shortcuts(seed: u64, iterations: [u32; 2], sizes: &[u32]) {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut symmetric = 0;
    for i in 0..60 {
        let side = [0.5, 1.0, 2.0][i % 3];
        let spec = FractalSpec {
            plane: Plane {
                xa: -side,
                xb: side,
                ya: side,
                yb: -side,
            },
            c: Constant {
                re: random.random::<f64>() * 1.8 - 1.4,
                im: random.random::<f64>() - 0.5,
            },
            ..spec(
                sizes[random.random_range(0..sizes.len())],
                sizes[random.random_range(0..sizes.len())],
                iterations[i / 3 % 2],
            )
        };
        symmetric += u32::from(Grid::new(&spec).is_symmetric());
        check(&spec);
    }
    assert!(symmetric > 50, "{symmetric}");
}

#[test]
fn all_paths_agree_with_the_definition_at_the_edges() {
    let huge = Plane {
        xa: -1e308,
        xb: 1e308,
        ya: -1e308,
        yb: 1e308,
    };
    let overflows_to_nan = Plane { xb: 0.5, ..huge };
    let on_the_edge = Plane {
        xa: -2.0,
        xb: 2.0,
        ya: 2.0,
        yb: -2.0,
    };
    let point = Plane {
        xa: 0.0,
        xb: 0.0,
        ya: 0.0,
        yb: 0.0,
    };
    for plane in [huge, overflows_to_nan, on_the_edge, point] {
        for (width, height) in [(1, 1), (1, 33), (33, 1), (201, 201)] {
            for iterations in [1, 2, 40] {
                let spec = FractalSpec {
                    plane,
                    ..spec(width, height, iterations)
                };
                check(&spec);
            }
        }
    }
}

#[test]
fn an_axis_of_one_pixel_sits_at_its_first_coordinate() {
    let grid = Grid::new(&spec(1, 1, 10));
    assert_eq!((grid.columns()[0], grid.row(0)), (-2.0, -1.5));
}

/// Held against integers: the squares of multiples of 2^-60, compared with nothing rounded.
fn is_beyond_2_in_integers(r: f64, q: f64) -> bool {
    let scaled = |value: f64| {
        let scaled = value.abs() * (1u64 << 60) as f64;
        assert_eq!(scaled.fract(), 0.0);
        scaled as u128
    };
    scaled(r).pow(2) + scaled(q).pow(2) > (1 << 122) + (1 << 70) + (1 << 16)
}

/// Points a few doubles around the circle are where comparing squares goes wrong, and where C
/// libraries disagree: glibc 2.36 has 2 for the distance of some that are just beyond the tie.
#[test]
fn beyond_2_is_exact_on_the_circle() {
    let (mut differs_from_squares, mut differs_from_hypot) = (0, 0);
    for i in 0..2000 {
        let angle = f64::from(i) * 0.003;
        let (mut r, q) = (2.0 * angle.cos(), 2.0 * angle.sin());
        if r.abs() < 0.004 || q.abs() < 0.004 {
            continue;
        }
        for _ in 0..8 {
            r = r.next_down();
        }
        for _ in 0..16 {
            let beyond = is_beyond_2_in_integers(r, q);
            assert_eq!(escape::is_beyond_2(r, q), beyond, "{r} {q}");
            differs_from_squares += u32::from((r * r + q * q > 4.0) != beyond);
            differs_from_hypot += u32::from((r.hypot(q) > 2.0) != beyond);
            r = r.next_up();
        }
    }
    assert!(differs_from_squares > 1000, "{differs_from_squares}");
    assert!(differs_from_hypot < 100, "{differs_from_hypot}");
    for (r, q, beyond) in [
        (2.0, 0.0, false),
        (2.0f64.next_up(), 0.0, true),
        (-2.0, 1e-8, false),
        (2.0, 1e-200, false),
        (f64::NAN, 0.0, false),
        (f64::NAN, f64::INFINITY, true),
        (1e200, 0.0, true),
    ] {
        assert_eq!(escape::is_beyond_2(r, q), beyond, "{r} {q}");
    }
}

#[test]
fn bytes_do_not_depend_on_the_number_of_threads() {
    for palette in [Palette::Classic, Palette::Viridis] {
        // More than one band, the last one not full.
        let spec = FractalSpec {
            palette,
            ..spec(1500, 1100, 64)
        };
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| png_of(&spec))
        };
        let one = on(1);
        assert_eq!(one, on(3));
        assert_eq!(rgb_of(&one).dimensions(), (1500, 1100));
    }
}

/// Of the decoded pixels: the encoder may change, these may not.
#[test]
fn the_pixels_of_each_palette_never_change() {
    for (palette, digest) in [
        (
            Palette::Classic,
            "f11d44fb34a289010ecf32d8362aaa93599b6ea52dbb4b5f76a767c668516476",
        ),
        (
            Palette::Viridis,
            "c430ba9d67b879589c36a0c546f848bf7cfe61ce51b03feab8a578ea5e3724a5",
        ),
        (
            Palette::Magma,
            "57797cfcbaf44fc5fa6f40da74652dad376cbb01399a2582b84d9a2de7bdb4e9",
        ),
        (
            Palette::Inferno,
            "c4965fc9aae83195d386feff86e8f1cb0e06ea801590321de038f1dcd1848b83",
        ),
        (
            Palette::Plasma,
            "3cb1ec7f0313d0bf0e6fa6e52808193635bef6f370a77e4df0372b74bf5057e9",
        ),
        (
            Palette::Cividis,
            "b01399973d8892617443c6d81863c039c97f136a8712b9d1fd9bd1c9f73381a8",
        ),
        (
            Palette::Twilight,
            "494df796ee9668f0a0c32947d9b5ca9c53c44e5a506bddd2289a016cbea52455",
        ),
        (
            Palette::Turbo,
            "338840ba78f649c895ef28c521b3c404ce5e7163f8cda68bb950f0922d71fef4",
        ),
    ] {
        let spec = FractalSpec {
            palette,
            ..spec(160, 120, 200)
        };
        let found = Sha256::digest(rgb_of(&png_of(&spec)).as_raw());
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, digest, "{palette}");
    }
}

#[test]
fn a_smooth_picture_is_indexed_and_black_only_where_nothing_escapes() {
    let spec = FractalSpec {
        palette: Palette::Cividis,
        ..spec(200, 150, 60)
    };
    let bytes = png_of(&spec);
    let info = ::png::Decoder::new(std::io::Cursor::new(&bytes))
        .read_info()
        .unwrap();
    assert_eq!(info.info().color_type, ::png::ColorType::Indexed);
    let grid = Grid::new(&spec);
    let mut inside = 0;
    for (x, y, pixel) in rgb_of(&bytes).enumerate_pixels() {
        let passage = escape::passage(grid.columns()[x as usize], grid.row(y), spec.c, 60);
        assert_eq!(pixel.0 == [0; 3], passage.is_none(), "{x} {y}");
        inside += u32::from(passage.is_none());
    }
    assert!(inside > 100, "{inside}");
}

#[test]
fn the_continuous_count_has_no_jumps_and_its_steps_are_the_definitions() {
    let c = spec(1, 1, 1).c;
    let mut last: Option<f64> = None;
    for i in 0..20_000 {
        // Towards the set, through several bands of equal steps.
        let r = 3.0 - f64::from(i) * 5e-5;
        let (step, distance) = escape::passage(r, 0.0, c, 500).unwrap();
        let count = escape::count(step, distance);
        assert!((count - f64::from(step)).abs() <= 1.001, "{r} {count}");
        assert!(last.is_none_or(|last| (0.0..0.001).contains(&(count - last))));
        last = Some(count);
        assert!(escape::step(r, 0.0, c, 500) <= step);
    }
    // One step more is all it takes.
    let (step, distance) = escape::passage(2.5, 0.0, c, 500).unwrap();
    let found = Some((step, distance));
    assert_eq!(escape::passage(2.5, 0.0, c, step + 2), found);
    assert_eq!(escape::passage(2.5, 0.0, c, step + 1), None);
    for nowhere in [f64::NAN, f64::INFINITY] {
        let passage = escape::passage(nowhere, 0.0, c, 9);
        assert_eq!(passage.is_some(), nowhere.is_infinite());
    }
}

/// What overflows is beyond, what is not a number never is; nothing of it stops a render.
#[test]
fn smooth_pictures_of_the_edges_are_rendered() {
    let huge = Plane {
        xa: -1e308,
        xb: 1e308,
        ya: -1e308,
        yb: 1e308,
    };
    let overflows_to_nan = Plane { xb: 0.5, ..huge };
    for plane in [huge, overflows_to_nan] {
        for iterations in [1, 2, 40] {
            let spec = FractalSpec {
                plane,
                palette: Palette::Twilight,
                ..spec(33, 21, iterations)
            };
            png_of(&spec);
        }
    }
}

#[test]
fn the_png_has_the_32_classic_colours_and_one_byte_a_pixel() {
    let bytes = png_of(&spec(200, 100, 128));
    let reader = ::png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let info = reader.info();
    assert_eq!(info.color_type, ::png::ColorType::Indexed);
    let palette = info.palette.as_deref().unwrap();
    assert_eq!(palette.len(), 32 * 3);
    assert_eq!(palette[3..6], [32, 16, 8]);
    assert_eq!(palette[31 * 3..], [224, 240, 248]);
}

/// How long `spec` goes on being rendered once it is told to stop, `after` it was begun.
fn stopping_takes(spec: &FractalSpec, after: Duration) -> Duration {
    let control = Control::default();
    std::thread::scope(|scope| {
        let render = scope.spawn(|| {
            let stopped = render_to_vec(spec, &control);
            (stopped, Instant::now())
        });
        std::thread::sleep(after);
        let told = Instant::now();
        control.cancel.cancel();
        let (stopped, returned) = render.join().unwrap();
        assert!(matches!(stopped, Err(RenderError::Cancelled)));
        assert!(control.progress.fraction(spec) < 1.0);
        returned - told
    })
}

/// Pixels in a Siegel disk: they neither escape nor come to rest in a cycle, so that every step of
/// each has to be taken.
fn endless(width: u32, height: u32, iterations: u32) -> FractalSpec {
    FractalSpec {
        plane: Plane {
            xa: -0.42,
            xb: -0.32,
            ya: -0.39,
            yb: -0.29,
        },
        c: Constant {
            re: -0.3905408702184,
            im: -0.5867879073469687,
        },
        ..spec(width, height, iterations)
    }
}

#[test]
fn a_cancelled_render_stops_wherever_it_is() {
    let endless_smooth = FractalSpec {
        palette: Palette::Magma,
        ..endless(1_000, 1_000, 1_000_000)
    };
    for (what, spec, after) in [
        // One row of these would take seconds.
        ("long rows", endless(20_000, 50, 1_000_000), 20),
        ("long pixels", endless(1_000, 1_000, 1_000_000), 20),
        ("in mid-band", spec(10_000, 10_000, 200), 150),
        // No step is taken here: nearly all of the time goes into the file.
        ("the file", spec(10_000, 10_000, 1), 15),
        ("smooth", endless_smooth, 20),
        ("not begun", spec(10_000, 10_000, 1), 0),
    ] {
        let took = stopping_takes(&spec, Duration::from_millis(after));
        println!("{what}: stopped within {took:?}");
        // Fifty milliseconds are promised; a machine busy with other things is granted more.
        assert!(took < Duration::from_secs(1), "{what}: {took:?}");
    }
}

#[test]
fn the_fraction_grows_to_1_and_not_before_the_end() {
    // Of several pieces for each core.
    let slow = endless(800, 400, 2_000);
    let control = Control::default();
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        let render = scope.spawn(|| render_to_vec(&slow, &control).unwrap());
        while !render.is_finished() {
            let fraction = control.progress.fraction(&slow);
            if seen.last() != Some(&fraction) {
                seen.push(fraction);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        render.join().unwrap();
    });
    assert!(seen.is_sorted() && seen.len() > 2, "{seen:?}");
    assert_eq!(control.progress.fraction(&slow), 1.0);
}
