//! How much memory the process may have: the limit of its control group, such as a container's. Only Linux has
//! control groups; elsewhere their files are not there, and there is no limit.

use std::{fs, path::Path};

/// Where control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// What version 1 says where there is no limit is near this, by the size of a page.
const UNLIMITED: u64 = 1 << 60;

/// The limit in bytes, if there is one.
pub(crate) fn memory_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let limit = limit_of(Path::new(ROOT), &groups);
    tracing::info!(bytes = limit, "memory limit");
    limit
}

/// The least limit of these groups, as `/proc/self/cgroup` lists them, and of those that they are in. A
/// container sees its own group as the root, whatever the path says.
fn limit_of(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        // Number, controllers, path; version 2 has no controllers.
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (mount, file) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        let groups = Path::new(path.trim_start_matches('/')).ancestors();
        groups.filter_map(|group| read(&mount.join(group).join(file))).min()
    });
    limits.min()
}

fn read(file: &Path) -> Option<u64> {
    // `max` is none.
    let bytes = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (bytes < UNLIMITED).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit of `groups` where these files are.
    fn limit(files: &[(&str, &str)], groups: &str) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (file, content) in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        limit_of(root.path(), groups)
    }

    #[test]
    fn a_container_finds_its_limit_at_the_root() {
        assert_eq!(limit(&[("memory.max", "1073741824\n")], "0::/\n"), Some(1 << 30));
        // Without a namespace of its own, the path is the host's.
        let file = ("memory/memory.limit_in_bytes", "268435456\n");
        let groups = "5:cpu,cpuacct:/kubepods/pod1\n4:memory:/kubepods/pod1\n0::/\n";
        assert_eq!(limit(&[file], groups), Some(256 << 20));
    }

    #[test]
    fn the_least_limit_of_nested_groups_holds() {
        let files = [
            ("memory.max", "max"),
            ("system.slice/memory.max", "500000000"),
            ("system.slice/goch.service/memory.max", "900000000"),
            ("other.slice/memory.max", "1"),
        ];
        assert_eq!(limit(&files, "0::/system.slice/goch.service\n"), Some(500_000_000));
    }

    #[test]
    fn no_limit_is_none() {
        assert_eq!(limit(&[("memory.max", "max\n")], "0::/\n"), None);
        let file = ("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit(&[file], "4:memory:/\n0::/\n"), None);
        assert_eq!(limit(&[], "nonsense\n\n0::\n"), None);
    }
}
