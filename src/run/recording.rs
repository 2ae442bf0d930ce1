//! The file for a recording: made ready before anything begins, and changed only when the run has begun.

use crate::failure::Failure;
use anyhow::{Context, Error, Result, anyhow};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
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
        let locked: Vec<(u64, u64)> = locked.into_iter().filter_map(|p| Some(identity(&p.metadata().ok()?))).collect();
        Self::open(path, force, &locked).map_err(Failure::BadInput)
    }

    fn open(path: &Path, force: bool, locked: &[(u64, u64)]) -> Result<Self> {
        let shown = path.display();
        let allowed = |meta: &Metadata| {
            let told = "it is the lock file, which is never written to; name another file";
            if locked.contains(&identity(meta)) { Err(anyhow!("cannot record to {shown}: {told}")) } else { Ok(()) }
        };
        path.metadata().map_or(Ok(()), |meta| allowed(&meta))?;
        let fresh = OpenOptions::new().write(true).create_new(true).open(path);
        let made = fresh.is_ok();
        let file = match fresh {
            // Not emptied yet: it may be all that is left of an earlier run.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && force => {
                OpenOptions::new().write(true).create(true).truncate(false).open(path)
            }
            other => other,
        };
        let file = file.map_err(|error| refusal(path, &error))?;
        let meta = file.metadata().with_context(|| format!("cannot look at the file {shown}"))?;
        let this = Self { file: Some(file), path: path.to_owned(), made };
        allowed(&meta)?;
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
        _ => anyhow!("cannot make the file {shown}: {error}; name a file in a folder that you may write to"),
    }
}
