//! The small misbehaviours of scenes: what monitor and workers share about them, and the monitor's part.
//! The child's part is `worker/mischief`.
//!
//! None touches a file of the user's: [`Act::Split`] works only on the private temporary file, the second lock of
//! [`Act::Cross`] is a temporary file of its own. No process outlives the monitor: the child that keeps an inherited
//! lock is adopted (`PR_SET_CHILD_SUBREAPER`), reaped like a worker, and dies with the monitor.

mod sys;

use super::config::Acquire as How;
use super::ledger::Owner;
use crate::event::{LockInfo, LockKind};
use anyhow::{Context, Result};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use tempfile::TempDir;

/// What is done once, in the turn with this number or the next one.
const AT: u64 = 5;

/// A misbehaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A holder stops itself.
    Stall,
    /// A holder unlinks the lock file and makes it anew.
    Split,
    /// A holder forks and dies.
    Inherit,
    /// Workers with odd numbers block, whatever `--acquire` says.
    Poll,
    /// Each worker takes a second lock too: those with odd numbers after the first, the others before it.
    Cross,
}

/// Shared by monitor and workers.
#[repr(C)]
#[derive(Debug, Default)]
struct Page {
    begun: AtomicU32,
    /// The process that keeps the lock which `taker` took, and by which descriptor (high half).
    keeper: AtomicU64,
    taker: AtomicU64,
    /// Of the second lock: number of the latest acquisition, and its holder.
    seq: AtomicU64,
    holder: AtomicU64,
}

/// A misbehaviour, and what belongs to it.
#[derive(Debug)]
pub struct Mischief {
    act: Act,
    page: sys::Mapped<Page>,
    second: Option<Second>,
}

/// The second lock of [`Act::Cross`].
#[derive(Debug)]
struct Second {
    path: CString,
    info: LockInfo,
    _folder: TempDir,
}

impl Mischief {
    /// Prepares it, before the first fork.
    ///
    /// # Errors
    /// No memory, or no temporary file is to be had.
    pub fn prepare(act: Act, kind: LockKind) -> Result<Self> {
        let page = sys::Mapped::new().context("cannot map a page for the scene: is memory short?")?;
        let second = (act == Act::Cross).then(|| Second::make(kind)).transpose()?;
        if act == Act::Inherit {
            sys::adopt_orphans().context("cannot become the parent of orphans (PR_SET_CHILD_SUBREAPER)")?;
        }
        Ok(Self { act, page, second })
    }

    /// Which one.
    pub fn act(&self) -> Act {
        self.act
    }

    /// How worker `id` waits.
    pub fn acquire(&self, id: u32, asked: How) -> How {
        if self.act == Act::Poll && !id.is_multiple_of(2) { How::Block } else { asked }
    }

    /// The second lock, if there is one.
    pub fn second_info(&self) -> Option<&LockInfo> {
        self.second.as_ref().map(|s| &s.info)
    }

    /// Who holds the second lock.
    pub fn second_holder(&self) -> Option<Owner> {
        Owner::from_word(self.page.holder.load(Acquire))
    }

    /// The process that keeps the lock which the dead `taker` took, and by which descriptor; told once.
    pub fn keeper_of(&self, taker: Owner) -> Option<(i32, i32)> {
        let theirs = self.page.taker.load(Acquire) == taker.word();
        let keeper = theirs.then(|| self.page.keeper.swap(0, AcqRel)).filter(|word| *word != 0)?;
        Some((keeper as i32, (keeper >> 32) as i32))
    }
}

/// What workers call; all of it is async-signal-safe.
impl Mischief {
    /// Whether the holder of acquisition `seq` is the one to do it.
    pub fn is_due(&self, seq: u64) -> bool {
        seq >= AT && self.page.begun.swap(1, AcqRel) == 0
    }

    /// Path of the second lock.
    pub fn second_path(&self) -> Option<&CStr> {
        self.second.as_ref().map(|s| s.path.as_c_str())
    }

    /// `taker` is about to die, process `keeper` shares its descriptor `fd`.
    pub fn leave_to(&self, taker: Owner, keeper: u32, fd: i32) {
        self.page.taker.store(taker.word(), Release);
        self.page.keeper.store(u64::from(keeper) | u64::from(fd as u32) << 32, Release);
    }

    /// `me` has won the second lock; gives the number of the acquisition.
    pub fn second_won(&self, me: Owner) -> u64 {
        self.page.holder.store(me.word(), Release);
        self.page.seq.fetch_add(1, AcqRel) + 1
    }

    /// `me` is about to release it.
    pub fn second_released(&self, me: Owner) {
        let _ = self.page.holder.compare_exchange(me.word(), 0, AcqRel, Relaxed);
    }
}

impl Second {
    fn make(kind: LockKind) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("flockmon-").tempdir().with_context(|| {
            let temp = std::env::temp_dir();
            format!(
                "cannot make a temporary folder for the second lock in {}: set TMPDIR to a folder you may write",
                temp.display()
            )
        })?;
        let path = folder.path().join("second");
        let file = std::fs::File::create_new(&path)
            .with_context(|| format!("cannot make the second lock file {}", path.display()))?;
        let meta = file.metadata().context("cannot look at the second lock file")?;
        let device = format!("{}:{}", libc::major(meta.dev()), libc::minor(meta.dev()));
        let info = LockInfo { name: path.display().to_string(), kind, file: Some((device, meta.ino())) };
        let path = CString::new(path.as_os_str().as_bytes()).context("the path has a NUL byte in it")?;
        Ok(Self { path, info, _folder: folder })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_done_once() {
        let mischief = Mischief::prepare(Act::Stall, LockKind::Flock).unwrap();
        let due: Vec<u64> = (1..10).filter(|seq| mischief.is_due(*seq)).collect();
        assert_eq!(due, [AT]);
    }

    #[test]
    fn a_keeper_is_told_once_and_of_its_taker_only() {
        let mischief = Mischief::prepare(Act::Stall, LockKind::Flock).unwrap();
        let (a, b) = (Owner { worker: 1, pid: 10 }, Owner { worker: 2, pid: 20 });
        mischief.leave_to(a, 30, 3);
        assert_eq!((mischief.keeper_of(a), mischief.keeper_of(a)), (Some((30, 3)), None));
        mischief.leave_to(a, 30, 3);
        assert_eq!(mischief.keeper_of(b), None);
    }

    #[test]
    fn the_second_lock_is_a_file_of_its_own_and_goes_with_it() {
        let mischief = Mischief::prepare(Act::Cross, LockKind::Flock).unwrap();
        let path = std::path::PathBuf::from(mischief.second_info().unwrap().name.clone());
        assert!(path.exists());
        let me = Owner { worker: 1, pid: 10 };
        assert_eq!((mischief.second_won(me), mischief.second_holder()), (1, Some(me)));
        mischief.second_released(Owner { worker: 2, pid: 20 });
        assert_eq!(mischief.second_holder(), Some(me));
        mischief.second_released(me);
        assert_eq!(mischief.second_holder(), None);
        drop(mischief);
        assert!(!path.exists());
    }
}
