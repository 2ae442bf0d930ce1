//! `/proc/PID` as kernels and container runtimes write it, and this very process.

use super::*;

#[test]
fn a_name_may_hold_anything() {
    let stat = |comm: &str| {
        let text = format!("42 ({comm}) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 123456 1000 200\n");
        Stat::parse(text.as_bytes())
    };
    for (comm, shown) in [("cron", "cron"), ("a) R (b", "a) R (b"), ("", ""), ("x\ny\u{1b}[2J", "x\\ny\\u{1b}[2J")] {
        let stat = stat(comm).unwrap();
        assert_eq!((stat.comm.as_str(), stat.parent), (shown, 7));
        let Life { state, mark, threads } = stat.life;
        assert_eq!((state, mark.start, threads), ('S', 123_456, 3));
    }
    for garbage in ["", "42", "42 (x", "42 (x)", "42 )x( S 1", "42 (x) S 7 42"] {
        assert!(Stat::parse(garbage.as_bytes()).is_none(), "{garbage}");
    }
}

#[test]
fn command_lines_are_quoted_and_escaped() {
    assert_eq!(command(b"sleep\x0060\0").as_deref(), Some("sleep 60"));
    assert_eq!(command(b"sh\0-c\0echo $HOME; ls\0").as_deref(), Some("sh -c 'echo $HOME; ls'"));
    assert_eq!(command(b"x\0\0y\0").as_deref(), Some("x '' y"));
    assert_eq!(command(b"x\0a\x1b[31m\xff\0").as_deref(), Some("x 'a\\u{1b}[31m\\xff'"));
    // setproctitle(3) writes one string, padded with zeros or not.
    assert_eq!(command(b"nginx: master process").as_deref(), Some("'nginx: master process'"));
    assert_eq!(command(b""), None);
    assert_eq!(command(b"\0\0"), None);
}

#[test]
fn text_that_would_turn_the_line_around_is_escaped() {
    assert_eq!(escape("a\u{202e}b\u{200b}c\u{e9}".as_bytes()), "a\\u{202e}b\\u{200b}c\u{e9}");
    assert_eq!(escape(b"\xf0\x9f"), "\\xf0\\x9f");
}

#[test]
fn users_are_known_by_their_numbers() {
    let known = users(
        b"root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:\n# no line\nbad:x:y:0::/:\nmax:x:1000:1000:::\n+::::::\n",
    );
    assert_eq!((known.get(&0).map(String::as_str), known.get(&1000).map(String::as_str)), (Some("root"), Some("max")));
    assert_eq!(known.len(), 2);
    let status = b"Name:\tx\nUid:\t1000\t1001\t1000\t1000\nNSpid:\t4711\t17\t1\n";
    assert_eq!((uid(status), uid(b"Uid:\t1\n")), (Some(1001), None));
}

#[test]
fn we_know_ourselves() {
    let me = std::process::id() as i32;
    let mut names = Names::new();
    let identity = names.of(me).unwrap().clone();
    assert_eq!(Some(identity.mark), life(me).map(|l| l.mark));
    assert_eq!(identity.uid, nix::unistd::geteuid().as_raw());
    assert_eq!(identity.parent, std::os::unix::process::parent_id() as i32);
    assert!(identity.command.starts_with(&argument(std::env::args().next().unwrap().as_bytes())), "{identity:?}");
    assert_eq!(comm(me).as_deref(), Some(identity.comm.as_str()));
    assert_eq!(names.known.get(&me), Some(&identity));
    names.retain(|pid| pid != me);
    assert!(names.known.is_empty());
    assert!(names.of(i32::MAX).is_none() && life(i32::MAX).is_none() && comm(i32::MAX).is_none());
}

#[test]
fn a_program_is_told_from_the_one_before_it_though_both_have_one_name() {
    let stat = |rest: &str| {
        // Fields 23 to 28: memory, pages, limit, code, its end, stack; up to 47 nothing; 48 and 49: arguments.
        let text = format!("42 (sh) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 123456 {rest}");
        Stat::parse(text.as_bytes()).unwrap().life.mark
    };
    let zeros = "0 ".repeat(19);
    let one = stat(&format!("1000 2 3 40 41 50 {zeros}60 61"));
    assert_eq!(one, stat(&format!("9000 7 3 40 41 50 {zeros}60 61")));
    for other in [format!("1000 2 3 40 41 51 {zeros}60 61"), format!("1000 2 3 40 41 50 {zeros}62 63")] {
        assert!(!one.is_same(stat(&other)), "{other}");
    }
    let ending = stat(&format!("0 0 3 0 0 0 {zeros}0 0"));
    assert!(one.is_same(ending) && ending.image == 0);
}

#[test]
fn a_long_command_line_is_cut() {
    let long = "x".repeat(20_000);
    let mut sleeper = std::process::Command::new("sh")
        .args(["-c", "read x", &long])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // For an instant after execve(2) it has no command line yet.
    let began = std::time::Instant::now();
    let identity = loop {
        let identity = Names::new().of(sleeper.id() as i32).unwrap().clone();
        if identity.command.contains("read x") || began.elapsed().as_secs() > 60 {
            break identity;
        }
        std::thread::yield_now();
    };
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert!(identity.command.starts_with("sh -c 'read x' xxx") && identity.command.ends_with("x..."), "{identity:?}");
    assert!(identity.command.len() < 4200);
}

/// Locks the file, waits for the other one in a second thread, and ends the first.
const HEADLESS: &str = "
import ctypes, fcntl, sys, threading
held, wanted = (open(path) for path in sys.argv[1:3])
fcntl.flock(held, fcntl.LOCK_EX)
threading.Thread(target=lambda: fcntl.flock(wanted, fcntl.LOCK_EX)).start()
ctypes.CDLL(None).syscall(int(sys.argv[3]), 0)
";

#[test]
fn a_process_lives_as_long_as_one_of_its_threads() {
    use crate::event::{LockKind, LockMode::Exclusive};
    use crate::lock::Lock;
    use crate::watch::change::FileId;
    use std::os::fd::AsRawFd;
    let files = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
    LockKind::Flock.acquire(files[1].as_file().as_raw_fd(), Exclusive).unwrap();
    let exit = libc::SYS_exit.to_string();
    let mut child = std::process::Command::new("python3")
        .args(["-c", HEADLESS])
        .args(files.each_ref().map(|f| f.path()))
        .arg(exit)
        .spawn()
        .unwrap();
    let pid = child.id() as i32;
    let began = std::time::Instant::now();
    while stand_in(pid).is_none() || waits::of(pid).is_empty() {
        assert!(began.elapsed().as_secs() < 60);
        std::thread::yield_now();
    }
    let ids = files.each_ref().map(|file| FileId::of_path(file.path()).unwrap());
    assert_eq!(life(pid).map(|l| l.state), Some('S'));
    let command = Names::new().of(pid).unwrap().command.clone();
    assert!(command.contains("python3 -c"), "{command}");
    let scan = owners::scan_among([pid], Some(&ids));
    assert_eq!((scan.refused, scan.owners.len(), scan.owners[0].pid, scan.owners[0].file), (0, 1, pid, ids[0]));
    let path = owners::path_of(pid, scan.owners[0].fd).unwrap().path;
    assert_eq!(path, files[0].path().canonicalize().unwrap());
    assert_eq!(waits::of(pid).iter().map(|w| (w.pid, w.file)).collect::<Vec<_>>(), [(pid, Some(ids[1]))]);
    child.kill().unwrap();
    while stand_in(pid).is_some() {
        std::thread::yield_now();
    }
    assert_eq!(life(pid).map(|l| l.state), Some('Z'));
    child.wait().unwrap();
}
