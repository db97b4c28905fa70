//! One zlib stream of parts that were compressed each by itself.
//!
//! fdeflate makes of a part a whole stream, which is one deflate block. Of these blocks the stream is
//! put together:
//!
//! ```text
//!   part 1:  header | block, final, ends at any bit | sum
//!   part 2:  header | block, final, ends at any bit | sum
//!
//!   stream:  header | block | empty block, ends at a whole byte | block, final | sum of all
//! ```

use std::io;

use fdeflate::Compressor;

const HEADER: usize = 2;
const SUM: usize = 4;

/// A part that has been compressed.
pub struct Part {
    /// A zlib stream of its own.
    bytes: Vec<u8>,
    /// What it was made of, in bytes.
    len: usize,
}

pub fn compress(part: &[u8]) -> io::Result<Part> {
    let mut compressor = Compressor::new(Vec::with_capacity(part.len() / 4))?;
    compressor.write_data(part)?;
    Ok(Part {
        bytes: compressor.finish()?,
        len: part.len(),
    })
}

/// What has been put together so far.
#[derive(Default)]
pub struct Stream {
    sum: Option<Adler32>,
}

impl Stream {
    /// The next bytes of the stream: those of `part`, and if it is the `last` one, the end.
    pub fn append(&mut self, part: Part, last: bool) -> Vec<u8> {
        let Part { mut bytes, len } = part;
        let sum = Adler32::read(bytes.split_off(bytes.len() - SUM));
        let is_first = self.sum.is_none();
        let sum = self.sum.map_or(sum, |before| before.followed_by(sum, len));
        self.sum = Some(sum);
        if last {
            bytes.extend(sum.bytes());
        } else {
            go_on(&mut bytes);
        }
        if !is_first {
            bytes.drain(..HEADER);
        }
        bytes
    }
}

/// Turns the final block of a stream into one that others follow.
fn go_on(bytes: &mut Vec<u8>) {
    // A block begins with a bit that says whether it is the final one.
    bytes[HEADER] &= !1;
    // It ends with a code whose last bit is set; the zero bits that fill up the byte after it begin the
    // next block, which is not final (0), stored (00), empty, and begins at the next whole byte.
    let unused = bytes.last().map_or(0, |last| last.leading_zeros());
    if unused < 3 {
        bytes.push(0);
    }
    bytes.extend([0x00, 0x00, 0xff, 0xff]);
}

/// The checksum of zlib: two sums modulo the largest prime below 2^16.
#[derive(Clone, Copy)]
struct Adler32 {
    a: u32,
    b: u32,
}

impl Adler32 {
    const MODULUS: u32 = 65521;

    fn read(bytes: Vec<u8>) -> Self {
        let sum = bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        Adler32 {
            a: sum & 0xffff,
            b: sum >> 16,
        }
    }

    fn bytes(self) -> [u8; SUM] {
        (self.b << 16 | self.a).to_be_bytes()
    }

    /// The sum of two parts, of which the second has `len` bytes and this sum.
    fn followed_by(self, second: Adler32, len: usize) -> Adler32 {
        const M: u32 = Adler32::MODULUS;
        // `a` is one more than the sum of all bytes; `b` the sum of `a` after each byte.
        let before = (self.a + M - 1) % M;
        let len = (len % M as usize) as u32;
        let carried = (u64::from(before) * u64::from(len) % u64::from(M)) as u32;
        Adler32 {
            a: (before + second.a) % M,
            b: (self.b + second.b + carried) % M,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Bytes of many kinds: runs, small differences, noise.
    fn bytes(len: usize, seed: u64) -> Vec<u8> {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let kind = seed % 3;
        (0..len)
            .map(|_| match (kind, random.random::<u8>()) {
                (0, byte) => byte,
                (1, byte) => byte / 250,
                (_, byte) => (byte % 3).wrapping_sub(1),
            })
            .collect()
    }

    #[test]
    fn parts_read_back_as_one() {
        for seed in 0..300 {
            let lengths = [1, 7, 1000, 70_000, 3 + seed as usize, 0, 258];
            let count = 1 + seed as usize % lengths.len();
            let parts: Vec<_> = (0..count)
                .map(|i| {
                    bytes(
                        lengths[(i + seed as usize) % lengths.len()],
                        seed + i as u64,
                    )
                })
                .collect();
            let mut stream = Stream::default();
            let mut whole = Vec::new();
            for (i, part) in parts.iter().enumerate() {
                let part = compress(part).unwrap();
                whole.extend(stream.append(part, i + 1 == count));
            }
            let mut read = Vec::new();
            // It also checks the sum.
            let mut reader = flate2::read::ZlibDecoder::new(whole.as_slice());
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read, parts.concat(), "{seed}");
        }
    }

    /// What [`go_on`] relies on.
    #[test]
    fn a_part_is_one_final_block_that_ends_with_a_bit_that_is_set() {
        for seed in 0..300 {
            let part = compress(&bytes(seed as usize * 7, seed)).unwrap();
            assert_eq!(part.bytes[HEADER] & 1, 1);
            assert_ne!(part.bytes[part.bytes.len() - SUM - 1], 0);
        }
    }
}
