//! Files that commands write: whole, or not there at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::NamedTempFile;

/// A file that gets its name once it is complete; dropped before that, it leaves nothing behind.
pub struct NewFile {
    path: PathBuf,
    target: Target,
}

enum Target {
    /// Beside its later name, under one that nobody else has.
    Part(NamedTempFile),
    /// A device or a pipe has only the one name, and is never removed.
    Special(File),
}

impl NewFile {
    pub fn create(path: &Path) -> anyhow::Result<NewFile> {
        let cannot = || format!("cannot write {}", path.display());
        // Where a link leads, if it is one: the link itself stays.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let special = fs::metadata(&path).is_ok_and(|found| !found.is_file());
        let target = if special {
            Target::Special(File::create(&path).with_context(cannot)?)
        } else {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let part = tempfile::Builder::new()
                .prefix(".faafo-")
                // As any new file: the umask takes away from this.
                .permissions(Permissions::from_mode(0o666))
                .tempfile_in(folder.unwrap_or(Path::new(".")));
            Target::Part(part.with_context(cannot)?)
        };
        Ok(NewFile { path, target })
    }

    pub fn complete(self) -> anyhow::Result<()> {
        let Target::Part(part) = self.target else {
            return Ok(());
        };
        // Or a power cut could leave the name without the contents.
        part.as_file().sync_all()?;
        part.persist(&self.path)
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.target {
            Target::Part(part) => part.write(bytes),
            Target::Special(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Part(part) => part.flush(),
            Target::Special(file) => file.flush(),
        }
    }
}
