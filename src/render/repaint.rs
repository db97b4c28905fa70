//! Pictures that others have made, as this renderer would have encoded them.
//!
//! The pictures of one palette and number of iterations then share their colours, whoever rendered
//! them, and are told apart by nothing but their pixels.

use std::collections::HashMap;
use std::io::{self, Cursor};

use super::path::Path;
use super::picture::{Picture, Shortcuts};
use super::png::Encoder;
use crate::fractal::FractalSpec;

/// Bytes of the chunk that ends a file.
const END: usize = 12;

#[derive(Debug, thiserror::Error)]
pub enum RepaintError {
    #[error("the image cannot be read: {0}")]
    Read(#[from] png::DecodingError),
    /// No worker makes such images; row by row they cannot be read.
    #[error("the image is interlaced")]
    Interlaced,
    #[error("the image cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// What a picture's file begins with: all but its pixels.
pub fn head(spec: &FractalSpec) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    drop(Encoder::new(
        &mut bytes,
        (spec.width, spec.height),
        &colours(spec),
        1,
    )?);
    // The encoder is not told of any pixels, and ends the file all the same.
    bytes.truncate(bytes.len().saturating_sub(END));
    Ok(bytes)
}

/// The picture with the colours of its palette: each pixel has its own if it is one of them, else the
/// nearest. The size of `png` is that of `spec`.
pub fn repaint(png: &[u8], spec: &FractalSpec) -> Result<Vec<u8>, RepaintError> {
    let mut decoder = png::Decoder::new(Cursor::new(png));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    if reader.info().interlaced {
        return Err(RepaintError::Interlaced);
    }
    let channels = reader.output_color_type().0.samples();
    let mut colours = Nearest::new(colours(spec));
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, (spec.width, spec.height), &colours.all, 1)?;
    let band = encoder.band_rows() * spec.width as usize;
    let mut indices = Vec::new();
    while let Some(row) = reader.next_row()? {
        let pixels = row.data().chunks_exact(channels);
        indices.extend(pixels.map(|pixel| match pixel {
            [red, green, blue, ..] => colours.index([*red, *green, *blue]),
            _ => colours.index([pixel[0]; 3]),
        }));
        if indices.len() >= band {
            encoder.rows(&indices)?;
            indices.clear();
        }
    }
    if !indices.is_empty() {
        encoder.rows(&indices)?;
    }
    encoder.finish()?;
    Ok(bytes)
}

fn colours(spec: &FractalSpec) -> Vec<u8> {
    Picture::new(spec, Path::chosen(), Shortcuts::default()).colours()
}

struct Nearest {
    all: Vec<u8>,
    found: HashMap<[u8; 3], u8>,
}

/// Colours that are remembered: a picture that has more than a palette may have millions.
const REMEMBERED: usize = 1 << 12;

impl Nearest {
    fn new(all: Vec<u8>) -> Nearest {
        Nearest {
            all,
            found: HashMap::new(),
        }
    }

    fn index(&mut self, colour: [u8; 3]) -> u8 {
        if let Some(index) = self.found.get(&colour) {
            return *index;
        }
        let distance = |one: &[u8]| -> u32 {
            let parts = one.iter().zip(colour);
            parts
                .map(|(a, b)| u32::from(a.abs_diff(b)).pow(2))
                .sum::<u32>()
        };
        let all = self.all.chunks_exact(3).zip(0..=u8::MAX);
        let nearest = all.min_by_key(|(one, _)| distance(one));
        let index = nearest.map_or(0, |(_, index)| index);
        if self.found.len() < REMEMBERED {
            self.found.insert(colour, index);
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fractal::{Constant, Palette, Plane};
    use crate::render::{Control, render_to_vec};

    const SPEC: FractalSpec = FractalSpec {
        width: 60,
        height: 45,
        iterations: 99,
        plane: Plane {
            xa: -1.5,
            xb: 1.5,
            ya: -1.2,
            yb: 1.2,
        },
        c: Constant {
            re: -0.8,
            im: 0.156,
        },
        palette: Palette::Classic,
    };

    #[test]
    fn a_picture_begins_with_its_head() {
        for palette in Palette::ALL {
            let spec = FractalSpec { palette, ..SPEC };
            let png = render_to_vec(&spec, &Control::default()).unwrap();
            let head = head(&spec).unwrap();
            assert!(png.starts_with(&head));
            assert_eq!(&png[head.len() + 4..][..4], b"IDAT");
        }
    }

    #[test]
    fn a_picture_in_three_bytes_a_pixel_becomes_the_renderers_own_file() {
        for palette in [Palette::Classic, Palette::Twilight] {
            let spec = FractalSpec { palette, ..SPEC };
            let own = render_to_vec(&spec, &Control::default()).unwrap();
            let image = image::load_from_memory(&own).unwrap().into_rgb8();
            let mut other = Cursor::new(Vec::new());
            image.write_to(&mut other, image::ImageFormat::Png).unwrap();
            let other = other.into_inner();
            assert!(!other.starts_with(&head(&spec).unwrap()));
            let repainted = repaint(&other, &spec).unwrap();
            assert!(repainted.starts_with(&head(&spec).unwrap()));
            let again = image::load_from_memory(&repainted).unwrap().into_rgb8();
            assert_eq!(again, image);
        }
    }

    #[test]
    fn other_colours_become_the_nearest() {
        let mut colours = Nearest::new(vec![0, 0, 0, 250, 10, 10, 9, 9, 200]);
        assert_eq!(colours.index([255, 0, 0]), 1);
        assert_eq!(colours.index([0, 0, 255]), 2);
        assert_eq!(colours.index([3, 3, 3]), 0);
        assert_eq!(colours.index([255, 0, 0]), 1);
    }
}
