//! Small pictures that outlast the process: files in a folder, up to so many bytes.
//!
//! A file begins with the checksum of what follows. It is written without waiting for the disk: what
//! a power cut spoils is found out by that, and made anew.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use bytes::Bytes;

/// A file takes whole blocks of the disk.
const BLOCK: u64 = 4096;

/// Bytes of the checksum.
const SUM: usize = 4;

pub struct Shelf {
    folder: PathBuf,
    most: u64,
    /// Bytes of all files, blocks and all; `None` until they were counted.
    held: Mutex<Option<u64>>,
}

impl Shelf {
    /// Nothing is read or written before it has to be.
    pub fn new(folder: PathBuf, most: u64) -> Shelf {
        Shelf {
            folder,
            most,
            held: Mutex::new(None),
        }
    }

    /// What was put there under this name, unless it is gone or spoilt.
    pub fn get(&self, name: &str) -> Option<Bytes> {
        let mut file = File::open(self.folder.join(name)).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let (sum, _) = bytes.split_first_chunk::<SUM>()?;
        let sound = *sum == crc32fast::hash(&bytes[SUM..]).to_be_bytes();
        // What is in use stays: those that were not for the longest time go first.
        let _ = file.set_modified(SystemTime::now());
        sound.then(|| Bytes::from(bytes).slice(SUM..))
    }

    /// Keeps a picture under a name of letters, digits and hyphens.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut held = match self.held.lock() {
            Ok(held) => held,
            // Of what broke off in the middle nothing is known.
            Err(poisoned) => {
                let mut held = poisoned.into_inner();
                *held = None;
                held
            }
        };
        let before = match *held {
            Some(bytes) => bytes,
            None => self.files()?.iter().map(|(_, size, _)| size).sum(),
        };
        // Until all is well it is not known any more.
        *held = None;
        let mut part = tempfile::NamedTempFile::new_in(&self.folder)?;
        part.write_all(&crc32fast::hash(bytes).to_be_bytes())?;
        part.write_all(bytes)?;
        part.persist(self.folder.join(name))?;
        let mut now = before + blocks((bytes.len() + SUM) as u64);
        if now > self.most {
            now = self.tidy()?;
        }
        *held = Some(now);
        Ok(())
    }

    /// Deletes what was not used for the longest time, until a quarter is free. What is left.
    fn tidy(&self) -> io::Result<u64> {
        let mut files = self.files()?;
        files.sort();
        let mut held = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if held <= self.most - self.most / 4 {
                break;
            }
            fs::remove_file(path)?;
            held -= size;
        }
        Ok(held)
    }

    /// Times of the last use, sizes and paths.
    fn files(&self) -> io::Result<Vec<(SystemTime, u64, PathBuf)>> {
        let about = |path: &Path| {
            let about = fs::metadata(path)?;
            Ok::<_, io::Error>((about.modified()?, blocks(about.len())))
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let (used, size) = about(&path)?;
            files.push((used, size, path));
        }
        Ok(files)
    }
}

fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK) * BLOCK
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_keeps_what_is_used() {
        let folder = tempfile::TempDir::new().unwrap();
        let folder = folder.path().join("shelf");
        let shelf = Shelf::new(folder.clone(), 16 * BLOCK);
        let old = |name: &str, seconds| {
            let file = File::options().write(true).open(folder.join(name));
            let before = SystemTime::now() - Duration::from_secs(seconds);
            file.unwrap().set_modified(before).unwrap();
        };
        for n in 0..16 {
            shelf.put(&format!("{n:02}"), &[n; 100]).unwrap();
            old(&format!("{n:02}"), 1000 - u64::from(n));
        }
        assert_eq!(names(&folder).len(), 16);
        assert_eq!(shelf.get("00").unwrap(), [0; 100][..]);
        shelf.put("16", &[16; 100]).unwrap();
        let left = names(&folder);
        assert_eq!(left.len(), 12);
        assert_eq!((left[0].as_str(), left[1].as_str()), ("00", "06"));
        // Another life counts what there is.
        let shelf = Shelf::new(folder.clone(), 16 * BLOCK);
        for n in 17..22 {
            shelf.put(&n.to_string(), &[n; 100]).unwrap();
        }
        assert_eq!(names(&folder).len(), 12);
        // It is never a place for what is larger than all of it.
        shelf.put("large", &[0; 17 * BLOCK as usize]).unwrap();
        assert_eq!(names(&folder), [""; 0]);
    }

    #[test]
    fn what_is_spoilt_is_not_there() {
        let folder = tempfile::TempDir::new().unwrap();
        let shelf = Shelf::new(folder.path().join("shelf"), 1 << 20);
        assert_eq!(shelf.get("a"), None);
        shelf.put("a", b"some bytes").unwrap();
        assert_eq!(shelf.get("a").unwrap(), b"some bytes"[..]);
        let file = folder.path().join("shelf/a");
        for spoilt in [&b""[..], b"abc", b"abcdsome bytes"] {
            fs::write(&file, spoilt).unwrap();
            assert_eq!(shelf.get("a"), None);
        }
        shelf.put("a", b"again").unwrap();
        assert_eq!(shelf.get("a").unwrap(), b"again"[..]);
    }
}
