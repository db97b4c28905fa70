//! Files that commands write: whole, or not there at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A file that gets its name once it is complete; dropped before that, it leaves nothing behind.
pub struct NewFile {
    file: File,
    path: PathBuf,
    /// The name it has until then. A device or a pipe has only the one, and is never removed.
    part: Option<PathBuf>,
}

impl NewFile {
    pub fn create(path: &Path) -> anyhow::Result<NewFile> {
        let special = fs::metadata(path).is_ok_and(|found| !found.is_file());
        let part = (!special).then(|| {
            let mut part = path.as_os_str().to_owned();
            part.push(format!(".{}.part", std::process::id()));
            PathBuf::from(part)
        });
        let file = File::create(part.as_deref().unwrap_or(path));
        Ok(NewFile {
            file: file.with_context(|| format!("cannot write {}", path.display()))?,
            path: path.to_owned(),
            part,
        })
    }

    pub fn complete(mut self) -> anyhow::Result<()> {
        if let Some(part) = &self.part {
            // Or a power cut could leave the name without the contents.
            self.file.sync_all()?;
            fs::rename(part, &self.path)
                .with_context(|| format!("cannot write {}", self.path.display()))?;
            self.part = None;
        }
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            // What went wrong is told already.
            let _ = fs::remove_file(part);
        }
    }
}
