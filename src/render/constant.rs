//! Drawing the constant c for a picture that comes without one.
//!
//! The original's rule: points of the picture's own rectangle, drawn evenly, until one takes
//! more than 10 and fewer than 100 escape steps of its own. Such points lie close to the edge of
//! the Mandelbrot set, where Julia sets have most to show.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

use super::escape;
use crate::fractal::{Constant, Plane};

/// Draws before giving up. Of the rectangles that the client makes, the poorest keep about one
/// point in a hundred; there a fall-back comes up once in 10^17 pictures.
const TRIES: u32 = 4096;

/// For rectangles that hold no such point, and for pictures of 11 iterations or fewer, where no
/// point can take more than 10 steps: a well-known one with spirals everywhere.
pub const FALLBACK: Constant = Constant {
    re: -0.8,
    im: 0.156,
};

/// The constant for the picture `uuid`: always the same for the same arguments.
pub fn draw(uuid: Uuid, plane: Plane, iterations: u32) -> Constant {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(uuid.as_bytes());
    // ChaCha's stream is fixed by its definition, unlike that of a library's "standard" generator.
    let mut random = ChaCha8Rng::from_seed(seed);
    // Following a point for longer than this cannot change the verdict.
    let bound = iterations.min(101);
    let mut between = |a: f64, b: f64| random.random::<f64>() * (b - a) + a;
    for _ in 0..TRIES {
        let c = Constant {
            re: between(plane.xa, plane.xb),
            im: between(plane.ya, plane.yb),
        };
        let step = escape::step(c.re, c.im, c, bound);
        if (11..100).contains(&step) && c.re.is_finite() && c.im.is_finite() {
            return c;
        }
    }
    FALLBACK
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANE: Plane = Plane {
        xa: -2.0,
        xb: 2.0,
        ya: -1.5,
        yb: 1.5,
    };

    #[test]
    fn a_drawn_constant_escapes_within_11_to_99_steps_and_is_repeatable() {
        for n in 0..200u128 {
            let uuid = Uuid::from_u128(n);
            let c = draw(uuid, PLANE, 512);
            assert!((11..100).contains(&escape::step(c.re, c.im, c, 512)));
            assert_eq!(draw(uuid, PLANE, 512), c);
        }
    }

    #[test]
    fn the_draw_does_not_change_between_versions() {
        let c = draw(Uuid::from_u128(1), PLANE, 512);
        assert_eq!((c.re, c.im), (DRAWN_FOR_1.re, DRAWN_FOR_1.im));
    }

    const DRAWN_FOR_1: Constant = Constant {
        re: 0.1543226811205689,
        im: -0.6307777664468982,
    };

    #[test]
    fn where_no_point_fits_the_fall_back_is_used() {
        let inside = Plane {
            xa: -0.01,
            xb: 0.01,
            ya: -0.01,
            yb: 0.01,
        };
        let endless = Plane {
            xa: -1e308,
            xb: 1e308,
            ya: -1e308,
            yb: 1e308,
        };
        assert_eq!(draw(Uuid::nil(), inside, 512), FALLBACK);
        assert_eq!(draw(Uuid::nil(), endless, 512), FALLBACK);
        assert_eq!(draw(Uuid::nil(), PLANE, 11), FALLBACK);
    }
}
