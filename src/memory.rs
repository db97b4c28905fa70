//! How much memory this process may have: what systemd calls MemoryMax, and containers their limit.

use std::fs;
use std::path::{Component, Path};

/// Bytes, if there is a limit: that of the control group, or of one above it.
pub fn limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_of(Path::new("/sys/fs/cgroup"), &groups)
}

/// `groups` is what /proc says: one group in version 2 of control groups, one a controller in version 1.
fn limit_of(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        match controllers {
            "" => least(root, group, "memory.max"),
            "memory" => least(&root.join("memory"), group, "memory.limit_in_bytes"),
            _ => None,
        }
    });
    limits.min()
}

fn least(root: &Path, group: &str, file: &str) -> Option<u64> {
    let mut folder = root.to_owned();
    let mut limits = vec![read(&folder.join(file))];
    for part in Path::new(group).components() {
        // A group outside what this process may see is named with `..`: nothing to be read there.
        if let Component::Normal(name) = part {
            folder.push(name);
            limits.push(read(&folder.join(file)));
        }
    }
    limits.into_iter().flatten().min()
}

fn read(file: &Path) -> Option<u64> {
    let bytes: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    // Version 1 says "no limit" by a number beyond any memory.
    (bytes < 1 << 60).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_on_the_way_up_holds() {
        let root = tempfile::TempDir::new().unwrap();
        let group = root.path().join("system.slice/faafo.service");
        fs::create_dir_all(&group).unwrap();
        let limit = || limit_of(root.path(), "0::/system.slice/faafo.service\n");
        assert_eq!(limit(), None);
        fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit(), None);
        fs::write(group.join("memory.max"), "300000000\n").unwrap();
        assert_eq!(limit(), Some(300_000_000));
        fs::write(root.path().join("system.slice/memory.max"), "200000000\n").unwrap();
        assert_eq!(limit(), Some(200_000_000));
        // A group that is not to be seen from here.
        assert_eq!(limit_of(root.path(), "0::/../elsewhere\n"), None);
    }

    #[test]
    fn the_first_version_of_control_groups_is_understood() {
        let root = tempfile::TempDir::new().unwrap();
        let group = root.path().join("memory/farm");
        fs::create_dir_all(&group).unwrap();
        fs::write(
            root.path().join("memory/memory.limit_in_bytes"),
            "9223372036854771712\n",
        )
        .unwrap();
        let groups = "5:cpu,cpuacct:/farm\n4:memory:/farm\n0::/farm\n";
        assert_eq!(limit_of(root.path(), groups), None);
        fs::write(group.join("memory.limit_in_bytes"), "1000000\n").unwrap();
        assert_eq!(limit_of(root.path(), groups), Some(1_000_000));
    }
}
