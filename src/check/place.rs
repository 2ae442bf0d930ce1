//! Where it is checked: the folder, its file system, the one file made in it, and a tmpfs to compare with.

use crate::failure::Failure;
use anyhow::anyhow;
use serde::Serialize;
use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// How the private files are called, before some letters by chance.
const PREFIX: &str = ".flockmon-check-";

/// A mounted file system, a line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    #[serde(skip)]
    id: u64,
    /// Its type, such as `ext4`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is mounted.
    #[serde(serialize_with = "lossy")]
    pub mount_point: PathBuf,
    /// What is mounted: a device, a server's folder, or a word.
    pub source: String,
    /// The options of this mount, then those of the file system.
    pub options: String,
}

/// JSON is Unicode, a path need not be.
fn lossy<S: serde::Serializer>(path: &Path, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&path.display())
}

/// A private file, removed when it is dropped.
#[derive(Debug)]
pub struct Private {
    path: TempPath,
}

impl Private {
    fn make(folder: &Path) -> std::io::Result<Self> {
        let file = tempfile::Builder::new().prefix(PREFIX).rand_bytes(8).tempfile_in(folder)?;
        Ok(Self { path: file.into_temp_path() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The folder in question, and the private file in it.
#[derive(Debug)]
pub struct Place {
    /// The folder, without symbolic links.
    pub folder: PathBuf,
    /// Its file system, where /proc tells.
    pub mount: Option<Mount>,
    /// The file that is locked.
    pub file: Private,
}

impl Place {
    /// Looks at the folder and makes the private file in it.
    ///
    /// # Errors
    /// It is no folder, or one that may not be written to (bad input), or the file cannot be made for another
    /// reason, a full disk for example. Nothing is left behind.
    pub fn prepare(folder: &Path) -> Result<Self, Failure> {
        let shown = folder.display();
        let refused = |error: std::io::Error, what: &str| {
            let hint = match error.kind() {
                ErrorKind::NotFound => "name a folder that exists",
                ErrorKind::PermissionDenied => "name a folder that you may write to, or ask its owner",
                ErrorKind::ReadOnlyFilesystem => "it is mounted read-only; name a folder that you may write to",
                ErrorKind::NotADirectory => "name a folder, not a file in it",
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room, one empty file is all it needs",
                _ => "name a folder in which files can be made",
            };
            let bad = matches!(
                error.kind(),
                ErrorKind::NotFound
                    | ErrorKind::PermissionDenied
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::NotADirectory
                    | ErrorKind::InvalidFilename
                    | ErrorKind::InvalidInput
            );
            let bad = bad || error.raw_os_error() == Some(libc::ELOOP);
            let said = anyhow!("cannot check {shown}: {what}: {error}; {hint}");
            if bad { Failure::BadInput(said) } else { Failure::Running(said) }
        };
        let found = std::fs::canonicalize(folder).map_err(|e| refused(e, "cannot find it"))?;
        if !found.is_dir() {
            return Err(Failure::BadInput(anyhow!("cannot check {shown}: it is no folder; name the folder it is in")));
        }
        let file = Private::make(&found).map_err(|e| refused(e, "cannot make a file in it"))?;
        Ok(Self { mount: mount_of(file.path()), folder: found, file })
    }

    /// Whether the folder itself is on a tmpfs.
    pub fn is_tmpfs(&self) -> bool {
        self.mount.as_ref().is_some_and(|m| m.kind == "tmpfs")
    }
}

/// A private file on a tmpfs, /dev/shm for choice, and where that is mounted; none where there is none to write to.
pub fn on_tmpfs() -> Option<(Private, PathBuf)> {
    let mut mounts = mounts();
    mounts.retain(|m| m.kind == "tmpfs");
    mounts.sort_by_key(|m| m.mount_point != Path::new("/dev/shm"));
    mounts.into_iter().find_map(|m| {
        let file = Private::make(&m.mount_point).ok()?;
        // Another file system may be mounted over it.
        let same = mount_of(file.path()).is_some_and(|found| found.kind == "tmpfs");
        same.then_some((file, m.mount_point))
    })
}

fn mounts() -> Vec<Mount> {
    let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    text.split(|b| *b == b'\n').filter_map(Mount::parse).collect()
}

/// The mount that a file is on. The kernel tells its number (proc_pid_fdinfo(5)), which the longest mount point does
/// not, where one mount lies over another.
fn mount_of(path: &Path) -> Option<Mount> {
    let file = File::open(path).ok()?;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let id: u64 = info.lines().find_map(|l| l.strip_prefix("mnt_id:"))?.trim().parse().ok()?;
    mounts().into_iter().find(|m: &Mount| m.id == id)
}

impl Mount {
    /// `36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|b| *b == b' ');
        let text = |word: &[u8]| String::from_utf8_lossy(&unescape(word)).into_owned();
        let id = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let point = words.nth(3)?;
        let mut options = text(words.next()?);
        words.find(|w| *w == b"-")?;
        let (kind, source) = (text(words.next()?), text(words.next()?));
        if let Some(more) = words.next().filter(|w| !w.is_empty()) {
            options = format!("{options};{}", text(more));
        }
        Some(Self { id, kind, mount_point: OsString::from_vec(unescape(point)).into(), source, options })
    }
}

/// Blanks and the like stand as octal numbers there: `\040`.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, after @ ..] = rest {
        let octal = match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn lines_of_mountinfo_are_understood() {
        let line = b"36 35 98:0 / /mnt/my\\040disk rw,noatime master:1 shared:2 - ext3 /dev/a\\134b rw,errors=continue";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(mount.mount_point, Path::new("/mnt/my disk"));
        assert_eq!((mount.id, mount.kind.as_str(), mount.source.as_str()), (36, "ext3", "/dev/a\\b"));
        assert_eq!(mount.options, "rw,noatime;rw,errors=continue");
        let plain = Mount::parse(b"1 0 0:1 / / rw - rootfs none rw").unwrap();
        assert_eq!(plain.kind, "rootfs");
        for broken in [&b""[..], b"x 0 0:1 / / rw - rootfs none rw", b"1 0 0:1 / / rw rootfs none", b"1 0"] {
            assert_eq!(Mount::parse(broken), None);
        }
        assert_eq!(unescape(b"\\04\\9\\"), b"\\04\\9\\");
    }

    #[test]
    fn the_mount_of_a_file_is_found_and_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::prepare(folder.path()).unwrap();
        let name = place.file.path().file_name().unwrap().to_owned();
        assert!(name.as_bytes().starts_with(PREFIX.as_bytes()));
        let mount = place.mount.as_ref().unwrap();
        assert!(place.folder.starts_with(&mount.mount_point), "{mount:?}");
        drop(place);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
