//! The original's colours: 32 of them, by escape step modulo 32.

/// Palette index of an escape step.
pub fn index(step: u32) -> u8 {
    (step % 32) as u8
}

/// The colours by index, three bytes each: red, green, blue.
pub fn palette() -> Vec<u8> {
    (0..32u8)
        .flat_map(|i| [i % 8 * 32, i % 16 * 16, i * 8])
        .collect()
}
