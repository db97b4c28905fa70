//! Ten fractals worth looking at, for a gallery that has none.

use uuid::Uuid;

use crate::farm::{Farm, SubmitError};
use crate::fractal::{Draft, Palette, Plane};

/// Constants of well-known Julia sets, how far from the centre the picture reaches upwards, and the
/// colours that become it.
const SETS: [(f64, f64, f64, Palette); 10] = [
    (-0.8, 0.156, 1.0, Palette::Classic),
    (-0.4, 0.6, 1.15, Palette::Magma),
    (0.285, 0.01, 1.15, Palette::Twilight),
    (-0.70176, -0.3842, 1.0, Palette::Viridis),
    (-0.835, -0.2321, 0.9, Palette::Classic),
    (-0.7269, 0.1889, 0.95, Palette::Twilight),
    (0.0, 1.0, 1.2, Palette::Inferno),
    (-0.1, 0.651, 1.15, Palette::Turbo),
    (0.355, 0.355, 1.15, Palette::Plasma),
    (-1.25066, 0.02012, 0.45, Palette::Classic),
];

/// Fills an empty gallery; one with anything in it is left alone.
pub async fn fill(farm: &Farm) -> Result<(), SubmitError> {
    if farm.counts().borrow().total() > 0 {
        return Ok(());
    }
    for (c_re, c_im, reach, palette) in SETS {
        let draft = Draft {
            width: 1024,
            height: 768,
            iterations: 512,
            plane: Plane {
                xa: -reach * 4.0 / 3.0,
                xb: reach * 4.0 / 3.0,
                ya: -reach,
                yb: reach,
            },
            c_re: Some(c_re),
            c_im: Some(c_im),
            palette,
        };
        farm.submit(Uuid::new_v4(), &draft).await?;
    }
    Ok(())
}
