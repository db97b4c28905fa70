//! Where tokens are kept: one file each, which nobody but its owner can read.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, fchown, lchown};
use std::path::{Path, PathBuf};

use super::{Kind, MOST, Token, Unfit};
use crate::service;

#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    #[error("cannot read the token file {path}: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error(
        "others can read the token file {path} (mode {mode:03o}): run `chmod 600 {path}`, and if \
         it was so for long, make a new token"
    )]
    Open { path: PathBuf, mode: u32 },
    #[error("the token file {path} {unfit}")]
    Unfit { path: PathBuf, unfit: Unfit },
    #[error(
        "there is no {} token in {folder} so far: a server makes it when it first listens beyond \
         loopback, and `{} --rotate` makes it now; --data-dir names another folder",
        kind.name(), kind.command()
    )]
    None { kind: Kind, folder: PathBuf },
    #[error("cannot keep a token in {folder}: {error}")]
    Write { folder: PathBuf, error: io::Error },
    #[error(
        "the {} token is given as {path}, not made by faafo: put another there, and running \
         servers take it up", kind.name()
    )]
    Given { kind: Kind, path: PathBuf },
}

/// Who sees to it that a token is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// The farm: it makes one if there is none.
    Farm,
    Operator,
    /// Hands it over as a credential, by means of its own to keep others from it.
    Systemd,
}

/// Where one token is kept.
#[derive(Clone, Debug)]
pub struct Place {
    kind: Kind,
    path: PathBuf,
    owner: Owner,
}

impl Place {
    /// The file that was named; else a credential from systemd; else one in the data folder.
    pub fn find(kind: Kind, named: Option<PathBuf>, data: &Path) -> Place {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let credential = service::credential(&format!("{}-token", kind.name()));
        let (path, owner) = match (named, credential) {
            (Some(path), _) => match credentials {
                Some(folder) if path.starts_with(&folder) => (path, Owner::Systemd),
                _ => (path, Owner::Operator),
            },
            (None, Some(path)) => (path, Owner::Systemd),
            (None, None) => (data.join("tokens").join(kind.name()), Owner::Farm),
        };
        Place { kind, path, owner }
    }

    /// The farm's own, in its data folder.
    pub fn own(kind: Kind, data: &Path) -> Place {
        let path = data.join("tokens").join(kind.name());
        Place {
            kind,
            path,
            owner: Owner::Farm,
        }
    }

    /// Whether someone has said that there is to be a token.
    pub fn is_given(&self) -> bool {
        self.owner != Owner::Farm
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn read(&self) -> Result<Token, TokenFileError> {
        let text = match text_of(&self.path, self.owner != Owner::Systemd) {
            Err(TokenFileError::Read { error, .. })
                if self.owner == Owner::Farm && error.kind() == io::ErrorKind::NotFound =>
            {
                return Err(TokenFileError::None {
                    kind: self.kind,
                    folder: self.folder().to_owned(),
                });
            }
            text => text?,
        };
        Token::parse_as(self.kind, &text).map_err(|unfit| TokenFileError::Unfit {
            path: self.path.clone(),
            unfit,
        })
    }

    /// Makes the farm's own token if there is none so far; then it is returned.
    pub fn make_if_missing(&self) -> Result<Option<Token>, TokenFileError> {
        // Whatever else is wrong with it is told when it is read.
        if self.is_given() || self.path.symlink_metadata().is_ok() {
            return Ok(None);
        }
        self.write(|part, path| match part.persist_noclobber(path) {
            Ok(_) => Ok(true),
            // Someone was faster, and theirs may be in use already.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.error),
        })
    }

    /// Replaces the farm's own token by a new one.
    pub fn rotate(&self) -> Result<Token, TokenFileError> {
        if self.is_given() {
            return Err(TokenFileError::Given {
                kind: self.kind,
                path: self.path.clone(),
            });
        }
        let token = self.write(|part, path| match part.persist(path) {
            Ok(_) => Ok(true),
            Err(error) => Err(error.error),
        })?;
        match token {
            Some(token) => Ok(token),
            None => self.read(),
        }
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Writes a new token and puts it into its place by `persist`, whole or not at all. `None`: the
    /// place was taken.
    fn write(
        &self,
        persist: impl FnOnce(tempfile::NamedTempFile, &Path) -> io::Result<bool>,
    ) -> Result<Option<Token>, TokenFileError> {
        let folder = self.folder();
        let write = || {
            make_private(folder)?;
            let token = Token::random(self.kind)?;
            // Made with mode 0600, whatever the umask.
            let mut part = tempfile::NamedTempFile::new_in(folder)?;
            writeln!(part, "{}", token.expose())?;
            // Root may rotate what a server reads that does not run as root.
            give_file(folder, part.as_file())?;
            // Or a power cut could leave the name without the contents.
            part.as_file().sync_all()?;
            let written = persist(part, &self.path)?;
            File::open(folder)?.sync_all()?;
            Ok(written.then_some(token))
        };
        write().map_err(|error| TokenFileError::Write {
            folder: folder.to_owned(),
            error,
        })
    }
}

/// Reads a token, of whichever kind, from a file that somebody named.
pub fn read(path: &Path) -> Result<Token, TokenFileError> {
    parse(path, &text_of(path, true)?)
}

/// As [`read`], from what comes in another way.
pub fn read_from(input: impl Read) -> Result<Token, TokenFileError> {
    let path = Path::new("on standard input");
    parse(path, &text_in(path, input)?)
}

fn parse(path: &Path, text: &str) -> Result<Token, TokenFileError> {
    Token::parse(text).map_err(|unfit| TokenFileError::Unfit {
        path: path.to_owned(),
        unfit,
    })
}

fn text_of(path: &Path, private: bool) -> Result<String, TokenFileError> {
    let cannot = |error| TokenFileError::Read {
        path: path.to_owned(),
        error,
    };
    let file = File::open(path).map_err(cannot)?;
    let found = file.metadata().map_err(cannot)?;
    let mode = found.mode() & 0o777;
    // A pipe, as shells make for `<(...)`, lets nobody else in.
    if private && found.is_file() && mode & 0o077 != 0 {
        return Err(TokenFileError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    text_in(path, file)
}

fn text_in(path: &Path, input: impl Read) -> Result<String, TokenFileError> {
    let mut bytes = Vec::new();
    // Enough to find out that it is too much.
    let read = input.take(4 * MOST as u64).read_to_end(&mut bytes);
    match read {
        Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => Err(TokenFileError::Read {
            path: path.to_owned(),
            error,
        }),
    }
}

/// Makes the folder with mode 0700 if it is not there, with those above it.
fn make_private(folder: &Path) -> io::Result<()> {
    let above = folder.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(above)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => give_path(above, folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes an open file belong to whom `folder` belongs to, if root has made it, whatever its name has
/// come to mean.
pub fn give_file(folder: &Path, file: &File) -> io::Result<()> {
    match heirs(folder, &file.metadata()?)? {
        Some((user, group)) => fchown(file, Some(user), Some(group)),
        None => Ok(()),
    }
}

/// The same for what a path names. Whom the folder belongs to may put a link to any file there: it is
/// the link that is given away.
pub fn give_path(folder: &Path, path: &Path) -> io::Result<()> {
    match heirs(folder, &fs::symlink_metadata(path)?)? {
        Some((user, group)) => lchown(path, Some(user), Some(group)),
        None => Ok(()),
    }
}

/// Only root gives away; to others the folder would belong already, or stay closed.
fn heirs(folder: &Path, gift: &Metadata) -> io::Result<Option<(u32, u32)>> {
    let owner = fs::metadata(folder)?;
    let given = gift.uid() == 0 && owner.uid() != 0;
    Ok(given.then(|| (owner.uid(), owner.gid())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    #[test]
    fn what_a_link_in_the_folder_points_to_stays_roots() {
        let root = tempfile::TempDir::new().unwrap();
        if fs::metadata(root.path()).unwrap().uid() != 0 {
            // Others give nothing away.
            return;
        }
        let folder = root.path().join("folder");
        fs::create_dir(&folder).unwrap();
        chown(&folder, Some(4711), Some(4712)).unwrap();
        let secret = root.path().join("secret");
        fs::write(&secret, "root's").unwrap();
        let link = folder.join("lock");
        symlink(&secret, &link).unwrap();
        give_path(&folder, &link).unwrap();
        assert_eq!(fs::metadata(&secret).unwrap().uid(), 0);

        // A link in the place of a file that is open.
        let path = folder.join("part");
        let part = File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&secret, &path).unwrap();
        give_file(&folder, &part).unwrap();
        assert_eq!(fs::metadata(&secret).unwrap().uid(), 0);
        let given = part.metadata().unwrap();
        assert_eq!((given.uid(), given.gid()), (4711, 4712));
    }
}
