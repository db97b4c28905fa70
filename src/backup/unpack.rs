//! Restoring a backup: all of it is unpacked and checked before anything is replaced.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{ABOUT, About, BackupError, FORM, Files, STORE, SUMS, Summing, TOKENS};
use crate::store::copy::{fold, inspect};
use crate::store::lock;
use crate::tokens::{give_file, give_path};

/// The small files of an archive have no more bytes than this.
const SMALL: u64 = 64 << 10;

/// Puts the farm in the backup `from` to where `to` says. `force`: in the place of one that is there.
/// `progress` hears how much of it is done, 0 to 1.
pub fn unpack(
    from: &Path,
    to: &Files,
    force: bool,
    progress: &mut dyn FnMut(f64),
) -> Result<About, BackupError> {
    let read = |error| BackupError::Read {
        path: from.to_owned(),
        error,
    };
    let file = File::open(from).map_err(read)?;
    let folder = to.folder();
    let in_folder = |error| BackupError::Write {
        path: folder.to_owned(),
        error,
    };
    // Not while a server is at work there, and none starts until this is done.
    let held = lock(folder)?;
    give_file(folder, &held).map_err(in_folder)?;
    // Tokens alone are those of a farm whose store is elsewhere.
    let tokens = TOKENS.map(|name| to.data.join(name));
    let mut kept = tokens.iter().chain([&to.store]);
    if let Some(there) = kept.find(|path| path.exists()).filter(|_| !force) {
        return Err(BackupError::There(there.clone()));
    }
    let beside = TempDir::with_prefix_in(".restore-", folder).map_err(in_folder)?;
    let archive = Archive { from, beside };
    let all = file.metadata().map_err(read)?.len().max(1);
    let mut done = 0;
    let about = archive.unpack(file, &mut |bytes| {
        done += bytes;
        progress(done as f64 / all as f64);
    })?;
    let store = archive.beside.path().join(STORE);
    // Or the farm would be gone before a server says that it cannot open this one. It changes nothing.
    inspect(&store)?;
    replace(&store, &to.store).map_err(in_folder)?;
    for name in TOKENS {
        let token = archive.beside.path().join(name);
        if token.exists() {
            let in_data = |error| BackupError::Write {
                path: to.data.clone(),
                error,
            };
            place_token(&token, &to.data, name).map_err(in_data)?;
        }
    }
    Ok(about)
}

/// Puts a store in the place of another, if there is one.
fn replace(store: &Path, place: &Path) -> io::Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    let beside = |end: &str| {
        let mut name = place.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    if place.exists() && fold(place).is_err() {
        // Broken, which may be why it is replaced.
        tracing::debug!("the store that is replaced cannot be read");
    }
    // The log of the old one must not be taken for the new one's. Folded in, it holds nothing.
    for end in ["-wal", "-shm"] {
        match fs::remove_file(beside(end)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    give_path(folder, store)?;
    fs::rename(store, place)?;
    File::open(folder)?.sync_all()
}

fn place_token(token: &Path, data: &Path, name: &str) -> io::Result<()> {
    let place = data.join(name);
    let folder = place.parent().unwrap_or(data);
    if !folder.exists() {
        use std::os::unix::fs::DirBuilderExt;
        fs::create_dir_all(data)?;
        fs::DirBuilder::new().mode(0o700).create(folder)?;
        give_path(data, folder)?;
    }
    // The data folder may be another file system than the store's.
    let mut part = tempfile::NamedTempFile::new_in(folder)?;
    part.write_all(&fs::read(token)?)?;
    give_file(folder, part.as_file())?;
    part.as_file().sync_all()?;
    part.persist(&place).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// An archive, and where it is unpacked.
struct Archive<'a> {
    from: &'a Path,
    beside: TempDir,
}

impl Archive<'_> {
    fn foreign(&self) -> BackupError {
        BackupError::Foreign(self.from.to_owned())
    }

    fn damaged(&self, what: impl Into<String>) -> BackupError {
        BackupError::Damaged {
            path: self.from.to_owned(),
            what: what.into(),
        }
    }

    /// Unpacks it all, and holds it against its checksums.
    fn unpack(&self, file: File, progress: &mut dyn FnMut(u64)) -> Result<About, BackupError> {
        let counted = Counted {
            from: file,
            progress,
        };
        let zstd = zstd::Decoder::new(BufReader::new(counted)).map_err(|_| self.foreign())?;
        let mut tar = tar::Archive::new(zstd);
        let entries = tar.entries().map_err(|_| self.foreign())?;
        let mut found: Vec<(String, String)> = Vec::new();
        let mut about = None;
        let mut sums = None;
        for entry in entries {
            // What is no archive at all fails at the first entry.
            let mut entry = match (entry, &about) {
                (Ok(entry), _) => entry,
                (Err(error), None) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    return Err(self.foreign());
                }
                (Err(error), _) => return Err(self.damaged(error.to_string())),
            };
            let name = entry.path().map_err(|_| self.foreign())?;
            let name = name.to_string_lossy().into_owned();
            if about.is_none() && name != ABOUT {
                return Err(self.foreign());
            }
            let broken = |error: io::Error| self.damaged(error.to_string());
            let mut ignore = |_| {};
            let mut summing = Summing::new(&mut entry, &mut ignore);
            match name.as_str() {
                ABOUT => about = Some(self.about(&text(&mut summing).map_err(broken)?)?),
                SUMS => sums = Some(text(&mut summing).map_err(broken)?),
                STORE | "tokens/user" | "tokens/worker" => self.keep(&name, &mut summing)?,
                _ => return Err(self.damaged(format!("it holds {name:?}, which no backup does"))),
            }
            found.push((name, summing.sum()));
        }
        let (Some(about), Some(sums)) = (about, sums) else {
            return Err(self.damaged("its end is missing"));
        };
        // The checksum of the checksums themselves is nowhere.
        found.retain(|(name, _)| name != SUMS);
        let said = sums.lines().filter_map(|line| line.split_once("  "));
        let said: Vec<_> = said
            .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
            .collect();
        if let Some((name, _)) = found.iter().find(|file| !said.contains(file)) {
            return Err(self.damaged(format!("{name} does not have its checksum")));
        }
        if said.len() != found.len() || !found.iter().any(|(name, _)| name == STORE) {
            return Err(self.damaged("files are missing in it"));
        }
        Ok(about)
    }

    fn about(&self, text: &str) -> Result<About, BackupError> {
        #[derive(serde::Deserialize)]
        struct Form {
            form: u32,
        }
        let form: Form = serde_json::from_str(text).map_err(|_| self.foreign())?;
        if form.form > FORM {
            return Err(BackupError::Newer(self.from.to_owned()));
        }
        serde_json::from_str(text).map_err(|_| self.foreign())
    }

    fn keep(&self, name: &str, from: &mut impl Read) -> Result<(), BackupError> {
        let path = self.beside.path().join(name);
        let write = |error| BackupError::Write {
            path: path.clone(),
            error,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(write)?;
        }
        let mut file = File::create_new(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => self.damaged(format!("it holds {name} twice")),
            _ => write(error),
        })?;
        let mut bytes = vec![0; 1 << 20];
        loop {
            let read = from.read(&mut bytes);
            let read = read.map_err(|error| self.damaged(error.to_string()))?;
            if read == 0 {
                break;
            }
            file.write_all(&bytes[..read]).map_err(write)?;
        }
        set_private(&file).map_err(write)?;
        file.sync_all().map_err(write)
    }
}

fn set_private(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // The folder that it goes to is what others are kept from.
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

fn text(from: &mut impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(SMALL).read_to_string(&mut text)?;
    Ok(text)
}

/// Tells how much was read.
struct Counted<'a, R> {
    from: R,
    progress: &'a mut dyn FnMut(u64),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        (self.progress)(read as u64);
        Ok(read)
    }
}
