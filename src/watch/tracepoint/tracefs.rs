//! Where the kernel describes its events.

use super::TraceError;
use super::format::Format;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// An event as this kernel has it.
#[derive(Debug)]
pub(super) struct Event {
    /// What perf_event_open(2) knows it by.
    pub id: u64,
    /// What its records look like.
    pub format: Format,
}

/// The tracing file system.
#[derive(Debug)]
pub(super) struct TraceFs {
    events: PathBuf,
}

impl TraceFs {
    /// Finds it wherever it is mounted, else as `tracing` in debugfs, which mounts it when looked at.
    ///
    /// # Errors
    /// Where it is not mounted in this mount namespace.
    pub fn find() -> Result<Self, TraceError> {
        let table = std::fs::read("/proc/self/mountinfo")
            .map_err(|source| TraceError::System { tried: "read /proc/self/mountinfo".into(), source })?;
        let mut places = mounts_of(&table, b"tracefs");
        places.extend(mounts_of(&table, b"debugfs").into_iter().map(|at| at.join("tracing")));
        // Mounted over by something else, or a second one that only root reads: the first that serves.
        let serves = |events: &PathBuf| std::fs::metadata(events.join("filelock")).is_ok();
        let mut events: Vec<PathBuf> = places.into_iter().map(|at| at.join("events")).collect();
        let best = events.iter().position(serves).unwrap_or(0);
        if events.is_empty() {
            return Err(TraceError::NotMounted);
        }
        Ok(Self { events: events.swap_remove(best) })
    }

    /// Reads what `group:name` is.
    ///
    /// # Errors
    /// Where the kernel does not have it, or it must not be read.
    pub fn event(&self, name: &str) -> Result<Event, TraceError> {
        let folder = self.events.join(name.replacen(':', "/", 1));
        let read = |file: &str| {
            let path = folder.join(file);
            std::fs::read_to_string(&path).map_err(|source| match source.kind() {
                ErrorKind::NotFound => {
                    TraceError::NoEvent { event: name.to_owned(), place: self.events.display().to_string() }
                }
                ErrorKind::PermissionDenied => TraceError::refused(format!("read {}", path.display()), source),
                _ => TraceError::System { tried: format!("read {}", path.display()), source },
            })
        };
        let id = read("id")?;
        let id = id
            .trim()
            .parse()
            .map_err(|_| TraceError::Format { event: name.to_owned(), why: format!("its id is {:?}", id.trim()) })?;
        Ok(Event { id, format: Format::parse(&read("format")?) })
    }
}

/// Where file systems of this type are mounted: proc_pid_mountinfo(5).
fn mounts_of(table: &[u8], kind: &[u8]) -> Vec<PathBuf> {
    let line = |line: &[u8]| {
        let mut words = line.split(|&b| b == b' ');
        let root = words.nth(3)?.to_owned();
        let place = words.next()?.to_owned();
        words.find(|&w| w == b"-")?;
        (words.next()? == kind && root == b"/").then(|| PathBuf::from(OsString::from_vec(unescape(&place))))
    };
    table.split(|&b| b == b'\n').filter_map(line).collect()
}

/// Blanks and the like are three octal digits behind a backslash.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) = (byte, tail) {
            plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = tail;
        } else {
            plain.push(byte);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:12 / /sys/kernel/tracing rw shared:3 master:4 - tracefs tracefs rw
31 22 0:12 / /my\\040traces\\134x rw - tracefs nodev rw
32 22 0:12 /events /part rw - tracefs nodev rw
33 22 0:7 / /sys/kernel/debug rw - debugfs debugfs rw
garbage
34 22 0:7
";

    #[test]
    fn mounts_are_found_wherever_they_are() {
        assert_eq!(
            mounts_of(TABLE, b"tracefs"),
            [PathBuf::from("/sys/kernel/tracing"), PathBuf::from("/my traces\\x")]
        );
        assert_eq!(mounts_of(TABLE, b"debugfs"), [PathBuf::from("/sys/kernel/debug")]);
        assert!(mounts_of(TABLE, b"btrfs").is_empty());
    }
}
