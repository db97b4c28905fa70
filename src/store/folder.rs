//! The folder of a node: of one process at a time, and who that node is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::StoreError;
use super::server::Node;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use {path} as data folder: {error}; name another with --data-dir")]
    Folder { path: String, error: std::io::Error },
    #[error("another faafo uses the data folder {path}: stop it, or name another with --data-dir")]
    InUse { path: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One process a folder: makes the folder if need be, and holds it as long as the file is open.
pub fn lock(folder: &Path) -> Result<File, OpenError> {
    let in_folder = in_folder(folder);
    std::fs::create_dir_all(folder).map_err(in_folder)?;
    // Root may be at work in a folder of somebody else's: no link there leads it away.
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(folder.join("lock"))
        .map_err(in_folder)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: folder.display().to_string(),
        }),
        Err(TryLockError::Error(error)) => Err(in_folder(error)),
    }
}

pub fn in_folder(folder: &Path) -> impl Fn(std::io::Error) -> OpenError + Copy {
    move |error| OpenError::Folder {
        path: folder.display().to_string(),
        error,
    }
}

/// Who this node is: drawn at its first start and kept in its folder, and mixed with the machine's
/// name, as folders are copied when machines are.
pub fn node(folder: &Path, host: &str) -> Result<Node, OpenError> {
    let in_folder = in_folder(folder);
    let file = folder.join("node");
    let drawn = match std::fs::read_to_string(&file) {
        Ok(drawn) if !drawn.trim().is_empty() => drawn,
        Ok(_) => draw(&file).map_err(in_folder)?,
        Err(error) if error.kind() == ErrorKind::NotFound => draw(&file).map_err(in_folder)?,
        Err(error) => return Err(in_folder(error)),
    };
    let digest = Sha256::digest(format!("{} {host}", drawn.trim()));
    let mut id = [0; 8];
    id.copy_from_slice(&digest[..8]);
    Ok(Node {
        // Never negative: -1 stands for none.
        id: i64::from_be_bytes(id) & i64::MAX,
        name: host.chars().take(200).collect(),
    })
}

fn draw(file: &Path) -> std::io::Result<String> {
    let drawn = Uuid::new_v4().to_string();
    std::fs::write(file, format!("{drawn}\n"))?;
    Ok(drawn)
}
