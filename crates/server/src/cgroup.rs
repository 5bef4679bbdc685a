//! The memory that the operating system lets this process have: what its control groups say, or what the machine has.
//!
//! Reads files only, below a root that tests replace. Source: the kernel's "Control Group v2" (`memory.max`) and
//! "Memory Resource Controller" (`memory.limit_in_bytes`), `proc(5)` for `/proc/self/cgroup` and `/proc/self/mountinfo`.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// A limit of version 1 from which on it means that there is none: the kernel rounds `i64::MAX` down to a page.
const NO_LIMIT_BYTES: u64 = 1 << 62;

/// The smallest limit of the process's control group and of all groups above it, in bytes; none where no group has one.
#[must_use]
pub(crate) fn limit_bytes(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    let limits = groups.lines().filter_map(|line| {
        // `hierarchy:controllers:path`; version 2 has no controllers.
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let (version, file) = match controllers {
            "" => (Version::Two, "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (Version::One, "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let mount = mounts.iter().find(|mount| mount.version == version)?;
        smallest(root, mount, path, file)
    });
    limits.min()
}

/// The memory of the machine, in bytes.
#[must_use]
pub(crate) fn machine_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1 << 10)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// The hierarchy that has the memory controller.
    One,
    /// The one hierarchy.
    Two,
}

/// Where a hierarchy of control groups is mounted.
#[derive(Debug)]
struct Mount {
    version: Version,
    /// The group that is seen at the mount point.
    top: String,
    point: String,
}

impl Mount {
    /// Reads a line of `mountinfo`; none where it is of another file system or another controller.
    fn parse(line: &str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (top, point) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let (name, _source, options) = (kind.next()?, kind.next()?, kind.next()?);
        let version = match name {
            "cgroup2" => Version::Two,
            "cgroup" if options.split(',').any(|option| option == "memory") => Version::One,
            _ => return None,
        };
        Some(Self { version, top: top.to_owned(), point: point.to_owned() })
    }
}

/// The smallest limit of a group and of those above it, as far as they are to be seen.
fn smallest(root: &Path, mount: &Mount, path: &str, file: &str) -> Option<u64> {
    let point = root.join(mount.point.trim_start_matches('/'));
    // In a container without a namespace of its own, the path is the host's and the mount shows a part of it.
    let path = Path::new(path).strip_prefix(&mount.top).unwrap_or(Path::new(path));
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let mut group: PathBuf = point.clone();
    group.extend(names);
    let groups = group.ancestors().take_while(|group| group.starts_with(&point));
    groups.filter_map(|group| limit_of(&group.join(file))).min()
}

fn limit_of(file: &Path) -> Option<u64> {
    // Version 2 writes `max` where there is no limit, which is no number.
    let bytes: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (bytes < NO_LIMIT_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "24 23 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    /// What the files of a tree say together.
    fn limit(cgroup: &str, mounts: &str, files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        let own = [("proc/self/cgroup", cgroup), ("proc/self/mountinfo", mounts)];
        for (path, text) in own.iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        limit_bytes(root.path())
    }

    #[test]
    fn version_2_takes_the_smallest_of_the_group_and_those_above() {
        let own = "sys/fs/cgroup/a.slice/b.service/memory.max";
        let above = "sys/fs/cgroup/a.slice/memory.max";
        let group = "0::/a.slice/b.service\n";
        assert_eq!(limit(group, V2, &[(own, "536870912\n"), (above, "max\n")]), Some(512 << 20));
        assert_eq!(limit(group, V2, &[(own, "max\n"), (above, "268435456\n")]), Some(256 << 20));
        assert_eq!(limit(group, V2, &[(own, "536870912\n"), (above, "268435456\n")]), Some(256 << 20));
        assert_eq!(limit(group, V2, &[(own, "max\n"), (above, "max\n")]), None);
        assert_eq!(limit("0::/\n", V2, &[]), None, "the topmost group has no file");
    }

    #[test]
    fn version_1_is_found_beside_an_empty_version_2() {
        let groups = "4:memory:/x/y\n2:cpu,cpuacct:/\n0::/\n";
        let own = "sys/fs/cgroup/memory/x/y/memory.limit_in_bytes";
        let above = "sys/fs/cgroup/memory/x/memory.limit_in_bytes";
        let top = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit(groups, V1, &[(own, "536870912\n"), (above, "1073741824\n"), top]), Some(512 << 20));
        assert_eq!(limit(groups, V1, &[(own, "9223372036854771712\n"), top]), None);
    }

    #[test]
    fn in_a_container_the_path_may_be_the_hosts() {
        let mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let file = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
        assert_eq!(limit("4:memory:/docker/abc\n", mounts, &[file]), Some(512 << 20));
        let nested = ("sys/fs/cgroup/memory/in/memory.limit_in_bytes", "268435456\n");
        assert_eq!(limit("4:memory:/docker/abc/in\n", mounts, &[file, nested]), Some(256 << 20));
        // A path outside of the namespace is shown with dots; the mount point is the best that there is.
        let file = ("sys/fs/cgroup/memory.max", "536870912\n");
        assert_eq!(limit("0::/../..\n", V2, &[file]), Some(512 << 20));
    }

    #[test]
    fn what_is_no_such_file_gives_no_limit() {
        assert_eq!(limit("", "", &[]), None);
        assert_eq!(limit("0::/a\nnonsense\n5:memory\n", "nonsense\n1 2 - cgroup2\n", &[]), None);
        assert_eq!(limit_bytes(Path::new("/nowhere")), None);
        assert_eq!(limit("0::/a\n", V2, &[("sys/fs/cgroup/a/memory.max", "lots\n")]), None);
    }

    #[test]
    fn the_machine_says_what_it_has() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        fs::write(root.path().join("proc/meminfo"), "MemTotal:       24684084 kB\nMemFree: 1 kB\n").unwrap();
        assert_eq!(machine_bytes(root.path()), Some(24_684_084 << 10));
        assert_eq!(machine_bytes(Path::new("/nowhere")), None);
    }
}
