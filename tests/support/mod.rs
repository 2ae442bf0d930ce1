//! The real binary, at a pseudo-terminal or without one. Everything waits for what it wants to see, with a
//! generous limit; nothing sleeps for a fixed time.
#![allow(dead_code, missing_docs, clippy::unwrap_used, reason = "each test file uses a part of it")]

pub mod foreign;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const LIMIT: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer; `what` says what was waited for.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flockmon"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FLOCKMON_") {
            command.env_remove(name);
        }
    }
    // Whoever runs the tests may have settings of their own.
    command.env("XDG_CONFIG_HOME", "/nonexistent").env_remove("COLORTERM");
    command.args(args).env_remove("NO_COLOR").env("TERM", "xterm-256color");
    command
}

/// Runs it to its end, without a terminal.
pub fn run(args: &[&str]) -> Output {
    command(args).stdin(Stdio::null()).output().unwrap()
}

/// It must end with status 2, print nothing, and say all `words`.
pub fn refused(args: &[&str], words: &[&str]) {
    let out = run(args);
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{args:?}: {error}");
    assert!(out.stdout.is_empty(), "{args:?} wrote to standard output");
    for word in words {
        assert!(error.contains(word), "{args:?}: {word:?} is not in: {error}");
    }
}

/// A test that needs the kernel's events cannot be run: said loudly, past the test harness. Where the environment has
/// `FLOCKMON_REQUIRE_EXACT` they are to be had, and that they are not is a failure.
pub fn without_events(why: &str) {
    assert!(std::env::var_os("FLOCKMON_REQUIRE_EXACT").is_none(), "the kernel's events are to be had here, but: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Whether the real binary may watch exactly.
pub fn may_watch_exactly(path: &str) -> bool {
    let probe = run(&["watch", "--how", "exact", "-d", "1ms", "-o", "json", path]);
    let may = probe.status.code() == Some(0);
    if !may {
        without_events(&format!("exact watch: {}", String::from_utf8_lossy(&probe.stderr).trim()));
    }
    may
}

/// Runs a shell script with mounts of its own, which end with it; none, loudly, where that is not allowed.
pub fn with_own_mounts(script: &str) -> Option<Output> {
    let unshare = |script: &str| Command::new("unshare").args(["-m", "sh", "-c", script]).output();
    let may = nix::unistd::geteuid().is_root() && unshare("true").is_ok_and(|o| o.status.success());
    if !may {
        eprintln!("SKIPPED: only root, and not in every container, may mount a file system");
        return None;
    }
    Some(unshare(script).unwrap())
}

/// Process ids of a process's children.
pub fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|p| p.parse().ok()).collect()
}

/// State letter of a process; none where there is none. A zombie is none.
pub fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next().filter(|c| *c != 'Z' && *c != 'X')
}

pub fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

pub fn wait_gone(pids: &[i32]) {
    wait_for("the workers to be gone", || pids.iter().all(|p| state(*p).is_none()).then_some(()));
}

/// flockmon at a pseudo-terminal.
pub struct Terminal {
    pub child: Child,
    master: Option<File>,
    screen: Arc<Mutex<vt100::Parser>>,
    /// Reads until nobody has the terminal any more.
    reader: std::thread::JoinHandle<()>,
}

impl Terminal {
    pub fn start(args: &[&str]) -> Self {
        Self::start_sized(args, 36, 120, &[])
    }

    pub fn start_sized(args: &[&str], rows: u16, cols: u16, env: &[(&str, &str)]) -> Self {
        let mut command = command(args);
        command.envs(env.iter().copied());
        Self::over(command, rows, cols)
    }

    /// Whatever program it is: it must run flockmon at the same terminal.
    pub fn over(mut command: Command, rows: u16, cols: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let slave = File::from(pty.slave);
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let master_fd = std::os::fd::AsRawFd::as_raw_fd(&pty.master);
        // SAFETY: between fork and exec only async-signal-safe calls: a session of its own, with this terminal.
        #[allow(unsafe_code)]
        unsafe {
            command.pre_exec(move || {
                nix::libc::close(master_fd);
                nix::unistd::setsid()?;
                if nix::libc::ioctl(0, nix::libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        drop(command);
        let master = File::from(pty.master);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, cols, 0)));
        let (mut reader, shared) = (master.try_clone().unwrap(), Arc::clone(&screen));
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                shared.lock().unwrap().process(&buffer[..n]);
            }
        });
        Self { child, master: Some(master), screen, reader }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn workers(&self) -> Vec<i32> {
        children(self.pid())
    }

    pub fn press(&mut self, keys: &str) {
        self.master.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// The colour of the first letter of `word`; none where the screen does not show it.
    pub fn color_of(&self, word: &str) -> Option<vt100::Color> {
        let parser = self.screen.lock().unwrap();
        let screen = parser.screen();
        let (_, columns) = screen.size();
        let rows: Vec<String> = screen.rows(0, columns).collect();
        let (row, at) = rows.iter().enumerate().find_map(|(y, row)| Some((y, row.find(word)?)))?;
        let column = rows[row][..at].chars().count();
        Some(screen.cell(row as u16, column as u16)?.fgcolor())
    }

    /// Waits until the screen shows `what`; gives the whole screen.
    pub fn see(&self, what: &str) -> String {
        self.see_that(what, |t| t.contains(what))
    }

    pub fn see_that(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let text = self.text();
            if is(&text) {
                return text;
            }
            assert!(began.elapsed() < LIMIT, "waited in vain for {what:?} on this screen:\n{text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn resize(&self, rows: u16, cols: u16) {
        let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
        self.screen.lock().unwrap().screen_mut().set_size(rows.max(1), cols.max(1));
        // SAFETY: the ioctl reads one struct that is ours.
        #[allow(unsafe_code)]
        let done = unsafe {
            nix::libc::ioctl(self.master.as_ref().unwrap().as_raw_fd(), nix::libc::TIOCSWINSZ, &raw const size)
        };
        assert_eq!(done, 0);
    }

    /// Closes the terminal under the program.
    pub fn hang_up(&mut self) {
        // The reading thread has a copy of the master; the hang-up must not depend on when it ends.
        self.master = None;
        signal(self.pid(), Signal::SIGHUP);
    }

    pub fn wait_exit(&mut self) -> ExitStatus {
        wait_for("flockmon to end", || self.child.try_wait().unwrap())
    }

    /// Quits; gives what is printed in the end.
    pub fn end(&mut self) -> String {
        self.press("q");
        self.wait_exit();
        wait_for("all that was printed", || self.reader.is_finished().then_some(()));
        self.assert_restored();
        self.text()
    }

    pub fn in_alternate_screen(&self) -> bool {
        self.screen.lock().unwrap().screen().alternate_screen()
    }

    /// The terminal is as it was: no alternate screen, a cursor, no mouse reports.
    pub fn assert_restored(&self) {
        wait_for("the terminal to be given back", || {
            let parser = self.screen.lock().unwrap();
            let screen = parser.screen();
            let mouse = screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None;
            (!screen.alternate_screen() && !screen.hide_cursor() && mouse).then_some(())
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// flockmon without a terminal, its output collected line by line as it comes.
pub struct Headless {
    pub child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Headless {
    pub fn start(args: &[&str]) -> Self {
        Self::over(command(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// One that runs already, with its standard output piped.
    pub fn over(mut child: Child) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (out, shared) = (child.stdout.take().unwrap(), Arc::clone(&lines));
        let reader = std::thread::spawn(move || {
            for line in std::io::BufRead::lines(std::io::BufReader::new(out)).map_while(Result::ok) {
                shared.lock().unwrap().push(line);
            }
        });
        Self { child, lines, reader: Some(reader) }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub fn see(&self, what: &str) -> String {
        wait_for(what, || self.lines().into_iter().find(|l| l.contains(what)))
    }

    /// Ends it as a user would; gives all that it wrote and its exit status.
    pub fn end(mut self) -> (String, Option<i32>) {
        signal(self.pid(), Signal::SIGTERM);
        self.wait()
    }

    pub fn wait(&mut self) -> (String, Option<i32>) {
        let status = wait_for("flockmon to end", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (self.lines().join("\n"), status.code())
    }
}

impl Drop for Headless {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines of /proc/locks about the file: (waits, pid).
pub fn proc_locks(path: &Path) -> Vec<(bool, i32)> {
    use std::os::unix::fs::MetadataExt;
    let inode = format!(":{} ", std::fs::metadata(path).unwrap().ino());
    // One read is one snapshot as long as the text is under a page (seq_file).
    let mut buffer = [0; 65536];
    let n = File::open("/proc/locks").unwrap().read(&mut buffer).unwrap();
    let text = String::from_utf8_lossy(&buffer[..n]);
    text.lines()
        .filter(|l| l.contains(&inode))
        .filter_map(|l| {
            let waits = l.contains("->");
            let words: Vec<&str> = l.split_whitespace().filter(|w| *w != "->").collect();
            Some((waits, words.get(4)?.parse().ok()?))
        })
        .collect()
}
