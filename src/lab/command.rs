//! The command that workers run while they hold the lock: found, and its arguments, environment and logs made
//! ready, before anything is forked. What a worker does with it stands in `worker/exec.rs`.

use super::worker::{Habits, trim};
use anyhow::{Context, Result, anyhow, bail};
use nix::unistd::{AccessFlags, access};
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How much of a worker's output is kept where nobody asked for all of it, in bytes.
pub(super) const KEPT: u64 = 64 * 1024;
/// Where `PATH` is not set: what execvp(3) looks through (`_CS_PATH`).
const PATH: &str = "/bin:/usr/bin";

/// What to run, found and checked.
#[derive(Debug)]
pub struct Program {
    words: Vec<OsString>,
    path: CString,
    logs: Logs,
    stop_on_failure: bool,
    habits: Habits,
}

impl Program {
    /// Looks for the command `words` begins with, where execvp(3) would, and makes a place for what it writes: `log`, or
    /// a folder that is removed in the end.
    ///
    /// # Errors
    /// It is not found or not executable, or its output could not be kept. Nothing was touched then.
    pub fn prepare(words: &[OsString], log: Option<&Path>, force: bool, stop_on_failure: bool) -> Result<Option<Self>> {
        let Some(name) = words.first() else { return Ok(None) };
        let path = find(name, &std::env::var_os("PATH").unwrap_or_else(|| PATH.into()))?;
        for word in words {
            c_string(word.as_bytes()).context("cannot run the command: an argument has a NUL byte in it")?;
        }
        let logs = log.map_or_else(Logs::private, |folder| Logs::kept(folder, force))?;
        Ok(Some(Self {
            words: words.to_vec(),
            path: c_string(path.as_os_str().as_bytes())?,
            logs,
            stop_on_failure,
            habits: Habits::now(),
        }))
    }

    /// The command and its arguments.
    pub(super) fn arguments(&self) -> &[OsString] {
        &self.words
    }

    /// The same for the faces.
    pub fn words(&self) -> Vec<String> {
        self.words.iter().map(|w| w.to_string_lossy().into_owned()).collect()
    }

    /// Where it writes.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    pub(super) fn path(&self) -> &CStr {
        &self.path
    }

    /// What a process is given by whoever starts it, as flockmon got it.
    pub(super) fn habits(&self) -> &Habits {
        &self.habits
    }

    /// Whether the run ends where it fails.
    pub fn stops_on_failure(&self) -> bool {
        self.stop_on_failure
    }
}

pub(super) fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| anyhow!("{:?} has a NUL byte in it", String::from_utf8_lossy(bytes)))
}

/// Finds `name` as execvp(3) does: by itself where it has a slash, else in the folders of `path`.
fn find(name: &OsStr, path: &OsStr) -> Result<PathBuf> {
    let shown = name.display();
    if name.is_empty() {
        bail!("cannot run the command: its name is empty; write the command after --");
    }
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return match usable(&path) {
            Ok(()) => Ok(path),
            Err(why) => Err(anyhow!("cannot run {shown}: {why}")),
        };
    }
    let mut refused = None;
    for folder in std::env::split_paths(path) {
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let candidate = folder.join(name);
        match usable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(_) if !candidate.is_file() => {}
            Err(why) => refused = refused.or(Some(format!("{}: {why}", candidate.display()))),
        }
    }
    match refused {
        Some(why) => bail!("cannot run {shown}: {why}"),
        None => bail!("cannot run {shown}: not found in PATH ({}); install it, or give its path", path.display()),
    }
}

fn usable(path: &Path) -> Result<(), String> {
    let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "no such file; check the path".to_owned(),
        _ => format!("{e}; check the path and its permissions"),
    })?;
    if meta.is_dir() {
        return Err("it is a folder; name a program or a script".into());
    }
    access(path, AccessFlags::X_OK).map_err(|_| "it is not executable; make it so with chmod +x".to_owned())
}

/// A file a worker for what its commands write.
#[derive(Debug)]
pub enum Logs {
    /// The last 64 KiB or more of each, until the end.
    Private(tempfile::TempDir),
    /// All of it, in a folder of the user's.
    Kept(PathBuf),
}

impl Logs {
    fn private() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("flockmon-logs-").tempdir().with_context(|| {
            format!(
                "cannot make a temporary folder for the command's output in {}: use --log DIR, or set TMPDIR to a folder you may write",
                std::env::temp_dir().display()
            )
        })?;
        Ok(Self::Private(folder))
    }

    fn kept(folder: &Path, force: bool) -> Result<Self> {
        let shown = folder.display();
        match std::fs::read_dir(folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(folder).with_context(|| {
                    format!("cannot make the folder {shown} for --log: name one in a folder that you may write to")
                })?;
            }
            Err(e) => bail!("cannot look into {shown}, the folder for --log: {e}; name another one"),
            Ok(entries) => {
                let mut logs = entries.flatten().map(|e| e.path()).filter(|p| is_log(p));
                if let Some(first) = logs.find(|_| !force) {
                    bail!(
                        "{} exists and is left as it is: name another folder for --log, or add --force to overwrite the logs there",
                        first.display()
                    );
                }
                access(folder, AccessFlags::W_OK)
                    .map_err(|e| anyhow!("cannot write into {shown}, the folder for --log: {e}; name another one"))?;
            }
        }
        Ok(Self::Kept(folder.to_owned()))
    }

    /// Removes the logs of an earlier run. To be called when all else is ready.
    ///
    /// # Errors
    /// Which one cannot be removed, and why.
    pub(super) fn clear(&self) -> Result<()> {
        for path in self.there() {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    /// The logs that there are, those of an earlier run before anything begins.
    pub fn there(&self) -> impl Iterator<Item = PathBuf> {
        let entries = std::fs::read_dir(self.folder()).into_iter().flatten().flatten();
        entries.map(|e| e.path()).filter(|p| is_log(p))
    }

    fn folder(&self) -> &Path {
        match self {
            Self::Private(folder) => folder.path(),
            Self::Kept(folder) => folder,
        }
    }

    /// The file that commands of worker `id` write to.
    pub fn path(&self, id: u32) -> PathBuf {
        self.folder().join(format!("worker-{id}.log"))
    }

    /// Whether all is kept.
    pub fn are_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    /// The last `bytes` bytes that commands of worker `id` wrote; nothing where they wrote nothing yet.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn tail(&self, id: u32, bytes: u64) -> io::Result<Vec<u8>> {
        let mut file = match File::open(self.path(id)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(bytes)))?;
        let mut tail = Vec::new();
        file.take(bytes).read_to_end(&mut tail)?;
        Ok(tail)
    }

    /// Gives back the space of what need not be kept of what worker `id` has written.
    pub(super) fn trim(&self, id: u32) {
        if self.are_kept() {
            return;
        }
        // A log that is not there yet needs no space.
        if let Ok(file) = File::options().write(true).open(self.path(id)) {
            trim(file.as_raw_fd());
        }
    }
}

fn is_log(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let number = name.strip_prefix("worker-").and_then(|n| n.strip_suffix(".log"));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_where_execvp_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("first")).unwrap();
        std::fs::create_dir(at("second")).unwrap();
        std::fs::create_dir(at("first/tool")).unwrap();
        std::fs::write(at("second/tool"), "").unwrap();
        std::fs::write(at("first/plain"), "").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(at("second/tool"), mode).unwrap();
        let path = std::env::join_paths([at("first"), at("second")]).unwrap();
        assert_eq!(find(OsStr::new("tool"), &path).unwrap(), at("second/tool"));
        for (name, words) in [
            ("plain", "not executable"),
            ("missing", "not found in PATH"),
            ("", "empty"),
            ("/no/such/tool", "no such file"),
            (at("first").to_str().unwrap(), "a folder"),
        ] {
            let error = find(OsStr::new(name), &path).unwrap_err().to_string();
            assert!(error.contains(words), "{name:?}: {error}");
        }
    }

    #[test]
    fn logs_of_the_user_are_not_overwritten_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let (log, other) = (folder.path().join("worker-3.log"), folder.path().join("worker-x.log"));
        std::fs::write(&log, "precious").unwrap();
        std::fs::write(&other, "precious").unwrap();
        let error = Logs::kept(folder.path(), false).unwrap_err().to_string();
        assert!(error.contains("worker-3.log") && error.contains("--force"), "{error}");
        let logs = Logs::kept(folder.path(), true).unwrap();
        assert!(log.exists(), "nothing has begun yet");
        logs.clear().unwrap();
        assert!(!log.exists() && other.exists());
        assert_eq!(logs.tail(3, 10).unwrap(), b"");
        std::fs::write(&log, "0123456789abcdef").unwrap();
        assert_eq!(logs.tail(3, 10).unwrap(), b"6789abcdef");
    }

    #[test]
    fn space_of_old_output_is_given_back_and_the_end_of_it_stays() {
        use std::os::unix::fs::MetadataExt;
        let logs = Logs::private().unwrap();
        let written: Vec<u8> = (0..4_000_000u32).map(|n| b'a' + (n % 23) as u8).collect();
        std::fs::write(logs.path(1), &written).unwrap();
        let space = || std::fs::metadata(logs.path(1)).unwrap().blocks() * 512;
        assert!(space() >= 4_000_000);
        logs.trim(1);
        assert!(space() <= 4 * KEPT, "{} bytes are left", space());
        let tail = logs.tail(1, 1000).unwrap();
        assert!(tail.is_empty() || tail == written[written.len() - 1000..]);
    }
}
