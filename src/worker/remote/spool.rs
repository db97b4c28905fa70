//! Results on disk, one a file, until an API node takes them. They outlive the worker.
//!
//! A file is a line of JSON and the image. It appears under its name whole or not at all, and the
//! checksum in its first line says whether it still is.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::outbox::Parcel;
use crate::fractal::{Outcome, checksum};

/// How the files' names end; in the middle of being written they have another ending.
const ENDING: &str = "result";

/// Workers on one machine that keep their results beneath the same folder.
const WORKERS: usize = 1024;

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("cannot keep results in {folder}: {error}; name another folder with --spool")]
    Folder { folder: PathBuf, error: io::Error },
    #[error("too many workers keep results in {folder}: name another folder with --spool")]
    Crowded { folder: PathBuf },
}

pub struct Spool {
    folder: PathBuf,
    /// Most bytes of all files.
    most: u64,
    bytes: u64,
    /// By name, and so by age: the oldest first.
    files: VecDeque<(PathBuf, u64)>,
    last: u128,
    /// Held while this worker lives.
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct Head {
    row: i64,
    uuid: Uuid,
    checksum: String,
    size: u64,
    duration: f64,
    generated_by: String,
}

impl Spool {
    /// Takes a folder beneath `root` that no living worker has, with what it holds, and what those
    /// beside it hold that have none either.
    pub fn open(root: &Path, most: u64) -> Result<Spool, SpoolError> {
        let in_folder = |error| SpoolError::Folder {
            folder: root.to_owned(),
            error,
        };
        fs::create_dir_all(root).map_err(in_folder)?;
        let mut own: Option<(PathBuf, File)> = None;
        for n in 0..WORKERS {
            let folder = root.join(n.to_string());
            if own.is_some() && !folder.exists() {
                break;
            }
            fs::create_dir_all(&folder).map_err(in_folder)?;
            let lock = File::create(folder.join("lock")).map_err(in_folder)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(in_folder(error)),
            }
            match &own {
                None => own = Some((folder, lock)),
                Some((own, _)) => adopt(&folder, own).map_err(in_folder)?,
            }
        }
        let (folder, lock) = own.ok_or(SpoolError::Crowded {
            folder: root.to_owned(),
        })?;
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).map_err(in_folder)? {
            let entry = entry.map_err(in_folder)?;
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                files.push((path, entry.metadata().map_err(in_folder)?.len()));
            } else if path.file_name().is_some_and(|name| name != "lock") {
                // Cut off while it was written.
                let _ = fs::remove_file(path);
            }
        }
        files.sort();
        Ok(Spool {
            folder,
            most,
            bytes: files.iter().map(|(_, size)| size).sum(),
            files: files.into(),
            last: 0,
            _lock: lock,
        })
    }

    /// Results that wait here.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is room for so many bytes more.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.bytes + bytes <= self.most
    }

    /// Keeps a result, whatever becomes of this process.
    pub fn keep(&mut self, parcel: &Parcel) -> io::Result<()> {
        let outcome = &parcel.outcome;
        let mut head = serde_json::to_vec(&Head {
            row: parcel.row,
            uuid: parcel.uuid,
            checksum: outcome.checksum.clone(),
            size: outcome.size,
            duration: outcome.duration,
            generated_by: outcome.generated_by.clone(),
        })?;
        head.push(b'\n');
        // Names that sort by age, also when the clock is put back.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.last = now.map_or(0, |now| now.as_micros()).max(self.last + 1);
        let name = format!("{:020}-{}.{ENDING}", self.last, parcel.uuid);
        let path = self.folder.join(name);
        let mut part = tempfile::NamedTempFile::new_in(&self.folder)?;
        part.write_all(&head)?;
        part.write_all(&parcel.png)?;
        part.as_file().sync_all()?;
        part.persist(&path).map_err(|error| error.error)?;
        File::open(&self.folder)?.sync_all()?;
        let size = head.len() as u64 + parcel.png.len() as u64;
        self.bytes += size;
        self.files.push_back((path, size));
        Ok(())
    }

    /// The oldest result, which stays until [`Spool::remove`]. What is no result any more is told
    /// and thrown away.
    pub fn next(&mut self) -> Option<Parcel> {
        while let Some((path, size)) = self.files.pop_front() {
            match read(&path) {
                Ok(parcel) => {
                    return Some(Parcel {
                        file: Some((path, size)),
                        ..parcel
                    });
                }
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "a kept result is broken, and thrown away");
                    self.remove(&path, size);
                }
            }
        }
        None
    }

    /// Puts a result that came from here in front again.
    pub fn again(&mut self, path: PathBuf, size: u64) {
        self.files.push_front((path, size));
    }

    pub fn remove(&mut self, path: &Path, size: u64) {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(file = %path.display(), %error, "cannot remove a result that was delivered");
        }
        self.bytes = self.bytes.saturating_sub(size);
    }
}

fn adopt(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING)
            && let Some(name) = path.file_name()
        {
            fs::rename(&path, to.join(name))?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<Parcel> {
    let broken = |why: &str| io::Error::other(why.to_owned());
    let bytes = Bytes::from(fs::read(path)?);
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| broken("it has no first line"))?;
    let head: Head = serde_json::from_slice(&bytes[..end])?;
    let png = bytes.slice(end + 1..);
    if checksum(&png) != head.checksum {
        return Err(broken("its checksum is another"));
    }
    Ok(Parcel {
        row: head.row,
        uuid: head.uuid,
        outcome: Outcome {
            checksum: head.checksum,
            size: head.size,
            duration: head.duration,
            generated_by: head.generated_by,
        },
        png,
        file: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(n: u8) -> Parcel {
        let png = Bytes::from(vec![n; 100]);
        Parcel {
            row: i64::from(n),
            uuid: Uuid::from_u128(u128::from(n)),
            outcome: Outcome {
                checksum: checksum(&png),
                size: 100,
                duration: 0.5,
                generated_by: "test".into(),
            },
            png,
            file: None,
        }
    }

    #[test]
    fn results_come_back_whole_and_oldest_first() {
        let root = tempfile::TempDir::new().unwrap();
        let mut spool = Spool::open(root.path(), 1000).unwrap();
        for n in 1..=3 {
            spool.keep(&parcel(n)).unwrap();
        }
        assert!(spool.has_room(100) && !spool.has_room(500));
        let (second, _) = spool.files[1].clone();
        drop(spool);
        let mut bytes = fs::read(&second).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&second, bytes).unwrap();
        fs::write(root.path().join("0/.tmpabc"), "half").unwrap();

        let mut spool = Spool::open(root.path(), 1000).unwrap();
        assert_eq!(spool.len(), 3);
        let first = spool.next().unwrap();
        assert_eq!((first.row, &first.png), (1, &parcel(1).png));
        let (path, size) = first.file.unwrap();
        spool.again(path, size);
        let (path, size) = spool.next().unwrap().file.unwrap();
        spool.remove(&path, size);
        assert_eq!(spool.next().unwrap().row, 3);
        assert!(spool.next().is_none());
        assert!(!second.exists() && !root.path().join("0/.tmpabc").exists());
    }

    #[test]
    fn workers_side_by_side_have_folders_of_their_own() {
        let root = tempfile::TempDir::new().unwrap();
        let first = Spool::open(root.path(), 1000).unwrap();
        let mut second = Spool::open(root.path(), 1000).unwrap();
        second.keep(&parcel(1)).unwrap();
        drop((first, second));
        // Whoever starts next takes over what either has left.
        assert_eq!(Spool::open(root.path(), 1000).unwrap().len(), 1);
    }
}
