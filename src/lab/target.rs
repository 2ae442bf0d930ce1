//! The lock file: looked at before anything is forked, made if it is missing, never changed.

use crate::event::{LockInfo, LockKind};
use anyhow::{Context, Result, bail};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file to lock, known to be usable.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    created: bool,
    private: Option<tempfile::TempDir>,
    inode: u64,
    device: u64,
}

impl Target {
    /// Checks `path`, or makes a private temporary file where there is none.
    ///
    /// # Errors
    /// The path is no regular file, its folder is missing, or it may not be opened; nothing was touched then.
    pub fn prepare(path: Option<&Path>, kind: LockKind) -> Result<Self> {
        match path {
            Some(path) => Self::named(path, kind),
            None => Self::private(),
        }
    }

    fn private() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("flockmon-").tempdir().with_context(|| {
            format!(
                "cannot make a temporary folder in {}: name a LOCKFILE yourself, or set TMPDIR to a folder you may write",
                std::env::temp_dir().display()
            )
        })?;
        let path = folder.path().join("lock");
        let file = File::create_new(&path).with_context(|| {
            format!("cannot make the temporary lock file {}: name a LOCKFILE on another file system", path.display())
        })?;
        let meta = file.metadata()?;
        Ok(Self { path, created: true, private: Some(folder), inode: meta.ino(), device: meta.dev() })
    }

    fn named(path: &Path, kind: LockKind) -> Result<Self> {
        let shown = path.display();
        match std::fs::metadata(path) {
            Ok(meta) => {
                let what = meta.file_type();
                let wrong = if what.is_dir() {
                    "a folder"
                } else if what.is_fifo() {
                    "a FIFO"
                } else if what.is_socket() {
                    "a socket"
                } else if !what.is_file() {
                    "a device"
                } else {
                    ""
                };
                if !wrong.is_empty() {
                    bail!("cannot lock {shown}: it is {wrong}; name a regular file, or one that does not exist yet");
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => bail!("cannot look at the lock file {shown}: {e}; check the path and its permissions"),
        }
        let (file, created) = open(path, kind)?;
        let meta = file.metadata().with_context(|| format!("cannot look at the lock file {shown}"))?;
        Ok(Self { path: path.to_owned(), created, private: None, inode: meta.ino(), device: meta.dev() })
    }

    /// The path as the workers open it.
    ///
    /// # Errors
    /// It has a NUL byte, which no file name has.
    pub fn c_path(&self) -> Result<CString> {
        CString::new(self.path.as_os_str().as_bytes())
            .with_context(|| format!("cannot lock {:?}: the path has a NUL byte in it", self.path))
    }

    /// The path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The inode that the run began with.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Whether the path names the same file as at the start; the inode it names now, if any.
    pub fn check(path: &Path, inode: u64, device: u64) -> (bool, Option<u64>) {
        let now = std::fs::metadata(path).ok().map(|m| (m.ino(), m.dev()));
        (now == Some((inode, device)), now.map(|n| n.0))
    }

    /// The device that the run began with, as stat(2) tells it.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// A user's file that did not exist before; it stays, since others may have opened it meanwhile and
    /// removing a lock file in use makes two locks of one.
    pub fn left_behind(&self) -> Option<&Path> {
        (self.created && self.private.is_none()).then_some(self.path.as_path())
    }

    /// Whether it is a temporary file of ours.
    pub fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// The lock, for the faces.
    pub fn info(&self, kind: LockKind) -> LockInfo {
        let (major, minor) = (libc::major(self.device), libc::minor(self.device));
        LockInfo { name: self.path.display().to_string(), kind, file: Some((format!("{major}:{minor}"), self.inode)) }
    }
}

/// Opens as a worker will; makes the file if it is missing.
fn open(path: &Path, kind: LockKind) -> Result<(File, bool)> {
    let shown = path.display();
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK);
    match options.open(path) {
        Ok(file) => return Ok((file, false)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let made = options.create_new(true).mode(0o666).open(path);
            return made.map(|file| (file, true)).with_context(|| {
                format!("cannot make the lock file {shown}: check that its folder exists and that you may write there")
            });
        }
        Err(e) if !matches!(e.raw_os_error(), Some(libc::EACCES | libc::EPERM | libc::EROFS)) => {
            return Err(e).with_context(|| format!("cannot open the lock file {shown}"));
        }
        Err(_) => {}
    }
    let read_only = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(path)
        .with_context(|| {
            format!("cannot open the lock file {shown}: ask its owner for permission to read and write it")
        })?;
    if kind == LockKind::Flock {
        return Ok((read_only, false));
    }
    bail!(
        "cannot lock {shown} with --lock {kind}: exclusive {kind} locks need permission to write it (fcntl(2)); use --lock flock, which does not"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_file_is_left_as_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "precious").unwrap();
        let target = Target::prepare(Some(file.path()), LockKind::Flock).unwrap();
        assert_eq!(target.left_behind(), None);
        drop(target);
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "precious");
    }

    #[test]
    fn a_private_one_is_removed() {
        let target = Target::prepare(None, LockKind::Flock).unwrap();
        let path = target.path().to_owned();
        assert!(path.exists());
        drop(target);
        assert!(!path.exists() && !path.parent().unwrap().exists());
    }

    #[test]
    fn what_cannot_be_locked_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [folder.path(), &fifo, &folder.path().join("missing/lock"), Path::new("/dev/null")] {
            let error = Target::prepare(Some(path), LockKind::Flock).unwrap_err();
            assert!(format!("{error:#}").contains("lock"), "{error:#}");
        }
    }
}
