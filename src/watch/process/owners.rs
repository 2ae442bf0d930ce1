//! Who keeps a lock, by the descriptors: the `lock:` lines of `/proc/PID/fdinfo/FD` (proc_pid_fdinfo(5)).
//!
//! `/proc/locks` names who called; the lock of flock(2) and of open file descriptions is kept by every process that has
//! a descriptor of that description, inherited or passed, and each of them has the line. A `POSIX` lock has its line
//! only under the descriptor that took it. Those that wait have none: see [`super::waits`].

use super::{numbers, stand_in};
use crate::event::{LockKind, LockMode};
use crate::watch::change::{FileId, LockKey, Range};
use crate::watch::procfs::parse;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A descriptor that keeps a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The process that has the descriptor.
    pub pid: i32,
    /// The descriptor.
    pub fd: i32,
    /// The file.
    pub file: FileId,
    /// The kind of lock.
    pub kind: LockKind,
    /// Exclusive or shared; none for words like `UNLCK`.
    pub mode: Option<LockMode>,
    /// Which bytes.
    pub range: Range,
    /// The pid that the line names: who called. It may be dead, or another program's by now; -1 for
    /// open-file-description locks.
    pub named: i32,
}

impl Owner {
    /// The lock.
    pub fn key(&self) -> LockKey {
        LockKey { file: self.file, family: self.kind.into() }
    }
}

/// What a scan of descriptors found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// By pid and descriptor, in the order in which `/proc` lists them.
    pub owners: Vec<Owner>,
    /// Processes that were looked at.
    pub processes: usize,
    /// Those of them whose descriptors may not be read: other users', mostly. Each may keep any lock.
    pub refused: usize,
}

/// All descriptors on the system that keep a lock, on `files` or, where none are given, on any file. Costs about as
/// much as reading a small file for each open descriptor of each process: 0.1 s with a thousand processes.
///
/// # Errors
/// `/proc` cannot be read.
pub fn scan(files: Option<&[FileId]>) -> std::io::Result<Scan> {
    Ok(scan_among(numbers("/proc")?, files))
}

/// As [`scan`], of some processes only. One that is gone keeps nothing; what vanishes while it is read is left out.
pub fn scan_among(pids: impl IntoIterator<Item = i32>, files: Option<&[FileId]>) -> Scan {
    let (mut found, mut text) = (Scan::default(), vec![0; 4096]);
    for pid in pids {
        match scan_one(pid, files, &mut text, &mut found.owners) {
            Ok(()) => found.processes += 1,
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                found.processes += 1;
                found.refused += 1;
            }
            Err(_) => {}
        }
    }
    found
}

fn scan_one(pid: i32, files: Option<&[FileId]>, text: &mut Vec<u8>, owners: &mut Vec<Owner>) -> std::io::Result<()> {
    let read = scan_by(pid, pid, files, text, owners);
    if read.as_ref().is_ok_and(|any| *any) {
        return Ok(());
    }
    match stand_in(pid) {
        Some((tid, _)) => scan_by(pid, tid, files, text, owners).map(drop),
        None => read.map(drop),
    }
}

/// The descriptors of a process, by one of its threads; whether it has any. Most of what there is to do on a whole
/// system, hence by as few system calls as can be: three a descriptor.
fn scan_by(
    pid: i32,
    tid: i32,
    files: Option<&[FileId]>,
    text: &mut Vec<u8>,
    owners: &mut Vec<Owner>,
) -> std::io::Result<bool> {
    let path = format!("/proc/{tid}/fdinfo");
    let folder = File::open(&path)?;
    let fds = numbers(&path)?;
    let any = !fds.is_empty();
    for fd in fds {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = match openat(&folder, fd.to_string().as_str(), flags, Mode::empty()) {
            Ok(file) => file,
            Err(errno @ (Errno::EACCES | Errno::EPERM)) => return Err(errno.into()),
            Err(_) => continue,
        };
        // A seq_file with one record: one read gives all of it, if it has the room.
        let length = loop {
            match nix::unistd::read(&file, text) {
                Ok(length) if length < text.len() => break length,
                Ok(_) => {
                    text.resize(2 * text.len(), 0);
                    if nix::unistd::lseek(&file, 0, nix::unistd::Whence::SeekSet).is_err() {
                        break 0;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => break 0,
            }
        };
        let wanted = |o: &Owner| files.is_none_or(|f| f.contains(&o.file));
        owners.extend(locks(pid, fd, &text[..length]).filter(wanted));
    }
    Ok(any)
}

/// The `lock:` lines of one fdinfo.
fn locks(pid: i32, fd: i32, text: &[u8]) -> impl Iterator<Item = Owner> {
    text.split(|b| *b == b'\n').filter_map(move |line| {
        let row = parse::line(line.strip_prefix(b"lock:")?.trim_ascii_start())?;
        let (kind, file) = (row.kind.lock()?, row.file?);
        Some(Owner { pid, fd, file, kind, mode: row.mode, range: row.range, named: row.pid })
    })
}

/// Where a lock file lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockPath {
    /// Its path, as seen by the process that has it open.
    pub path: PathBuf,
    /// The name is gone: who opens this path now gets another file, and another lock.
    pub deleted: bool,
}

/// The path of an open file, by a descriptor of it; none where it is gone, may not be read or has no path.
pub fn path_of(pid: i32, fd: i32) -> Option<LockPath> {
    path_by(pid, fd).or_else(|| path_by(stand_in(pid)?.0, fd))
}

fn path_by(tid: i32, fd: i32) -> Option<LockPath> {
    let link = format!("/proc/{tid}/fd/{fd}");
    let path = std::fs::read_link(&link).ok()?;
    if !path.is_absolute() {
        return None;
    }
    let name = path.as_os_str().as_encoded_bytes();
    let Some(stem) = name.strip_suffix(b" (deleted)") else { return Some(LockPath { path, deleted: false }) };
    // A file may be called so (proc_pid_fd(5) says nothing to tell them apart): then it is there.
    let same = |a: std::fs::Metadata, b: std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    if let (Ok(there), Ok(open)) = (std::fs::metadata(&path), std::fs::metadata(&link))
        && same(there, open)
    {
        return Some(LockPath { path, deleted: false });
    }
    use std::os::unix::ffi::OsStrExt;
    Some(LockPath { path: std::ffi::OsStr::from_bytes(stem).into(), deleted: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Lock;
    use std::os::fd::AsRawFd;

    #[test]
    fn lock_lines_of_fdinfo() {
        let text = b"pos:\t0\nflags:\t0100002\nmnt_id:\t27\nino:\t7\n\
            lock:\t1: FLOCK  ADVISORY  WRITE 11392 fe:00:7 0 EOF\n\
            lock:\t2: POSIX  ADVISORY  READ 11392 fe:00:7 10 19\n\
            lock:\t3: OFDLCK ADVISORY  WRITE -1 fe:00:7 0 EOF\n\
            lock:\t4: LEASE  ACTIVE    READ 11392 fe:00:7 0 EOF\nlock:\tnonsense\nlock:\n";
        let found: Vec<_> = locks(5, 3, text).map(|o| (o.pid, o.fd, o.kind, o.named)).collect();
        let kinds = [(LockKind::Flock, 11392), (LockKind::Posix, 11392), (LockKind::Ofd, -1)];
        assert_eq!(found, kinds.map(|(kind, named)| (5, 3, kind, named)));
    }

    #[test]
    fn ones_own_locks_are_found_with_their_path_and_gone_names_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a lock (deleted)");
        let file = File::create(&path).unwrap();
        LockKind::Ofd.acquire(file.as_raw_fd(), LockMode::Exclusive).unwrap();
        let id = FileId::of_path(&path).unwrap();
        let me = std::process::id() as i32;
        let scan = scan_among([me, i32::MAX], Some(&[id]));
        assert_eq!((scan.processes, scan.refused, scan.owners.len()), (1, 0, 1));
        let owner = &scan.owners[0];
        assert_eq!((owner.fd, owner.kind, owner.named), (file.as_raw_fd(), LockKind::Ofd, -1));
        assert_eq!(path_of(me, owner.fd), Some(LockPath { path: path.clone(), deleted: false }));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(path_of(me, owner.fd), Some(LockPath { path, deleted: true }));
        assert_eq!(path_of(me, i32::MAX), None);
    }
}
