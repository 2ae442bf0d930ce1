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
        assert_eq!(stat.life, Life { state: 'S', start: 123_456, threads: 3 });
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
fn users_and_namespaces() {
    let known = users(
        b"root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:\n# no line\nbad:x:y:0::/:\nmax:x:1000:1000:::\n+::::::\n",
    );
    assert_eq!((known.get(&0).map(String::as_str), known.get(&1000).map(String::as_str)), (Some("root"), Some("max")));
    assert_eq!(known.len(), 2);
    let status = b"Name:\tx\nUid:\t1000\t1001\t1000\t1000\nNSpid:\t4711\t17\t1\n";
    assert_eq!((uid(status), inner_pid(status)), (Some(1001), Some(1)));
    assert_eq!(inner_pid(b"NSpid:\t4711\n"), None);
    assert_eq!((uid(b"Uid:\t1\n"), inner_pid(b"")), (None, None));
}

#[test]
fn we_know_ourselves() {
    let me = std::process::id() as i32;
    let mut names = Names::new();
    let identity = names.of(me).unwrap().clone();
    assert_eq!(Some(identity.start), life(me).map(|l| l.start));
    assert_eq!(identity.uid, nix::unistd::geteuid().as_raw());
    assert_eq!(identity.parent, std::os::unix::process::parent_id() as i32);
    assert!(identity.command.starts_with(&argument(std::env::args().next().unwrap().as_bytes())), "{identity:?}");
    assert_eq!(comm(me).as_deref(), Some(identity.comm.as_str()));
    assert_eq!(names.last(me), Some(&identity));
    names.retain(|pid| pid != me);
    assert_eq!(names.last(me), None);
    assert!(names.of(i32::MAX).is_none() && life(i32::MAX).is_none() && comm(i32::MAX).is_none());
}
