//! What was read from files, and is read again when they change.

use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A value read from files. Whoever asks for it gets what the files say now; if they say nothing
/// that makes sense, what they said before.
pub struct Watched<T> {
    files: Vec<PathBuf>,
    read: Box<Read<T>>,
    /// The files are not looked at again before this time is over.
    rest: Duration,
    state: Mutex<State<T>>,
}

type Read<T> = dyn Fn() -> Result<T, String> + Send + Sync;

struct State<T> {
    value: Arc<T>,
    stamps: Vec<Stamp>,
    looked: Instant,
}

impl<T> Watched<T> {
    /// Reads the files by `read`, now and whenever they have changed since.
    pub fn new<E: Display>(
        files: &[&Path],
        rest: Duration,
        read: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Watched<T>, E> {
        let files: Vec<_> = files.iter().map(|&file| file.to_owned()).collect();
        // Before they are read: a change in between is then found at the next look.
        let stamps = stamps(&files);
        let value = Arc::new(read()?);
        Ok(Watched {
            files,
            read: Box::new(move || read().map_err(|error| error.to_string())),
            rest,
            state: Mutex::new(State {
                value,
                stamps,
                looked: Instant::now(),
            }),
        })
    }

    pub fn get(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= self.rest {
            state.looked = Instant::now();
            let stamps = stamps(&self.files);
            if stamps != state.stamps {
                state.stamps = stamps;
                match (self.read)() {
                    Ok(value) => {
                        tracing::info!(files = ?self.files, "read again, as they have changed");
                        state.value = Arc::new(value);
                    }
                    Err(error) => tracing::error!("{error}; what it held before stays in use"),
                }
            }
        }
        state.value.clone()
    }
}

/// What differs once a file was written or replaced. `None`: no file, or one such as a pipe that
/// can be read only once.
type Stamp = Option<[i64; 6]>;

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let found = std::fs::metadata(file)
            .ok()
            .filter(|found| found.is_file())?;
        Some([
            found.dev().cast_signed(),
            found.ino().cast_signed(),
            found.size().cast_signed(),
            // Changed with the mode and the owner, too.
            found.ctime(),
            found.ctime_nsec(),
            found.mtime_nsec(),
        ])
    };
    files.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_and_nonsense_is_not_taken() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("number");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("1");
        let read = {
            let file = file.clone();
            move || std::fs::read_to_string(&file).map_or(Ok(0), |text| text.parse::<i32>())
        };
        let number = Watched::new(&[&file], Duration::ZERO, read).unwrap();
        assert_eq!(*number.get(), 1);
        write("22");
        assert_eq!(*number.get(), 22);
        write("nonsense");
        assert_eq!(*number.get(), 22);
        write("333");
        assert_eq!(*number.get(), 333);
    }
}
