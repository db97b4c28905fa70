//! The ZIP format, as far as it takes to send files that are compressed already: one after the other,
//! each stored as it is, and the directory at the end. Nothing has to be known of what comes later.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Most bytes of all files: more would take the format's extension to 64 bits, as would 65,536 files.
pub const MOST_BYTES: u64 = u32::MAX as u64 - (16 << 20);

const FILE: u32 = 0x0403_4b50;
const ENTRY: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;

/// What a reader must understand: version 1.0 of the format.
const VERSION: u16 = 10;

/// Made on Unix, whose permissions an entry's attributes hold: an ordinary file, rw-r--r--.
const MADE_ON_UNIX: u16 = 3 << 8 | 20;
const ATTRIBUTES: u32 = 0o100_644 << 16;

/// An archive under way.
#[derive(Default)]
pub struct Zip {
    sent: u32,
    files: u16,
    directory: Vec<u8>,
}

impl Zip {
    /// What stands before a file's bytes. All of them may have [`MOST_BYTES`].
    pub fn file(&mut self, name: &str, bytes: &[u8], time: Timestamp) -> Vec<u8> {
        let size = bytes.len() as u32;
        let mut about = Vec::new();
        put16(&mut about, &[0, 0]); // no flags; stored
        put16(&mut about, &dos_time(time));
        put32(&mut about, &[crc32fast::hash(bytes), size, size]);
        put16(&mut about, &[name.len() as u16, 0]);

        let mut header = FILE.to_le_bytes().to_vec();
        put16(&mut header, &[VERSION]);
        header.extend(&about);
        header.extend(name.as_bytes());

        put32(&mut self.directory, &[ENTRY]);
        put16(&mut self.directory, &[MADE_ON_UNIX, VERSION]);
        self.directory.extend(&about);
        put16(&mut self.directory, &[0, 0, 0]); // no comment; first disk; a binary file
        put32(&mut self.directory, &[ATTRIBUTES, self.sent]);
        self.directory.extend(name.as_bytes());
        self.files += 1;
        self.sent += header.len() as u32 + size;
        header
    }

    /// What stands at the end.
    pub fn end(self) -> Vec<u8> {
        let size = self.directory.len() as u32;
        let mut end = self.directory;
        put32(&mut end, &[END]);
        put16(&mut end, &[0, 0, self.files, self.files]);
        put32(&mut end, &[size, self.sent]);
        put16(&mut end, &[0]);
        end
    }
}

fn put16(bytes: &mut Vec<u8>, values: &[u16]) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn put32(bytes: &mut Vec<u8>, values: &[u32]) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// Time and date, by two seconds and since 1980.
fn dos_time(time: Timestamp) -> [u16; 2] {
    let time = time.to_zoned(TimeZone::UTC);
    let years = (time.year() - 1980).clamp(0, 127);
    let of = |value: i8, shift: u16| (value as u16) << shift;
    [
        of(time.hour(), 11) | of(time.minute(), 5) | of(time.second() / 2, 0),
        (years as u16) << 9 | of(time.month(), 5) | of(time.day(), 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc_and_to_two_seconds() {
        let time: Timestamp = "2026-11-23T05:47:59Z".parse().unwrap();
        assert_eq!(
            dos_time(time),
            [5 << 11 | 47 << 5 | 29, 46 << 9 | 11 << 5 | 23]
        );
    }
}
