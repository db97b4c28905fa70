//! What holds where nobody says anything, as far as it depends on the machine.

use std::path::PathBuf;

use super::ConfigError;
use crate::service;

/// Memory that a slot may need at once: the picture of most pixels, as it is compressed and stored.
const SLOT_MEMORY: u64 = 64 << 20;

/// Memory that a node needs beside its slots.
const OTHER_MEMORY: u64 = 32 << 20;

/// Pictures rendered at a time, where nobody says how many: one a core that this process may use,
/// but no more than its memory is enough for.
pub fn slots() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let Some(memory) = crate::memory::limit() else {
        return cores;
    };
    let slots = memory.saturating_sub(OTHER_MEMORY) / SLOT_MEMORY;
    usize::try_from(slots).map_or(cores, |slots| slots.clamp(1, cores))
}

/// The platform's folder for a user's data. Asks the environment only: looking up the user in a
/// static binary would load the host's libraries.
pub fn default_data_dir() -> Result<PathBuf, ConfigError> {
    user_folder("XDG_DATA_HOME", ".local/share").ok_or_else(|| {
        ConfigError("neither HOME nor XDG_DATA_HOME is set: name a --data-dir".into())
    })
}

/// Where a worker keeps results that cannot be delivered.
pub fn default_spool() -> Result<PathBuf, ConfigError> {
    service::state_folder()
        .filter(|path| path.is_absolute())
        .or_else(|| user_folder("XDG_STATE_HOME", ".local/state"))
        .map(|state| state.join("spool"))
        .ok_or_else(|| {
            ConfigError("neither HOME nor XDG_STATE_HOME is set: name a --spool folder".into())
        })
}

fn user_folder(variable: &str, in_home: &str) -> Option<PathBuf> {
    let folder = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    folder(variable)
        .or_else(|| folder("HOME").map(|home| home.join(in_home)))
        .map(|folder| folder.join("faafo"))
}
