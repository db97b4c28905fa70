use super::*;
use crate::render::escape;

fn smooth() -> impl Iterator<Item = Palette> {
    let palettes = Palette::ALL.into_iter();
    palettes.filter(|palette| *palette != Palette::Classic)
}

/// What the tables stand for: the same in doubles, from the definition of the count.
fn shade_by_definition(palette: Palette, iterations: u32, count: f64) -> f64 {
    let turns = if palette == Palette::Twilight {
        2.0
    } else {
        1.0
    };
    rise(count) / rise(f64::from(iterations.max(16))) * turns * 255.0
}

#[test]
fn all_but_classic_are_smooth() {
    for palette in Palette::ALL {
        let shades = Shades::new(palette, 100);
        assert_eq!(shades.is_none(), palette == Palette::Classic);
    }
}

#[test]
fn shades_are_those_of_the_definition_but_for_rounding() {
    for iterations in [1, 2, 17, 100, 512, 10_000, 1_000_000] {
        for palette in smooth() {
            let shades = Shades::new(palette, iterations).unwrap();
            let mut step = 0;
            while step + 1 < iterations {
                let mut distance = escape::FAR.next_up();
                while distance < escape::FAR * escape::FAR {
                    let exact =
                        shade_by_definition(palette, iterations, escape::count(step, distance));
                    let found = f64::from(shades.shade(step, distance)) - 0.5;
                    // The shades of a palette that goes round follow one another in a ring.
                    let apart = (found - exact).abs() % 255.0;
                    let apart = apart.min(255.0 - apart);
                    assert!(apart < 1.0, "{palette} {step} {distance}: {apart}");
                    distance *= 1.7;
                }
                step += 1 + step / 8;
            }
        }
    }
}

#[test]
fn shades_rise_one_by_one_from_far_outside_to_the_edge() {
    let iterations = 512;
    for palette in smooth() {
        let shades = Shades::new(palette, iterations).unwrap();
        let mut last = 1;
        let mut changes = 0;
        for step in 0..iterations - 1 {
            // Escaping at the same step, the further out a point is found the earlier it was.
            for part in 0..200 {
                let distance = escape::FAR * escape::FAR * 2f64.powf(f64::from(-part) * 0.08);
                let shade = shades.shade(step, distance);
                let risen = (u32::from(shade) + 255 - last) % 255;
                assert!(risen <= 1, "{palette} {step} {part}: {last} to {shade}");
                changes += risen;
                last = u32::from(shade);
            }
        }
        let turns = if palette == Palette::Twilight { 2 } else { 1 };
        assert_eq!(changes, 255 * turns - 1, "{palette}");
    }
}

#[test]
fn no_point_that_escaped_has_the_colour_of_those_that_do_not() {
    for palette in smooth() {
        for iterations in [1, 2, 3, 100, u32::MAX] {
            let shades = Shades::new(palette, iterations).unwrap();
            let colours = shades.colours();
            assert_eq!(colours[..3], [0; 3]);
            for step in [0, 1, 50, iterations - 1, u32::MAX] {
                for distance in [65537.0, 1e9, 1e300, f64::INFINITY, f64::NAN] {
                    let shade = usize::from(shades.shade(step, distance));
                    assert!(shade > 0 && 3 * shade < colours.len(), "{shade}");
                }
            }
        }
    }
}

#[test]
fn a_palette_begins_and_ends_with_its_published_colours() {
    for (palette, first, last) in [
        (Palette::Viridis, [68, 1, 84], [253, 231, 37]),
        (Palette::Magma, [0, 0, 4], [252, 253, 191]),
        (Palette::Inferno, [0, 0, 4], [252, 255, 164]),
        (Palette::Plasma, [13, 8, 135], [240, 249, 33]),
        (Palette::Cividis, [0, 34, 78], [254, 232, 56]),
        (Palette::Turbo, [48, 18, 59], [122, 4, 3]),
    ] {
        let colours = Shades::new(palette, 512).unwrap().colours();
        assert_eq!(colours.len(), 256 * 3, "{palette}");
        assert_eq!(colours[3..6], first, "{palette}");
        assert_eq!(colours[255 * 3..], last, "{palette}");
    }
}

#[test]
fn neighbouring_colours_are_close() {
    for palette in smooth() {
        let colours = Shades::new(palette, 512).unwrap().colours();
        let ring = palette == Palette::Twilight;
        let shades: Vec<_> = colours[3..].chunks(3).collect();
        for i in 0..shades.len() - usize::from(!ring) {
            let (one, next) = (shades[i], shades[(i + 1) % shades.len()]);
            for (a, b) in one.iter().zip(next) {
                assert!(a.abs_diff(*b) < 16, "{palette} {i}: {one:?} {next:?}");
            }
        }
    }
}
