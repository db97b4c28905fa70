//! Results on disk, one a file, until an API node takes them. They outlive the worker.
//!
//! A file is a line of JSON and the image. It appears under its name whole or not at all, and the
//! checksum in its first line says whether it still is.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::checksum;
use crate::fractal::{Outcome, RowId};

/// How the files' names end; in the middle of being written they have another ending.
const ENDING: &str = "result";

/// Workers on one machine that keep their results beneath the same folder.
const WORKERS: usize = 1024;

/// Nothing is read for so long after a file could not be.
pub const REST: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("cannot keep results in {folder}: {error}; name another folder with --spool")]
    Folder { folder: PathBuf, error: io::Error },
    #[error("too many workers keep results in {folder}: name another folder with --spool")]
    Crowded { folder: PathBuf },
}

/// A result on its way.
#[derive(Clone)]
pub struct Parcel {
    pub row: RowId,
    pub uuid: Uuid,
    pub outcome: Outcome,
    pub png: Bytes,
    /// The file that holds it as well.
    pub file: Option<Kept>,
}

/// A result's file.
#[derive(Clone, Debug)]
pub struct Kept {
    path: PathBuf,
    /// Its bytes.
    size: u64,
    /// The result's row, if it was kept by this process: whoever was before has no lease any more.
    row: Option<RowId>,
}

/// What the spool comes upon.
pub enum Found {
    Result(Parcel),
    /// A file was thrown away, as it holds no result any more; the row is known as in [`Kept`].
    Broken(Option<RowId>),
}

pub struct Spool {
    folder: PathBuf,
    /// Most bytes of all files.
    most: u64,
    bytes: u64,
    /// By name, and so by age: the oldest first, but for those that were put back.
    files: VecDeque<Kept>,
    last: u128,
    /// Nothing is read before.
    rest_until: Option<Instant>,
    /// The log has been told that a file cannot be read.
    complained: bool,
    /// Held while this worker lives.
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct Head {
    row: RowId,
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
                files.push(Kept {
                    path,
                    size: entry.metadata().map_err(in_folder)?.len(),
                    row: None,
                });
            } else if path.file_name().is_some_and(|name| name != "lock") {
                // Cut off while it was written.
                let _ = fs::remove_file(path);
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Spool {
            folder,
            most,
            bytes: files.iter().map(|file| file.size).sum(),
            files: files.into(),
            last: 0,
            rest_until: None,
            complained: false,
            _lock: lock,
        })
    }

    /// Results that wait here.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether the file that was tried last could be read.
    pub fn is_readable(&self) -> bool {
        !self.complained
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
        self.files.push_back(Kept {
            path,
            size,
            row: Some(parcel.row),
        });
        Ok(())
    }

    /// The next result, which stays until [`Spool::remove`], or a word of one that is lost.
    /// `None` while there are files: one could not be read, and can be tried again after [`REST`].
    pub fn next(&mut self) -> Option<Found> {
        if self.rest_until.is_some_and(|until| until > Instant::now()) {
            return None;
        }
        let file = self.files.pop_front()?;
        match read(&file.path) {
            Ok(parcel) => {
                self.complained = false;
                Some(Found::Result(Parcel {
                    file: Some(file),
                    ..parcel
                }))
            }
            Err(Unread::Broken(why)) => {
                let path = file.path.display();
                tracing::warn!(file = %path, %why, "a kept result is broken, and thrown away");
                self.remove(&file);
                Some(Found::Broken(file.row))
            }
            Err(Unread::NotNow(error)) => {
                if !self.complained {
                    let path = file.path.display();
                    tracing::warn!(file = %path, %error, "cannot read a kept result; trying on");
                }
                self.complained = true;
                self.rest_until = Some(Instant::now() + REST);
                // Others may be readable.
                self.files.push_back(file);
                None
            }
        }
    }

    /// Puts a result that came from here behind the others.
    pub fn again(&mut self, file: Kept) {
        self.files.push_back(file);
    }

    pub fn remove(&mut self, file: &Kept) {
        match fs::remove_file(&file.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = file.path.display();
                tracing::warn!(file = %path, %error, "cannot remove a kept result");
            }
            _ => {}
        }
        self.bytes = self.bytes.saturating_sub(file.size);
    }
}

/// What lies beneath a spool's root, for whoever looks from outside.
#[derive(Debug, Default)]
pub struct Stock {
    pub results: usize,
    /// Of their files.
    pub bytes: u64,
    /// A living worker keeps its results there.
    pub in_use: bool,
    /// The workers' folders, by their names.
    pub folders: Vec<PathBuf>,
}

/// Looks without changing anything. A root that is not there holds nothing.
pub fn stock(root: &Path) -> io::Result<Stock> {
    let mut stock = Stock::default();
    for n in 0..WORKERS {
        let name = PathBuf::from(n.to_string());
        let folder = root.join(&name);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let is_result = entry.path().extension().is_some_and(|e| e == ENDING);
            // Unless it was delivered just now.
            if let (true, Ok(found)) = (is_result, entry.metadata()) {
                stock.results += 1;
                stock.bytes += found.len();
            }
        }
        let lock = File::open(folder.join("lock"));
        stock.in_use |= lock.is_ok_and(|lock| {
            let taken = lock.try_lock_shared();
            matches!(taken, Err(TryLockError::WouldBlock))
        });
        stock.folders.push(name);
    }
    Ok(stock)
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

/// Why a file brought no result.
enum Unread {
    /// It holds none any more.
    Broken(String),
    /// The system could not read it now.
    NotNow(io::Error),
}

fn read(path: &Path) -> Result<Parcel, Unread> {
    let broken = |why: &str| Unread::Broken(why.to_owned());
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => broken("it is gone"),
        _ => Unread::NotNow(error),
    })?;
    let bytes = Bytes::from(bytes);
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| broken("it has no first line"))?;
    let head = serde_json::from_slice(&bytes[..end]);
    let head: Head = head.map_err(|error| broken(&error.to_string()))?;
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

    fn result(spool: &mut Spool) -> Parcel {
        match spool.next() {
            Some(Found::Result(parcel)) => parcel,
            Some(Found::Broken(row)) => panic!("broken: {row:?}"),
            None => panic!("nothing"),
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
        let second = spool.files[1].path.clone();
        drop(spool);
        let mut bytes = fs::read(&second).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&second, bytes).unwrap();
        fs::write(root.path().join("0/.tmpabc"), "half").unwrap();

        let mut spool = Spool::open(root.path(), 1000).unwrap();
        assert_eq!(spool.len(), 3);
        let first = result(&mut spool);
        assert_eq!((first.row, &first.png), (1, &parcel(1).png));
        spool.again(first.file.unwrap());
        assert!(matches!(spool.next(), Some(Found::Broken(None))));
        assert_eq!(result(&mut spool).row, 3);
        // What was put back comes last.
        let first = result(&mut spool);
        assert_eq!(first.row, 1);
        spool.remove(&first.file.unwrap());
        assert!(spool.next().is_none());
        assert!(!second.exists() && !root.path().join("0/.tmpabc").exists());
    }

    #[test]
    fn only_what_is_broken_is_thrown_away() {
        let root = tempfile::TempDir::new().unwrap();
        let mut spool = Spool::open(root.path(), 1000).unwrap();
        for n in 1..=4 {
            spool.keep(&parcel(n)).unwrap();
        }
        let paths: Vec<_> = spool.files.iter().map(|file| file.path.clone()).collect();
        fs::write(&paths[0], "nonsense").unwrap();
        fs::remove_file(&paths[1]).unwrap();
        // What cannot be read for another reason: even root reads no folder.
        fs::remove_file(&paths[2]).unwrap();
        fs::create_dir(&paths[2]).unwrap();
        for row in [1, 2] {
            let found = spool.next();
            assert!(matches!(found, Some(Found::Broken(Some(lost))) if lost == row));
        }
        assert!(!paths[0].exists());
        // Nobody tries again at once, and then others come first.
        for _ in 0..2 {
            assert!(spool.next().is_none());
        }
        assert_eq!((spool.len(), spool.is_readable()), (2, false));
        spool.rest_until = None;
        assert_eq!(result(&mut spool).row, 4);
        fs::remove_dir(&paths[2]).unwrap();
        fs::write(&paths[2], fs::read(&paths[3]).unwrap()).unwrap();
        assert_eq!(result(&mut spool).row, 4);
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
