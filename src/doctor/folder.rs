//! The data folder: whether it can be used, and whether others can.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Finding;

const FOLDER: &str = "data folder";
const PERMISSIONS: &str = "permissions";

/// What a server keeps in its folder.
const FILES: [&str; 8] = [
    "faafo.db",
    "faafo.db-shm",
    "faafo.db-wal",
    "lock",
    "node",
    "tokens",
    "tokens/user",
    "tokens/worker",
];

/// Whether a server can write there, as whoever runs this.
pub fn check(folder: &Path) -> Finding {
    let shown = folder.display();
    let found = match fs::metadata(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return to_be_made(folder),
        Err(error) => {
            let says = format!("cannot look into {shown}: {error}");
            return Finding::wrong(
                FOLDER,
                says,
                "run this as whoever runs the farm, or as root",
            );
        }
    };
    if !found.is_dir() {
        let says = format!("{shown} is no folder");
        return Finding::wrong(FOLDER, says, "name another with --data-dir or data_dir");
    }
    match tempfile::tempfile_in(folder) {
        Ok(_) => Finding::ok(FOLDER, shown.to_string()),
        Err(error) => Finding::wrong(
            FOLDER,
            format!("cannot write in {shown}: {error}"),
            format!(
                "chown -R USER {shown}    where USER runs the farm; or name another with --data-dir"
            ),
        ),
    }
}

/// It is made by the first start, if that may.
fn to_be_made(folder: &Path) -> Finding {
    let shown = folder.display();
    let above = super::disk::nearest(folder);
    match tempfile::tempfile_in(above) {
        Ok(_) => Finding::ok(FOLDER, format!("{shown} will be made by the first start")),
        Err(error) => Finding::wrong(
            FOLDER,
            format!(
                "{shown} is not there, and cannot be made in {}: {error}",
                above.display()
            ),
            format!("install -d -m 700 -o USER {shown}    where USER runs the farm"),
        ),
    }
}

/// Whether all in it belongs to one user, and others are kept from it.
pub fn permissions(folder: &Path) -> Finding {
    let Ok(found) = fs::metadata(folder) else {
        return Finding::ok(PERMISSIONS, "there is nothing so far");
    };
    let shown = folder.display();
    if found.mode() & 0o002 != 0 {
        let says = format!("everybody may write in {shown}");
        return Finding::wrong(PERMISSIONS, says, format!("chmod o-w {shown}"));
    }
    let all = FILES.iter().map(Path::new);
    match of_others(folder, all) {
        Some((name, owner, wanted)) => Finding::wrong(
            PERMISSIONS,
            format!(
                "{} in {shown} belongs to user {owner}, and the folder to {wanted}",
                name.display()
            ),
            format!("chown -R --reference={shown} {shown}"),
        ),
        None => Finding::ok(PERMISSIONS, format!("all belongs to user {}", found.uid())),
    }
}

/// The first of these in the folder that belongs to another user than the folder: its name, its owner
/// and the folder's.
pub fn of_others<'a>(
    folder: &Path,
    mut names: impl Iterator<Item = &'a Path>,
) -> Option<(&'a Path, u32, u32)> {
    let wanted = fs::metadata(folder).ok()?.uid();
    names.find_map(|name| {
        let owner = fs::symlink_metadata(folder.join(name)).ok()?.uid();
        (owner != wanted).then_some((name, owner, wanted))
    })
}
