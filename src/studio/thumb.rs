//! A picture made smaller: each pixel is the mean of what it covers.
//!
//! Row by row, so that of a large picture only the small one is in memory.

use std::io::Cursor;

use png::{
    BitDepth, ColorType, Compression, DecodingError, EncodingError, Filter, Transformations,
};

use crate::render::Cancel;

/// A picture is at most so many times as long as it is wide, or it is made smaller still.
const LONGEST: u32 = 4;

#[derive(Debug, thiserror::Error)]
pub enum ThumbError {
    #[error("the image cannot be read: {0}")]
    Read(#[from] DecodingError),
    #[error("the thumbnail cannot be written: {0}")]
    Write(#[from] EncodingError),
    #[error("nobody waits for the thumbnail any more")]
    Cancelled,
}

/// The picture with `side` pixels on its shorter side, or fewer if it is very long; as it is, if it is
/// no larger, or takes fewer bytes so.
pub fn shrink(png: &[u8], side: u32, cancel: &Cancel) -> Result<Vec<u8>, ThumbError> {
    let thumb = match pixels(png, side, cancel)? {
        Some((size, pixels)) => written(size, &pixels)?,
        None => return Ok(png.to_vec()),
    };
    // Few colours and sharp edges may well take fewer bytes than their means.
    Ok(if thumb.len() < png.len() {
        thumb
    } else {
        png.to_vec()
    })
}

/// Width and height, and three bytes a pixel.
type Pixels = ((u32, u32), Vec<u8>);

/// The small picture. `None`: it is no smaller, or cannot be read row by row.
fn pixels(png: &[u8], side: u32, cancel: &Cancel) -> Result<Option<Pixels>, ThumbError> {
    let mut decoder = png::Decoder::new(Cursor::new(png));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let full = reader.info().size();
    let small = fitted(full, side);
    // Interlaced rows come in another order. No worker makes such pictures; who does, has them whole.
    if small == full || reader.info().interlaced {
        return Ok(None);
    }
    let channels = reader.output_color_type().0.samples();
    let mut shrinker = Shrinker::new(full, small);
    while let Some(row) = reader.next_row()? {
        shrinker.row(row.data(), channels);
        if cancel.is_cancelled() {
            return Err(ThumbError::Cancelled);
        }
    }
    Ok(Some((small, shrinker.pixels)))
}

fn fitted((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let (short, long) = (width.min(height), width.max(height));
    let by_long = f64::from(side) * f64::from(LONGEST) / f64::from(long);
    let scale = (f64::from(side) / f64::from(short)).min(by_long).min(1.0);
    let scaled = |n: u32| ((f64::from(n) * scale).round() as u32).max(1);
    (scaled(width), scaled(height))
}

fn written((width, height): (u32, u32), pixels: &[u8]) -> Result<Vec<u8>, ThumbError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_filter(Filter::Adaptive);
    encoder.set_compression(Compression::Balanced);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// Adds up areas, in whole numbers: a pixel of the picture is `small` units long and one of the
/// thumbnail `full`, so that both are the same in all.
struct Shrinker {
    full: (u64, u64),
    small: (u64, u64),
    /// Rows taken.
    taken: u64,
    /// The row of the thumbnail under way, red, green, blue.
    sums: Vec<u64>,
    /// Three bytes a pixel, of the rows that are finished.
    pixels: Vec<u8>,
}

impl Shrinker {
    fn new(full: (u32, u32), small: (u32, u32)) -> Self {
        let wide = |(a, b): (u32, u32)| (u64::from(a), u64::from(b));
        Shrinker {
            full: wide(full),
            small: wide(small),
            taken: 0,
            sums: vec![0; small.0 as usize * 3],
            pixels: Vec::with_capacity(small.0 as usize * small.1 as usize * 3),
        }
    }

    fn row(&mut self, row: &[u8], channels: usize) {
        let mut line = vec![0; self.sums.len()];
        let (small, full) = (self.small.0, self.full.0);
        for (x, pixel) in (0..).zip(row.chunks_exact(channels)) {
            // Grey, with or without alpha, or red, green and blue.
            let rgb = if channels < 3 {
                [pixel[0]; 3]
            } else {
                [pixel[0], pixel[1], pixel[2]]
            };
            for (at, share) in shares(x, small, full) {
                let sums = line.iter_mut().skip(at as usize * 3);
                for (sum, value) in sums.zip(rgb) {
                    *sum += share * u64::from(value);
                }
            }
        }
        let area = self.full.0 * self.full.1;
        for (at, share) in shares(self.taken, self.small.1, self.full.1) {
            if at > self.done() {
                let mean = |sum: &u64| ((sum + area / 2) / area) as u8;
                self.pixels.extend(self.sums.iter().map(mean));
                self.sums.fill(0);
            }
            for (sum, value) in self.sums.iter_mut().zip(&line) {
                *sum += share * value;
            }
        }
        self.taken += 1;
        if self.taken == self.full.1 {
            let mean = |sum: &u64| ((sum + area / 2) / area) as u8;
            self.pixels.extend(self.sums.iter().map(mean));
        }
    }

    /// Rows of the thumbnail that are finished.
    fn done(&self) -> u64 {
        self.pixels.len() as u64 / self.sums.len() as u64
    }
}

/// Onto which pixels of the thumbnail the picture's `n`-th falls, and how much of it onto each: one
/// or two, as it is no larger than they are.
fn shares(n: u64, small: u64, full: u64) -> impl Iterator<Item = (u64, u64)> {
    let (begin, end) = (n * small, (n + 1) * small);
    let first = begin / full;
    let border = (first + 1) * full;
    let shares = [
        (first, border.min(end) - begin),
        (first + 1, end.saturating_sub(border)),
    ];
    shares.into_iter().filter(|(_, share)| *share > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of one channel or three.
    fn picture(width: u32, height: u32, color: ColorType, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_palette([0, 0, 0, 255, 0, 0, 0, 0, 255].as_slice());
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn shrunk(png: &[u8], side: u32) -> ((u32, u32), Vec<u8>) {
        pixels(png, side, &Cancel::default()).unwrap().unwrap()
    }

    #[test]
    fn a_pixel_is_the_mean_of_what_it_covers() {
        let grey = picture(
            4,
            2,
            ColorType::Grayscale,
            &[0, 100, 10, 20, 200, 100, 30, 40],
        );
        assert_eq!(shrunk(&grey, 1), ((2, 1), vec![100, 100, 100, 25, 25, 25]));
        let indexed = picture(2, 2, ColorType::Indexed, &[0, 1, 2, 2]);
        assert_eq!(shrunk(&indexed, 1), ((1, 1), vec![64, 0, 128]));
    }

    #[test]
    fn borders_that_do_not_meet_share_what_lies_across() {
        // 3 to 2: each has one pixel and half of the middle one, in both directions.
        let rows = [0, 90, 180];
        let data: Vec<u8> = rows
            .iter()
            .flat_map(|row| rows.map(|column| row / 2 + column / 2))
            .collect();
        let (size, pixels) = shrunk(&picture(3, 3, ColorType::Grayscale, &data), 2);
        assert_eq!(size, (2, 2));
        let grey: Vec<u8> = pixels.chunks(3).map(|pixel| pixel[0]).collect();
        assert_eq!(grey, [30, 90, 90, 150]);
    }

    #[test]
    fn one_colour_stays_that_colour_whatever_the_size() {
        for (width, height) in [(257, 300), (2000, 1), (3, 2999), (512, 511)] {
            let data = vec![77; (width * height) as usize];
            let (_, pixels) = shrunk(&picture(width, height, ColorType::Grayscale, &data), 256);
            assert!(
                pixels.iter().all(|value| *value == 77),
                "{width} x {height}"
            );
        }
    }

    #[test]
    fn the_shorter_side_counts_unless_the_other_is_very_long() {
        assert_eq!(fitted((1024, 768), 256), (341, 256));
        assert_eq!(fitted((500, 900), 256), (256, 461));
        assert_eq!(fitted((200, 100), 256), (200, 100));
        assert_eq!(fitted((20_000, 300), 256), (1024, 15));
        assert_eq!(fitted((20_000, 1), 64), (256, 1));
    }
}
