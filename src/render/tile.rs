//! The grid of tiles: the same square of the plane, cut finer with each level.
//!
//! Level `z` cuts the square from -4-4i to 4+4i into `2^z` by `2^z` tiles of 256 by 256 pixels. A
//! pixel stands for a small square of the plane and takes the colour of the middle of it, so that a
//! tile covers what its four children cover. All of these middles are doubles to the last bit: the
//! last column of a tile and the first of the next are as far apart as any two.

use crate::fractal::Plane;

/// Pixels a side.
pub const SIDE: u32 = 256;

/// The finest level: its pixels are 2^-43 apart, 1.1e-13, and what a double rounds off begins to show.
pub const DEEPEST: u32 = 38;

/// A tile's place on the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    z: u32,
    x: u64,
    y: u64,
}

impl Tile {
    /// `x` from the left and `y` from the top, where the imaginary part is -4, as pictures have it.
    /// `None`: there is no such tile.
    pub fn new(z: u32, x: u64, y: u64) -> Option<Tile> {
        let there = z <= DEEPEST && x < 1 << z && y < 1 << z;
        there.then_some(Tile { z, x, y })
    }

    /// From the middle of the first pixel to that of the last.
    pub fn plane(self) -> Plane {
        let last = u64::from(SIDE - 1);
        let (x, y) = (u64::from(SIDE) * self.x, u64::from(SIDE) * self.y);
        Plane {
            xa: self.middle(x),
            xb: self.middle(x + last),
            ya: self.middle(y),
            yb: self.middle(y + last),
        }
    }

    /// Of a pixel, counted over all tiles of the level. At most 49 bits, and a power of two: exact.
    fn middle(self, pixel: u64) -> f64 {
        let half_step = f64::from(SIDE / 4) * (1u64 << self.z) as f64;
        (2 * pixel + 1) as f64 / half_step - 4.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fractal::{Constant, FractalSpec, Palette};
    use crate::render::grid::Grid;

    fn grid(plane: Plane, side: u32) -> Grid {
        Grid::new(&FractalSpec {
            width: side,
            height: side,
            iterations: 1,
            plane,
            c: Constant { re: 0.0, im: 0.0 },
            palette: Palette::Classic,
        })
    }

    fn tile(z: u32, x: u64, y: u64) -> Tile {
        Tile::new(z, x, y).unwrap()
    }

    #[test]
    fn a_tile_and_the_next_are_one_grid() {
        for z in 1..=DEEPEST {
            let step = 8.0 / 256.0 / (1u64 << z) as f64;
            let last = (1u64 << z) - 1;
            for x in [0, last / 2, last - 1] {
                let left = grid(tile(z, x, x).plane(), SIDE);
                let right = grid(tile(z, x + 1, x + 1).plane(), SIDE);
                let columns: Vec<_> = left.columns().iter().chain(right.columns()).collect();
                for pair in columns.windows(2) {
                    assert_eq!(pair[1] - pair[0], step, "level {z}, tile {x}");
                }
                assert_eq!(right.row(0) - left.row(SIDE - 1), step);
            }
        }
    }

    #[test]
    fn a_pixel_lies_in_the_middle_of_its_four_children() {
        for z in 0..DEEPEST {
            let parent = grid(tile(z, 0, 0).plane(), SIDE);
            let child = grid(tile(z + 1, 0, 0).plane(), SIDE);
            let (a, b) = (child.columns()[0], child.columns()[1]);
            assert_eq!(parent.columns()[0], (a + b) / 2.0, "level {z}");
        }
    }

    #[test]
    fn the_whole_square_is_covered_and_nothing_else_is_there() {
        let plane = tile(0, 0, 0).plane();
        assert_eq!((plane.xa, plane.xb), (-4.0 + 1.0 / 64.0, 4.0 - 1.0 / 64.0));
        assert_eq!(plane.ya, -plane.yb);
        for (z, x, y) in [(0, 1, 0), (3, 0, 8), (3, 8, 0), (39, 0, 0), (64, 0, 0)] {
            assert_eq!(Tile::new(z, x, y), None);
        }
        assert!(Tile::new(DEEPEST, (1 << DEEPEST) - 1, 0).is_some());
    }
}
