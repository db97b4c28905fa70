//! Backups of a farm whose store is a file: a tar archive, compressed with zstd, of the store as it
//! was at one moment, the tokens that the farm made, and the checksums of all that.
//!
//! Anybody's `tar --zstd -x` and `sha256sum -c SHA256SUMS` open and check one, too.

mod pack;
mod unpack;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::digest::hexadecimal;
use crate::store::url::Database;
use crate::store::{FILE, OpenError, StoreError};
use crate::wire::CountsDoc;

pub use pack::pack;
pub use unpack::unpack;

/// What the archive says of itself, and its first entry.
const ABOUT: &str = "faafo-backup.json";

/// The store, as its entry is called.
const STORE: &str = FILE;

/// Tokens that the farm made, in the data folder and in the archive.
const TOKENS: [&str; 2] = ["tokens/user", "tokens/worker"];

/// The last entry: without it the archive is cut short.
const SUMS: &str = "SHA256SUMS";

/// Archives of a later form are left to later versions.
const FORM: u32 = 1;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Of the archive.
    form: u32,
    /// The version that made it.
    pub faafo: String,
    /// RFC 3339, UTC.
    pub at: String,
    pub fractals: CountsDoc,
}

/// The files of a farm on this machine.
#[derive(Clone, Debug)]
pub struct Files {
    pub data: PathBuf,
    pub store: PathBuf,
}

impl Files {
    /// Where they are; `None` if the store is on a server.
    pub fn of(database: &Database, data: &Path) -> Option<Files> {
        let store = match database {
            Database::InDataFolder => data.join(FILE),
            Database::Sqlite(file) => file.clone(),
            Database::MySql(_) | Database::Postgres(_) => return None,
        };
        let data = data.to_owned();
        Some(Files { data, store })
    }

    /// The folder that a server holds while it runs.
    fn folder(&self) -> &Path {
        match self.store.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }
}

/// Why there is no backup, or nothing is restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(
        "there is no farm at {0}: name its folder with --data-dir, or its settings with --config-file"
    )]
    NoFarm(PathBuf),
    #[error("cannot write {path}: {error}")]
    Write { path: PathBuf, error: io::Error },
    #[error("cannot read {path}: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("there is a farm with {0} already: --force replaces it, and all its fractals are gone")]
    There(PathBuf),
    #[error("{0} is no backup of faafo's")]
    Foreign(PathBuf),
    #[error("{0} was made by a newer faafo: restore it with that version")]
    Newer(PathBuf),
    #[error("{path} is damaged, {what}; nothing was changed: take another backup")]
    Damaged { path: PathBuf, what: String },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads, and adds up what was read.
struct Summing<'a, R> {
    from: R,
    sum: Sha256,
    /// Hears of all bytes.
    progress: &'a mut dyn FnMut(u64),
}

impl<'a, R: Read> Summing<'a, R> {
    fn new(from: R, progress: &'a mut dyn FnMut(u64)) -> Self {
        Summing {
            from,
            sum: Sha256::new(),
            progress,
        }
    }

    /// SHA-256 of what was read, in hexadecimal.
    fn sum(self) -> String {
        hexadecimal(&self.sum.finalize())
    }
}

impl<R: Read> Read for Summing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.sum.update(&buffer[..read]);
        (self.progress)(read as u64);
        Ok(read)
    }
}
