//! The file for a recording: made ready before anything begins, and changed only when the run has begun.

use crate::failure::Failure;
use anyhow::{Context, Error, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file that a recording will go to. One that was made for it is removed where the run does not begin.
#[derive(Debug)]
pub(super) struct Recording {
    file: Option<File>,
    path: PathBuf,
    made: bool,
}

impl Recording {
    /// Makes the file, or opens one that is there, if `force` says so. None of `locked`, which are files that are locked,
    /// is ever written to.
    ///
    /// # Errors
    /// It is there, or cannot be made, or is a lock file: bad input.
    pub(super) fn prepare<'p>(
        path: &Path,
        force: bool,
        locked: impl IntoIterator<Item = &'p Path>,
    ) -> Result<Self, Failure> {
        Self::open(path, force, &identities(locked)).map_err(Failure::BadInput)
    }

    fn open(path: &Path, force: bool, locked: &[(u64, u64)]) -> Result<Self> {
        let shown = path.display();
        spare(path, locked)?;
        let fresh = OpenOptions::new().write(true).create_new(true).open(path);
        let made = fresh.is_ok();
        let file = match fresh {
            // Not emptied yet: it may be all that is left of an earlier run.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && force => open_at_once(path),
            other => other,
        };
        let file = file.map_err(|error| refusal(path, &error))?;
        let meta = file.metadata().with_context(|| format!("cannot look at the file {shown}"))?;
        let this = Self { file: Some(file), path: path.to_owned(), made };
        allow(path, &meta, locked)?;
        Ok(this)
    }

    /// The run has begun: what was in the file goes.
    ///
    /// # Errors
    /// The file cannot be emptied.
    pub(super) fn begin(mut self) -> Result<File> {
        let file = self.file.take().context("the recording was begun already")?;
        // Pipes and devices have nothing in them.
        if file.metadata().is_ok_and(|m| m.is_file()) {
            file.set_len(0).with_context(|| format!("cannot empty the file {}", self.path.display()))?;
        }
        Ok(file)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let Some(file) = self.file.take().filter(|_| self.made) else { return };
        let ours = |there: Metadata| file.metadata().is_ok_and(|m| identity(&m) == identity(&there));
        if self.path.metadata().is_ok_and(ours) {
            // What cannot be removed is an empty file, and why nothing began is said anyway.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Which files these are, those that there are.
pub(super) fn identities<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Vec<(u64, u64)> {
    paths.into_iter().filter_map(|path| Some(identity(&path.metadata().ok()?))).collect()
}

/// Whether a file may be written to: it is none of those that are `locked`.
///
/// # Errors
/// It is one of them, by whichever name.
pub(super) fn spare(path: &Path, locked: &[(u64, u64)]) -> Result<()> {
    path.metadata().map_or(Ok(()), |meta| allow(path, &meta, locked))
}

fn allow(path: &Path, meta: &Metadata, locked: &[(u64, u64)]) -> Result<()> {
    if locked.contains(&identity(meta)) {
        return Err(anyhow!(
            "cannot write to {}: it is the lock file, which is never written to; name another file",
            path.display()
        ));
    }
    Ok(())
}

/// Opens what is there without waiting for anybody: of a pipe, there must be a reader already (fifo(7)).
fn open_at_once(path: &Path) -> io::Result<File> {
    let at_once = OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).custom_flags(at_once.bits());
    let file = options.open(path)?;
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags - at_once))?;
    Ok(file)
}

/// Device and inode.
fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

fn refusal(path: &Path, error: &io::Error) -> Error {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            anyhow!("{shown} exists and is left as it is: name another file, or add --force to overwrite it")
        }
        _ if error.raw_os_error() == Some(Errno::ENXIO as i32) => {
            anyhow!("cannot record to the pipe {shown}: nobody reads it; start its reader first")
        }
        _ => anyhow!("cannot make the file {shown}: {error}; name a file in a folder that you may write to"),
    }
}
