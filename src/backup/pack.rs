//! Making a backup, whether or not a server is at work.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::{NamedTempFile, TempDir};

use super::{ABOUT, About, BackupError, FORM, Files, STORE, SUMS, Summing, TOKENS};
use crate::store::copy::copy;

/// Of zstd: images are compressed already, and the rest is quick at this level.
const LEVEL: i32 = 1;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// Writes a backup of the farm at `from` to `to`, whole or not at all, for its owner alone to read.
/// `progress` hears how much of it is done, 0 to 1.
pub fn pack(from: &Files, to: &Path, progress: &mut dyn FnMut(f64)) -> Result<About, BackupError> {
    if !from.store.exists() {
        return Err(BackupError::NoFarm(from.data.clone()));
    }
    let write = |error| BackupError::Write {
        path: to.to_owned(),
        error,
    };
    let folder = to.parent().filter(|path| !path.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // Where there has to be room for the backup anyway.
    let beside = TempDir::with_prefix_in(".faafo-", folder).map_err(write)?;
    let store = beside.path().join(STORE);
    let half = |done: u64, all: u64| done as f64 / all.max(1) as f64 / 2.0;
    let copied = copy(&from.store, &store, |done, all| progress(half(done, all)))?;
    let about = About {
        form: FORM,
        faafo: env!("CARGO_PKG_VERSION").into(),
        at: format!("{:.0}", Timestamp::now()),
        fractals: copied.counts.into(),
    };

    let part = NamedTempFile::with_prefix_in(".faafo-", folder).map_err(write)?;
    let mut archive = Archive::new(part).map_err(write)?;
    let text = serde_json::to_string_pretty(&about).map_err(|error| write(error.into()))? + "\n";
    let size = text.len() as u64;
    archive
        .add(ABOUT, text.as_bytes(), size, &mut |_| {})
        .map_err(write)?;
    for (name, path) in files(from, store) {
        let read = |error| BackupError::Read {
            path: path.clone(),
            error,
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            // Tokens are made when they are needed.
            Err(error) if name != STORE && error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(read(error)),
        };
        let size = file.metadata().map_err(read)?.len();
        let mut done = 0;
        let added = archive.add(
            name,
            BufReader::with_capacity(CHUNK, file),
            size,
            &mut |n| {
                done += n;
                progress(0.5 + half(done, size));
            },
        );
        added.map_err(write)?;
    }
    let part = archive.finish().map_err(write)?;
    part.as_file().sync_all().map_err(write)?;
    part.persist(to).map_err(|error| write(error.error))?;
    Ok(about)
}

/// What goes into the archive, by the names that it has there.
fn files(farm: &Files, store: PathBuf) -> impl Iterator<Item = (&'static str, PathBuf)> {
    let tokens = TOKENS.map(|name| (name, farm.data.join(name)));
    tokens.into_iter().chain([(STORE, store)])
}

/// An archive being written, with the checksums of what is in it so far.
struct Archive {
    tar: tar::Builder<zstd::Encoder<'static, BufWriter<NamedTempFile>>>,
    sums: String,
    at: u64,
}

impl Archive {
    fn new(file: NamedTempFile) -> io::Result<Archive> {
        let mut zstd = zstd::Encoder::new(BufWriter::with_capacity(CHUNK, file), LEVEL)?;
        zstd.include_checksum(true)?;
        Ok(Archive {
            tar: tar::Builder::new(zstd),
            sums: String::new(),
            at: Timestamp::now().as_second().max(0) as u64,
        })
    }

    fn add(
        &mut self,
        name: &str,
        from: impl Read,
        size: u64,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime(self.at);
        let mut summing = Summing::new(from, progress);
        self.tar.append_data(&mut header, name, &mut summing)?;
        self.sums.push_str(&format!("{}  {name}\n", summing.sum()));
        Ok(())
    }

    fn finish(mut self) -> io::Result<NamedTempFile> {
        let sums = std::mem::take(&mut self.sums);
        let size = sums.len() as u64;
        self.add(SUMS, sums.as_bytes(), size, &mut |_| {})?;
        let mut file = self.tar.into_inner()?.finish()?;
        file.flush()?;
        file.into_inner().map_err(|error| error.into_error())
    }
}
