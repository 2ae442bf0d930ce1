//! From a path to the name that the kernel's lock code has for the file.
//!
//! `/proc/locks` and the tracepoints name a file by its superblock's device and its inode. `stat(2)` tells another
//! device on overlayfs (layers on several file systems) and on btrfs. The way that is right on all of them: open the
//! path with `O_PATH`, which takes no lock and needs no permission on the file itself; read `ino` and `mnt_id` from
//! `/proc/self/fdinfo/FD` (proc_pid_fdinfo(5)); look the mount up in `/proc/self/mountinfo`, whose third column is the
//! superblock's device (proc_pid_mountinfo(5)).

use super::change::FileId;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What a path names, and how sure that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The file.
    pub id: FileId,
    /// Type of its file system, as mountinfo has it: `ext4`, `btrfs`, `overlay`; empty where the mount was not found.
    pub filesystem: String,
    /// Several files may bear this id, and which, in a sentence; none where it is unique.
    pub ambiguity: Option<String>,
}

impl FileId {
    /// The id of the file that `path` names, as `/proc/locks` has it; see [`locate`].
    ///
    /// # Errors
    /// As [`locate`].
    pub fn of_path(path: &Path) -> Result<Self> {
        locate(path).map(|l| l.id)
    }
}

/// Finds what the kernel calls the file that `path` names. Symbolic links are followed. Takes no lock, opens no
/// device and no FIFO for good, and needs permission only to walk to the file.
///
/// # Errors
/// In words with the next step: no such file, no permission to walk there, a folder, a socket; `/proc` not mounted.
pub fn locate(path: &Path) -> Result<Located> {
    located(path, &open(path).map_err(|e| refusal(path, e))?)
}

/// What a path that was named before names by now; none where it names nothing, or nothing that can be locked.
///
/// # Errors
/// As [`locate`], where that cannot be known.
pub fn named_now(path: &Path) -> Result<Option<FileId>> {
    let file = match open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => return Ok(None),
        Err(e) => return Err(refusal(path, e)),
    };
    let other = file.metadata().is_ok_and(|meta| meta.is_dir() || meta.file_type().is_socket());
    if other { Ok(None) } else { located(path, &file).map(|l| Some(l.id)) }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path)
}

fn located(path: &Path, file: &File) -> Result<Located> {
    let shown = path.display();
    let meta = file.metadata().with_context(|| format!("cannot ask what {shown} is"))?;
    let kind = meta.file_type();
    if kind.is_dir() {
        bail!(
            "{shown} is a folder: name the lock file in it (without LOCKFILE every lock is listed, those on folders too)"
        );
    }
    if kind.is_socket() {
        bail!("{shown} is a socket, which cannot be locked: name the lock file");
    }
    let (inode, mount) = fdinfo(file).with_context(|| format!("cannot find out what the kernel calls {shown}"))?;
    let inode = inode.unwrap_or(meta.ino());
    let table = std::fs::read("/proc/self/mountinfo").map_err(no_proc)?;
    let found = mount.and_then(|mount| {
        // A path through /proc/PID/root leads to mounts of another namespace, which only that process's table has.
        find_mount(&table, mount).or_else(|| find_mount(&std::fs::read(foreign_table(path)?).ok()?, mount))
    });
    let stat_dev = (libc::major(meta.dev()), libc::minor(meta.dev()));
    let Some(mount) = found else {
        let id = FileId { major: stat_dev.0, minor: stat_dev.1, inode };
        let ambiguity = format!(
            "the mount of {shown} is not in /proc/self/mountinfo; its device is taken from stat(2), which is wrong on btrfs and on some overlayfs"
        );
        return Ok(Located { id, filesystem: String::new(), ambiguity: Some(ambiguity) });
    };
    let id = FileId { major: mount.major, minor: mount.minor, inode };
    let ambiguity = (mount.filesystem == "btrfs" && stat_dev != (mount.major, mount.minor)).then(|| {
        format!(
            "{shown} is on btrfs, where /proc/locks gives files of different subvolumes the same name ({id}): locks on another one may show up as locks on this"
        )
    });
    Ok(Located { id, filesystem: mount.filesystem, ambiguity })
}

fn refusal(path: &Path, error: std::io::Error) -> anyhow::Error {
    let shown = path.display();
    let hint = match error.raw_os_error() {
        Some(libc::ENOENT) => "check the name: flockmon watch never makes a file",
        Some(libc::EACCES) => {
            "a folder on the way may not be entered: run it as a user who may, or as root (no permission on the file itself is needed)"
        }
        Some(libc::ENOTDIR) => "something on the way is no folder",
        Some(libc::ELOOP) => "its symbolic links lead in a circle",
        Some(libc::EMFILE | libc::ENFILE) => "too many files are open: raise the limit (ulimit -n)",
        _ => return anyhow!(error).context(format!("cannot find the lock file {shown}")),
    };
    anyhow!("cannot find the lock file {shown} ({error}): {hint}")
}

fn no_proc(error: std::io::Error) -> anyhow::Error {
    anyhow!(error).context("cannot read /proc: check that it is mounted here (mount -t proc proc /proc)")
}

/// Inode (since Linux 5.14) and mount of an open file.
fn fdinfo(file: &File) -> Result<(Option<u64>, Option<u64>)> {
    let text = std::fs::read(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).map_err(no_proc)?;
    Ok((field(&text, b"ino:"), field(&text, b"mnt_id:")))
}

/// The file behind a descriptor of another process; none where it may not be read or is gone.
pub fn of_descriptor(pid: i32, fd: i32) -> Option<FileId> {
    let text = std::fs::read(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
    // fdinfo has the inode since Linux 5.14.
    let link = || std::fs::metadata(format!("/proc/{pid}/fd/{fd}")).ok();
    let inode = field(&text, b"ino:").or_else(|| link().map(|m| m.ino()))?;
    let of_mount = || {
        let id = field(&text, b"mnt_id:")?;
        // Its own table first: the mount may be of another namespace.
        let tables = [format!("/proc/{pid}/mountinfo"), "/proc/self/mountinfo".into()];
        tables.iter().find_map(|table| find_mount(&std::fs::read(table).ok()?, id))
    };
    let (major, minor) = of_mount().map(|m| (m.major, m.minor)).or_else(|| {
        let dev = link()?.dev();
        Some((libc::major(dev), libc::minor(dev)))
    })?;
    Some(FileId { major, minor, inode })
}

/// The number after `name` at the start of a line.
fn field(text: &[u8], name: &[u8]) -> Option<u64> {
    let rest = text.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(name))?;
    std::str::from_utf8(rest).ok()?.trim().parse().ok()
}

/// `/proc/PID/mountinfo` for a path that begins with `/proc/PID/`.
fn foreign_table(path: &Path) -> Option<String> {
    let pid = path.strip_prefix("/proc").ok()?.components().next()?.as_os_str().to_str()?;
    pid.parse::<u32>().ok().map(|pid| format!("/proc/{pid}/mountinfo"))
}

/// One line of mountinfo, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    major: u32,
    minor: u32,
    filesystem: String,
}

/// The mount with this id: `36 35 98:0 /root /at options [optional]... - type source superoptions`.
fn find_mount(table: &[u8], id: u64) -> Option<Mount> {
    table.split(|b| *b == b'\n').find_map(|line| {
        let line = String::from_utf8_lossy(line);
        let (of_mount, of_superblock) = line.split_once(" - ")?;
        let mut words = of_mount.split(' ');
        if words.next()?.parse() != Ok(id) {
            return None;
        }
        let (major, minor) = words.nth(1)?.split_once(':')?;
        Some(Mount {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            filesystem: of_superblock.split(' ').next()?.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_id() {
        let table = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
            27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw\n\
            270 27 0:39 /sub /mnt/with\\040space rw - btrfs /dev/loop0 rw,subvol=/sub\ngarbage - \n- -\n28 1 x:y / / - \n";
        let of = |id| find_mount(table, id).map(|m| (m.major, m.minor, m.filesystem));
        assert_eq!(of(27), Some((254, 0, "ext4".into())));
        assert_eq!(of(270), Some((0, 39, "btrfs".into())));
        assert_eq!(of(28), None);
        assert_eq!(of(2), None);
    }

    #[test]
    fn fields_of_fdinfo() {
        let text = b"pos:\t0\nflags:\t012000000\nmnt_id:\t27\nino:\t10018921\n";
        assert_eq!((field(text, b"ino:"), field(text, b"mnt_id:")), (Some(10_018_921), Some(27)));
        assert_eq!(field(b"pos:\t0\n", b"ino:"), None);
        assert_eq!(field(b"ino:\tx\n", b"ino:"), None);
    }

    #[test]
    fn the_table_of_another_process() {
        let inside = Path::new("/proc/42").join("root").join("run/lock");
        assert_eq!(foreign_table(&inside).as_deref(), Some("/proc/42/mountinfo"));
        assert_eq!(foreign_table(Path::new("/proc/self/root")), None);
        assert_eq!(foreign_table(Path::new("/run/lock")), None);
    }

    #[test]
    fn a_regular_file_and_a_link_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("lock"), folder.path().join("link"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let located = locate(&file).unwrap();
        assert_eq!(located.id.inode, std::fs::metadata(&file).unwrap().ino());
        assert_eq!(FileId::of_path(&link).unwrap(), located.id);
        assert!(!located.filesystem.is_empty());
    }

    #[test]
    fn what_cannot_be_watched_is_refused_with_the_next_step() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink("circle", at("circle")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let cases = [
            (at("missing"), "check the name"),
            (folder.path().to_owned(), "name the lock file in it"),
            (at("file/below"), "no folder"),
            (at("circle"), "circle"),
            (at("socket"), "cannot be locked"),
        ];
        for (path, words) in cases {
            let error = format!("{:#}", locate(&path).unwrap_err());
            assert!(error.contains(words) && error.contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_fifo_is_named_without_waiting_for_its_other_end() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(FileId::of_path(&fifo).unwrap().inode, std::fs::metadata(&fifo).unwrap().ino());
    }
}
