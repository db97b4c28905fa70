//! The APNG format: PNG files of the same size and colours, one after the other in a file of their
//! own. Pixels stay compressed as they are; only the chunks around them are new.
//!
//! ```text
//!   head · acTL · fcTL IDAT... · fcTL fdAT... · fcTL fdAT... · IEND
//! ```

/// What stands before the first frame's pixels in each file.
const SIGNATURE: usize = 8;

/// An animation under way.
pub struct Apng {
    head: Vec<u8>,
    size: (u32, u32),
    frames: u32,
    fps: u16,
    /// Chunks that know their place so far.
    placed: u32,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the image is no PNG file")]
pub struct NoPng;

impl Apng {
    /// `head` is what each frame's file begins with, up to its pixels. All frames together have
    /// fewer than 2^32 chunks.
    pub fn new(head: Vec<u8>, size: (u32, u32), frames: u32, fps: u16) -> Apng {
        Apng {
            head,
            size,
            frames,
            fps,
            placed: 0,
        }
    }

    /// Whether a picture may be a frame as it is.
    pub fn takes(&self, png: &[u8]) -> bool {
        png.starts_with(&self.head)
    }

    /// The next frame of the file, with all that stands before it.
    pub fn frame(&mut self, png: &[u8]) -> Result<Vec<u8>, NoPng> {
        let first = self.placed == 0;
        let mut out = Vec::with_capacity(png.len() + 256);
        if first {
            out.extend(&self.head);
            // Over and over.
            chunk(
                &mut out,
                b"acTL",
                &[&self.frames.to_be_bytes(), &0u32.to_be_bytes()],
            );
        }
        let place = self.place();
        let (width, height) = self.size;
        chunk(
            &mut out,
            b"fcTL",
            &[
                &place,
                &width.to_be_bytes(),
                &height.to_be_bytes(),
                &[0; 8], // at the left and the top
                &1u16.to_be_bytes(),
                &self.fps.to_be_bytes(),
                &[0, 0], // stays, and covers all
            ],
        );
        let mut chunks = png.get(SIGNATURE..).ok_or(NoPng)?;
        while !chunks.is_empty() {
            let (kind, data, rest) = split(chunks).ok_or(NoPng)?;
            chunks = rest;
            match kind {
                b"IDAT" if first => chunk(&mut out, b"IDAT", &[data]),
                b"IDAT" => {
                    let place = self.place();
                    chunk(&mut out, b"fdAT", &[&place, data]);
                }
                _ => {}
            }
        }
        Ok(out)
    }

    /// What stands at the end.
    pub fn end() -> Vec<u8> {
        let mut out = Vec::new();
        chunk(&mut out, b"IEND", &[]);
        out
    }

    fn place(&mut self) -> [u8; 4] {
        let place = self.placed.to_be_bytes();
        self.placed += 1;
        place
    }
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend((length as u32).to_be_bytes());
    let checked = out.len();
    out.extend(kind);
    for part in parts {
        out.extend(*part);
    }
    let sum = crc32fast::hash(&out[checked..]);
    out.extend(sum.to_be_bytes());
}

/// The first chunk's kind and contents, and what comes after it.
fn split(chunks: &[u8]) -> Option<(&[u8; 4], &[u8], &[u8])> {
    let (length, rest) = chunks.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    let (data, rest) = rest.split_at_checked(length)?;
    Some((kind, data, rest.get(4..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_no_png() {
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, 2, 2);
        encoder.set_color(png::ColorType::Grayscale);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[0, 1, 2, 3]).unwrap();
        drop(writer);
        let new = || Apng::new(png[..33].to_vec(), (2, 2), 1, 25);
        assert!(new().takes(&png));
        assert!(new().frame(&png).is_ok());
        for cut in [4, 20, png.len() - 1] {
            assert_eq!(new().frame(&png[..cut]), Err(NoPng));
        }
        assert!(!new().takes(&png[1..]));
    }
}
