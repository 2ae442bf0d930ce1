//! `/proc/locks` as kernels of several versions write it, and any text at all.

use super::*;
use proptest::prelude::*;
use std::fmt::Write;

/// Linux 4.19: a flat list, and words of its time.
const FLAT: &str = "\
1: POSIX  MANDATORY READ  311 08:01:131 0 EOF
2: FLOCK  ADVISORY  WRITE 100 08:01:7 0 EOF
2: -> FLOCK  ADVISORY  WRITE 101 08:01:7 0 EOF
2: -> FLOCK  ADVISORY  WRITE 102 08:01:7 0 EOF
3: FLOCK  MSNFS     RW    103 08:01:8 0 EOF
4: POSIX  *NOINODE* WRITE 104 <none>:0 0 EOF
5: ACCESS ADVISORY  READ  105 08:01:9 0 EOF
";

/// Linux 5.4: only who waits for the holder itself.
const DIRECT: &str = "\
1: OFDLCK ADVISORY  WRITE -1 fd:00:7 100 199
1: -> OFDLCK ADVISORY  READ -1 fd:00:7 150 EOF
1: -> POSIX  ADVISORY  WRITE 20 fd:00:7 0 127
2: POSIX  ADVISORY  READ  21 fd:00:8 1073741826 1073742335
";

/// Linux 6.x: the whole queue, leases, a breaker, a delegation, a waiter of an outer pid namespace.
const TREE: &str = "\
1: FLOCK  ADVISORY  WRITE 10 fe:00:70 0 EOF
1: -> FLOCK  ADVISORY  WRITE 12 fe:00:70 0 EOF
1:  -> FLOCK  ADVISORY  READ 13 fe:00:70 0 EOF
1:  -> FLOCK  ADVISORY  READ 14 fe:00:70 0 EOF
1:   -> FLOCK  ADVISORY  WRITE 15 fe:00:70 0 EOF
1: -> FLOCK  ADVISORY  READ 0 fe:00:70 0 EOF
3: LEASE  BREAKING  READ 30 fe:00:71 0 EOF
3: -> LEASE  BREAKER   READ 31 <none>:0 0 EOF
4: DELEG  ACTIVE    READ 32 00:1b:18446744073709551615 0 EOF
5: UNKNOWN UNKNOWN  UNLCK 33 103:10:72 0 EOF
";

fn rows(text: &str) -> (Vec<Row>, usize) {
    let mut rows = Vec::new();
    let malformed = parse(text.as_bytes(), &mut rows);
    (rows, malformed)
}

/// Depth, the index that it stands behind, and pid of each.
fn shape(text: &str) -> Vec<(u32, Option<usize>, i32)> {
    let (rows, malformed) = rows(text);
    assert_eq!(malformed, 0, "{text}");
    rows.iter().map(|r| (r.depth, r.behind, r.pid)).collect()
}

#[test]
fn flat_lists_of_old_kernels() {
    let queue = [(0, None, 311), (0, None, 100), (1, Some(1), 101), (1, Some(1), 102), (0, None, 103)];
    assert_eq!(shape(FLAT)[..5], queue);
    let (rows, _) = rows(FLAT);
    assert_eq!((rows[4].kind, rows[4].mode), (Kind::Lock(LockKind::Flock), None));
    assert_eq!((rows[5].file, rows[5].key()), (None, None));
    assert_eq!((rows[6].kind, rows[6].key()), (Kind::Other(Other::Access), None));
}

#[test]
fn only_the_first_of_the_queue() {
    assert_eq!(shape(DIRECT), [(0, None, -1), (1, Some(0), -1), (1, Some(0), 20), (0, None, 21)]);
    let (rows, _) = rows(DIRECT);
    let ranges: Vec<_> = rows.iter().map(|r| (r.range.start, r.range.end)).collect();
    assert_eq!(ranges, [(100, Some(199)), (150, None), (0, Some(127)), (1_073_741_826, Some(1_073_742_335))]);
    // POSIX and OFD locks exclude each other: one lock to contend for.
    assert_eq!(rows[1].key(), rows[2].key());
    assert_eq!(rows[3].mode, Some(LockMode::Shared));
}

#[test]
fn the_whole_queue_and_what_is_no_lock() {
    let queue =
        [(0, None, 10), (1, Some(0), 12), (2, Some(1), 13), (2, Some(1), 14), (3, Some(3), 15), (1, Some(0), 0)];
    assert_eq!(shape(TREE)[..6], queue);
    let (rows, _) = rows(TREE);
    let kinds: Vec<_> = rows[6..].iter().map(|r| r.kind.to_string()).collect();
    assert_eq!(kinds, ["lease", "lease", "delegation", "unknown"]);
    assert_eq!(rows[7].file, None);
    assert_eq!(rows[8].file, Some(FileId { major: 0, minor: 0x1b, inode: u64::MAX }));
    assert_eq!(rows[9].file, Some(FileId { major: 0x103, minor: 0x10, inode: 72 }));
    assert_eq!(rows[0].file, Some(FileId { major: 254, minor: 0, inode: 70 }));
}

#[test]
fn a_queue_of_any_depth() {
    let mut text = String::from("1: FLOCK  ADVISORY  WRITE 1 fe:00:7 0 EOF\n");
    for depth in 1..=1000 {
        let _ =
            writeln!(text, "1: {:>depth$}-> FLOCK  ADVISORY  WRITE {} fe:00:7 0 EOF", "", depth + 1, depth = depth - 1);
    }
    let (rows, malformed) = rows(&text);
    assert_eq!((rows.len(), malformed), (1001, 0));
    assert!(text.len() > 500_000);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!((row.depth as usize, row.behind), (index, index.checked_sub(1)));
    }
    assert_eq!(first_record(text.as_bytes()), text.len());
}

#[test]
fn what_is_hidden_in_front_leaves_no_one_to_stand_behind() {
    // The rest of a record that another namespace's holder heads, and one whose head was lost.
    let text = "3: -> FLOCK  ADVISORY  WRITE 10 fe:00:7 0 EOF\n4:  -> FLOCK  ADVISORY  WRITE 11 fe:00:7 0 EOF\n";
    assert_eq!(shape(text), [(1, None, 10), (2, None, 11)]);
}

#[test]
fn a_bad_line_is_counted_and_the_next_one_read() {
    let bad = [
        "",
        ":",
        "1",
        "1:",
        "1: FLOCK",
        "x: FLOCK  ADVISORY  WRITE 1 fe:00:7 0 EOF",
        "1: FLOCK  ADVISORY  WRITE x fe:00:7 0 EOF",
        "1: FLOCK  ADVISORY  WRITE -2147483649 fe:00:7 0 EOF",
        "1: FLOCK  ADVISORY  WRITE 1 fe:00 0 EOF",
        "1: FLOCK  ADVISORY  WRITE 1 fe:zz:7 0 EOF",
        "1: FLOCK  ADVISORY  WRITE 1 1fffffffff:00:7 0 EOF",
        "1: FLOCK  ADVISORY  WRITE 1 fe:00:18446744073709551616 0 EOF",
        "1: FLOCK  ADVISORY  WRITE 1 fe:00:7x 0 EOF",
        "1: FLOCK  ADVISORY  WRITE 1 fe:00:7 -1 EOF",
        "1: FLOCK  ADVISORY  WRITE 1 fe:00:7 0 EOL",
        "1: FLOCK  ADVISORY  WRITE 1 fe:00:7 0",
        "1: FLOCK  ADVISORY  WRITE 1 fe:00:7 0 EOF and more",
        "99999999999999999999: FLOCK  ADVISORY  WRITE 1 fe:00:7 0 EOF",
    ];
    for line in bad {
        let text = format!("{line}\n2: FLOCK  ADVISORY  WRITE 1 fe:00:7 0 EOF\n");
        let (rows, malformed) = rows(&text);
        assert_eq!((rows.len(), malformed), (1, 1), "{line}");
    }
    // The last line may lack its end, as in fdinfo.
    assert_eq!(rows("1: FLOCK  ADVISORY  WRITE 1 fe:00:7 0 EOF").0.len(), 1);
    assert!(line(b"1: OFDLCK ADVISORY  WRITE -1 fe:00:7 0 5").is_some_and(|r| r.pid == -1));
}

/// What must hold of any text.
fn check(text: &[u8]) {
    let mut rows = Vec::new();
    let malformed = parse(text, &mut rows);
    let lines = text.split_inclusive(|b| *b == b'\n').count();
    assert_eq!(rows.len() + malformed, lines);
    for (index, row) in rows.iter().enumerate() {
        if let Some(behind) = row.behind {
            assert!(behind < index && rows[behind].depth < row.depth && rows[behind].ordinal == row.ordinal);
        }
        assert!(row.depth > 0 || row.behind.is_none());
    }
    let mut rest = text;
    while !rest.is_empty() {
        let length = first_record(rest);
        assert!(length > 0);
        rest = &rest[length..];
    }
}

/// As `lock_get_status` prints it.
fn print(row: &Row) -> String {
    let arrow =
        if row.depth == 0 { String::new() } else { format!("{:>width$}", "-> ", width = row.depth as usize + 2) };
    let kind = match row.kind {
        Kind::Lock(LockKind::Flock) => "FLOCK  ADVISORY ",
        Kind::Lock(LockKind::Posix) => "POSIX  ADVISORY ",
        Kind::Lock(LockKind::Ofd) => "OFDLCK ADVISORY ",
        Kind::Other(Other::Lease) => "LEASE  ACTIVE   ",
        Kind::Other(Other::Delegation) => "DELEG  BREAKING ",
        Kind::Other(Other::Access) => "ACCESS ADVISORY ",
        Kind::Other(Other::Unknown) => "UNKNOWN UNKNOWN ",
    };
    let mode = row.mode.map_or("UNLCK", |m| if m == LockMode::Exclusive { "WRITE" } else { "READ" });
    let file = row.file.map_or("<none>:0".into(), |f| format!("{:02x}:{:02x}:{}", f.major, f.minor, f.inode));
    let end = row.range.end.map_or("EOF".into(), |e| e.to_string());
    format!("{}: {arrow}{kind} {mode} {} {file} {} {end}\n", row.ordinal, row.pid, row.range.start)
}

fn any_row() -> impl Strategy<Value = Row> {
    let kind = prop_oneof![
        Just(Kind::Lock(LockKind::Flock)),
        Just(Kind::Lock(LockKind::Posix)),
        Just(Kind::Lock(LockKind::Ofd)),
        Just(Kind::Other(Other::Lease)),
        Just(Kind::Other(Other::Delegation)),
        Just(Kind::Other(Other::Access)),
        Just(Kind::Other(Other::Unknown)),
    ];
    let mode = prop_oneof![Just(None), Just(Some(LockMode::Exclusive)), Just(Some(LockMode::Shared))];
    let file = proptest::option::of((any::<u32>(), any::<u32>(), any::<u64>()));
    let numbers = (0u64..5, 0u32..6, prop_oneof![Just(-1), Just(0), 1..i32::MAX]);
    (numbers, kind, mode, file, any::<u64>(), any::<Option<u64>>()).prop_map(
        |((ordinal, depth, pid), kind, mode, file, start, end)| {
            let file = file.map(|(major, minor, inode)| FileId { major, minor, inode });
            Row { ordinal, depth, behind: None, kind, mode, pid, file, range: Range { start, end } }
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
        check(&text);
    }

    #[test]
    fn no_text_of_its_own_alphabet_is(text in "[0-9:>\\- \n<nEOFLCKWRTADb]{0,400}") {
        check(text.as_bytes());
    }

    #[test]
    fn real_texts_may_be_torn_anywhere(
        which in 0..3usize,
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 0..12),
    ) {
        let mut text = [FLAT, DIRECT, TREE][which].as_bytes().to_vec();
        for (at, byte, how) in cuts {
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => text.truncate(at.max(1)),
            }
        }
        check(&text);
    }

    #[test]
    fn what_the_kernel_prints_is_read_back(rows in proptest::collection::vec(any_row(), 0..40)) {
        let text: String = rows.iter().map(print).collect();
        check(text.as_bytes());
        let mut read = Vec::new();
        assert_eq!(parse(text.as_bytes(), &mut read), 0);
        read.iter_mut().for_each(|r| r.behind = None);
        assert_eq!(read, rows);
    }
}
