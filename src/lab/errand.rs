//! What one worker needs to run the command, in the form in which the kernel wants it: made before the fork,
//! since nothing may be allocated after it.

use super::command::{Program, c_string};
use anyhow::Result;
use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What runs a script that does not say by what it is to be run, as execvp(3) does.
const SHELL: &CStr = c"/bin/sh";
/// Stack of the new process until it executes the command, in pieces of 16 bytes: 64 KiB.
const STACK: usize = 4096;
/// The most digits that a number of 64 bits has.
const DIGITS: usize = 20;

/// A command ready to be run again and again by one worker.
#[derive(Debug)]
pub struct Errand<'a> {
    program: &'a Program,
    log: CString,
    complaint: Number,
    acquisition: Number,
    /// What the arrays point into.
    _strings: Vec<CString>,
    argv: Vec<*const c_char>,
    /// The same run by the shell.
    script: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    stack: Box<[UnsafeCell<u128>]>,
}

impl<'a> Errand<'a> {
    /// For worker `id`, which locks `lockfile`.
    ///
    /// # Errors
    /// A path or a variable of the environment has a NUL byte in it.
    pub(super) fn new(program: &'a Program, id: u32, lockfile: &Path) -> Result<Self> {
        let lockfile = std::path::absolute(lockfile).unwrap_or_else(|_| lockfile.to_owned());
        let set = |name: &OsStr, value: &OsStr| c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat());
        let words: Vec<CString> =
            program.arguments().iter().map(|w| c_string(w.as_bytes())).collect::<Result<Vec<_>>>()?;
        let theirs = std::env::vars_os().filter(|(name, _)| !name.as_bytes().starts_with(b"FLOCKMON_"));
        let mut variables = theirs.map(|(name, value)| set(&name, &value)).collect::<Result<Vec<_>>>()?;
        variables.push(set(OsStr::new("FLOCKMON_WORKER"), OsStr::new(&id.to_string()))?);
        variables.push(set(OsStr::new("FLOCKMON_LOCKFILE"), lockfile.as_os_str())?);
        let acquisition = Number::new("FLOCKMON_ACQUISITION=");
        let end = std::ptr::null();
        let of = |strings: &[CString]| strings.iter().map(|s| s.as_ptr()).collect::<Vec<_>>();
        let argv = [of(&words), vec![end]].concat();
        let script = [&[SHELL.as_ptr(), program.path().as_ptr()], argv.get(1..).unwrap_or_default()].concat();
        let envp = [of(&variables), vec![acquisition.as_ptr(), end]].concat();
        variables.extend(words);
        Ok(Self {
            program,
            log: c_string(program.logs().path(id).as_os_str().as_bytes())?,
            complaint: Number::new(&format!("flockmon: cannot run {}: errno ", program.path().to_string_lossy())),
            acquisition,
            _strings: variables,
            argv,
            script,
            envp,
            stack: (0..STACK).map(|_| UnsafeCell::new(0)).collect(),
        })
    }

    /// The command.
    pub(super) fn program(&self) -> &Program {
        self.program
    }

    /// The file that it writes to.
    pub(super) fn log(&self) -> &CStr {
        &self.log
    }

    /// Tells the next run by its environment under which acquisition it runs.
    pub(super) fn set_acquisition(&self, seq: u64) {
        self.acquisition.set(seq);
    }

    /// Why it could not be run, as a line for the log.
    pub(super) fn complaint(&self, errno: i32) -> &[Cell<u8>] {
        self.complaint.set(u64::from(errno.unsigned_abs()));
        &self.complaint.bytes
    }

    /// The arguments, for execve(2).
    pub(super) fn argv(&self) -> *const *const c_char {
        self.argv.as_ptr()
    }

    /// The program and the arguments of a shell that runs the command as a script.
    pub(super) fn script(&self) -> (&CStr, *const *const c_char) {
        (SHELL, self.script.as_ptr())
    }

    /// The environment, for execve(2).
    pub(super) fn envp(&self) -> *const *const c_char {
        self.envp.as_ptr()
    }

    /// The upper end of 64 KiB that nothing else uses, aligned to 16 bytes.
    pub(super) fn stack(&self) -> *mut c_void {
        self.stack.as_ptr_range().end.cast_mut().cast()
    }
}

/// A text that ends in a number, which can be changed where nothing may be allocated. What follows are NUL bytes.
#[derive(Debug)]
struct Number {
    bytes: Box<[Cell<u8>]>,
    prefix: usize,
}

impl Number {
    fn new(prefix: &str) -> Self {
        let room = std::iter::repeat_n(0, DIGITS + 1);
        Self { bytes: prefix.bytes().chain(room).map(Cell::new).collect(), prefix: prefix.len() }
    }

    /// Writes `number` behind the text. Allocates nothing and cannot panic.
    fn set(&self, number: u64) {
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        let mut rest = number;
        for (at, byte) in self.bytes.iter().skip(self.prefix).enumerate().rev() {
            byte.set(if at < digits { b'0' + (rest % 10) as u8 } else { 0 });
            rest = if at < digits { rest / 10 } else { rest };
        }
    }

    fn as_ptr(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_behind_its_text_and_ends() {
        let number = Number::new("N=");
        for (n, text) in [(7, "N=7"), (u64::MAX, "N=18446744073709551615"), (0, "N=0"), (120, "N=120")] {
            number.set(n);
            let bytes: Vec<u8> = number.bytes.iter().map(Cell::get).collect();
            assert_eq!(CStr::from_bytes_until_nul(&bytes).unwrap().to_str(), Ok(text));
        }
    }
}
