//! Where each pixel lies in the complex plane.

use crate::fractal::{Constant, FractalSpec};

/// The start points of a picture: pixel (x, y) starts at `columns()[x] + row(y)·i`.
pub struct Grid {
    columns: Vec<f64>,
    ya: f64,
    yb: f64,
    height: u32,
    pub c: Constant,
    pub iterations: u32,
}

impl Grid {
    pub fn new(spec: &FractalSpec) -> Self {
        let plane = spec.plane;
        let columns = (0..spec.width)
            .map(|x| place(x, plane.xa, plane.xb, spec.width))
            .collect();
        Grid {
            columns,
            ya: plane.ya,
            yb: plane.yb,
            height: spec.height,
            c: spec.c,
            iterations: spec.iterations,
        }
    }

    pub fn width(&self) -> usize {
        self.columns.len()
    }

    pub fn height(&self) -> u32 {
        self.height
    }

    /// Whether all pixels lie at numbers: a plane as wide as doubles reach has no middle.
    pub fn is_finite(&self) -> bool {
        // Ends that are numbers have numbers between them, unless their difference is none.
        let Grid { ya, yb, .. } = *self;
        (yb - ya).is_finite() && self.columns.iter().all(|x| x.is_finite())
    }

    /// Whether each pixel lies exactly opposite to that which comes as late from the end.
    pub fn is_symmetric(&self) -> bool {
        let opposite = |a: f64, b: f64| a == -b;
        let width = self.width();
        let mut columns = (0..width).map(|x| (self.columns[x], self.columns[width - 1 - x]));
        let last = self.height - 1;
        let mut rows = (0..self.height).map(|y| (self.row(y), self.row(last - y)));
        columns.all(|(a, b)| opposite(a, b)) && rows.all(|(a, b)| opposite(a, b))
    }

    /// Real parts, a column each.
    pub fn columns(&self) -> &[f64] {
        &self.columns
    }

    pub fn row(&self, y: u32) -> f64 {
        place(y, self.ya, self.yb, self.height)
    }
}

/// Place of pixel `i` of `n` between `a` and `b`.
///
/// The operations and their order are the original's; any other order moves pixels. It divided
/// by zero where `n` is 1: here such an axis sits at `a`.
fn place(i: u32, a: f64, b: f64, n: u32) -> f64 {
    if n == 1 {
        return a;
    }
    f64::from(i) * (b - a) / f64::from(n - 1) + a
}
