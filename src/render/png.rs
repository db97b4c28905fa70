//! PNG with a palette, row by row.
//!
//! Few colours and rows much like the one above: with one byte a pixel, filter Up and the encoder
//! made for filtered images, encoding takes about a hundredth of the time of RGB at the default
//! level, and the file is smaller.

use std::borrow::Cow;
use std::io::{self, Write};

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};

/// Compressed bytes gathered into one IDAT chunk. A picture that compresses to less is one chunk.
const CHUNK: usize = 1 << 18;

/// Writes a PNG whose rows `rows` puts in, one byte a pixel: its index in `palette`, which has
/// three bytes a colour and at most 256 colours.
pub fn indexed<E: From<io::Error>>(
    out: impl Write,
    (width, height): (u32, u32),
    palette: &[u8],
    rows: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let mut encoder = Encoder::new(out, width, height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(Cow::Borrowed(palette));
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Up);
    let mut writer = encoder.write_header().map_err(io_error)?;
    let chunk = CHUNK.min(width as usize * height as usize + 1024);
    let mut stream = writer.stream_writer_with_size(chunk).map_err(io_error)?;
    rows(&mut stream)?;
    stream.finish().map_err(io_error)?;
    writer.finish().map_err(io_error)?;
    Ok(())
}

fn io_error(error: EncodingError) -> io::Error {
    match error {
        EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
