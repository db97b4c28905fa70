//! Room on the disk.

use std::path::Path;

use super::Finding;

const DISK: &str = "disk space";

/// Below this a large picture may not fit any more.
const LITTLE: u64 = 64 << 20;

/// Below this somebody should see to it.
const SOME: u64 = 1 << 30;

pub fn check(folder: &Path) -> Finding {
    let at = nearest(folder);
    let mend = format!(
        "du -xh {} | sort -h | tail    tells what fills it",
        at.display()
    );
    let found = match rustix::fs::statvfs(at) {
        Ok(found) => found,
        Err(error) => {
            let says = format!("cannot tell for {}: {error}", at.display());
            return Finding::wrong(DISK, says, "run this as whoever runs the farm, or as root");
        }
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let megabytes = free >> 20;
    // Some file systems count none at all.
    if found.f_files > 0 && found.f_favail == 0 {
        let says = format!("no further file fits on the disk of {}", at.display());
        return Finding::wrong(DISK, says, mend);
    }
    let says = format!("{megabytes} MB are free for {}", folder.display());
    match free {
        ..LITTLE => Finding::wrong(DISK, says, mend),
        LITTLE..SOME => Finding::note(DISK, says, mend),
        _ => Finding::ok(DISK, says),
    }
}

/// The folder, or what is there above it.
pub fn nearest(folder: &Path) -> &Path {
    let mut above = folder.ancestors();
    above.find(|path| path.is_dir()).unwrap_or(Path::new("."))
}
