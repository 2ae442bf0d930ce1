//! Readings in, changes out.

use super::*;
use crate::watch::process::{Owner, Wait};
use crate::watch::procfs::Kind;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

/// Readings in short: `10W` holds exclusively, `11w` waits for that, `R` and `r` are shared; `@2` is another file;
/// `:0-9` makes it a POSIX lock of these bytes, `!` an open-file-description one; `~` in front is torn.
fn snapshot(text: &str) -> Snapshot {
    let (torn, text) = text.strip_prefix('~').map_or((false, text), |rest| (true, rest));
    let rows = text.split_whitespace().map(row).collect();
    Snapshot { rows, approximate: torn, ..Snapshot::default() }
}

fn row(word: &str) -> Row {
    let (word, inode) = word.split_once('@').map_or((word, 1), |(word, inode)| (word, inode.parse().unwrap()));
    let (word, ofd) = word.strip_suffix('!').map_or((word, false), |word| (word, true));
    let (word, range) = match word.split_once(':') {
        None => (word, None),
        Some((word, range)) => {
            let (start, end) = range.split_once('-').unwrap();
            (word, Some(Range { start: start.parse().unwrap(), end: Some(end.parse().unwrap()) }))
        }
    };
    let (pid, letter) = word.split_at(word.len() - 1);
    let kind = match (ofd, range) {
        (true, _) => LockKind::Ofd,
        (false, Some(_)) => LockKind::Posix,
        (false, None) => LockKind::Flock,
    };
    Row {
        ordinal: 1,
        depth: u32::from(letter == "w" || letter == "r"),
        behind: None,
        kind: Kind::Lock(kind),
        mode: Some(if letter.eq_ignore_ascii_case("w") { LockMode::Exclusive } else { LockMode::Shared }),
        pid: pid.parse().unwrap(),
        file: Some(FileId { major: 254, minor: 0, inode }),
        range: range.unwrap_or(Range::WHOLE),
    }
}

fn show(c: &Change) -> String {
    let mode = |m: LockMode| if m == LockMode::Exclusive { "W" } else { "R" };
    let deed = match c.deed {
        Deed::Holding { mode: m } => format!("holding {}", mode(m)),
        Deed::Waiting { mode: m, before } => format!("waiting {}{}", mode(m), if before { " before" } else { "" }),
        Deed::Acquired { mode: m, contended, .. } => {
            format!("acquired {}{}", mode(m), if contended { " contended" } else { "" })
        }
        Deed::Released => "released".into(),
        Deed::GaveUp => "gave up".into(),
        Deed::Left => "left".into(),
        Deed::Tried { .. } | Deed::Kept { .. } => unreachable!("no reading can tell"),
    };
    let range = c.range.map_or(String::new(), |r| format!(" {r}"));
    let file = if c.lock.file.inode == 1 { String::new() } else { format!(" @{}", c.lock.file.inode) };
    format!("{} {}{file}{range} {deed}", c.t / MS, c.task.pid)
}

/// Folds readings that are 100 ms apart, the first at 100; what was told after each.
fn tell(readings: &[&str]) -> Vec<Vec<String>> {
    tell_with(&mut Sampler::new(None), readings, Tasks::default)
}

fn tell_with(sampler: &mut Sampler, readings: &[&str], ask: impl Fn() -> Tasks) -> Vec<Vec<String>> {
    let fold = |(n, text): (usize, &&str)| {
        let t = (sampler.reading + 1) * 100 * MS;
        assert!(n < 100);
        sampler.fold(t, &snapshot(text), |_| ask()).iter().map(show).collect()
    };
    readings.iter().enumerate().map(fold).collect()
}

#[test]
fn what_is_there_at_first_was_there_before() {
    let told = tell(&["10W 11w 12r 20R@2", "10W 11w 12r 13w 20R@2 21R@2"]);
    assert_eq!(
        told[0],
        ["100 10 holding W", "100 20 @2 holding R", "100 11 waiting W before", "100 12 waiting R before"]
    );
    assert_eq!(told[1], ["200 21 @2 acquired R", "200 13 waiting W"]);
}

#[test]
fn a_handover_is_told_at_once() {
    let told = tell(&["10W 11w 12w", "11W 12w 10w", "12W 10w 11w"]);
    assert_eq!(told[1], ["200 10 released", "200 11 acquired W contended", "200 10 waiting W"]);
    assert_eq!(told[2], ["300 11 released", "300 12 acquired W contended", "300 11 waiting W"]);
}

#[test]
fn the_gap_of_a_handover_is_not_told() {
    let told = tell(&["10W 11w 12w", "", "11W 12w", "11W 12w"]);
    assert!(told[1].is_empty(), "{told:?}");
    // The holder left when it was first missing, and nobody who waits has moved.
    assert_eq!(told[2], ["200 10 released", "300 11 acquired W contended"]);
    assert!(told[3].is_empty(), "{told:?}");
}

#[test]
fn one_who_barged_in_hides_the_queue() {
    let told = tell(&["10W 11w 12w", "13W", "13W 11w 12w"]);
    assert_eq!(told[1..], [vec!["200 10 released", "200 13 acquired W"], vec![]]);
}

#[test]
fn a_release_to_nobody_takes_two_readings() {
    let told = tell(&["10W 20W@2", "20W@2", "20W@2", "20W@2"]);
    assert_eq!(told[1..], [vec![], vec!["200 10 released"], vec![]]);
    // It was there again before that: nothing happened that was seen.
    assert!(tell(&["10W", "", "10W", "", "10W"])[1..].iter().all(Vec::is_empty));
}

#[test]
fn who_waits_no_more_gave_up_or_just_left() {
    // The same holder all the while: nobody got the lock.
    let told = tell(&["10W 11w", "10W", "10W"]);
    assert_eq!(told[1..], [vec![], vec!["200 11 gave up"]]);
    // It changed hands or was free for a moment: he may have had it in between.
    let told = tell(&["10W 11w", "12W", "12W"]);
    assert_eq!(told[1..], [vec!["200 10 released", "200 12 acquired W"], vec!["200 11 left"]]);
    let told = tell(&["10W 11w", "", ""]);
    assert_eq!(told[2], ["200 10 released", "200 11 left"]);
    // Another one who shares it keeps no reader out.
    let told = tell(&["10R 11w 12r", "10R 11w", "10R 11w"]);
    assert_eq!(told[2], ["200 12 left"]);
}

#[test]
fn what_is_known_waits_for_what_may_be_earlier() {
    // 10 is missing since 200; what others do at 300 is told after that is settled.
    let told = tell(&["10W", "20W@2", "20W@2 21w@2 10W", "20W@2 21w@2 10W"]);
    assert_eq!(told[1], ["200 20 @2 acquired W"]);
    assert_eq!(told[2], ["300 21 @2 waiting W"]);
    let told = tell(&["10W 30W@3", "10W", "30W@3 11W", "30W@3 11W"]);
    assert_eq!(told[2], ["300 10 released", "300 11 acquired W"]);
    let told = tell(&["10W 30W@3", "30W@3 11w@4", "31W@3 11w@4"]);
    assert_eq!(told[1], ["200 11 @4 waiting W"]);
    assert_eq!(told[2], ["200 10 released", "300 30 @3 released", "300 31 @3 acquired W"]);
}

#[test]
fn nothing_is_lost_at_the_end() {
    let mut sampler = Sampler::new(None);
    let told = tell_with(&mut sampler, &["10W", "20W@2", "~20W@2 21W@3"], Tasks::default);
    assert!(told[2].is_empty(), "{told:?}");
    assert_eq!(sampler.finish().iter().map(show).collect::<Vec<_>>(), ["300 21 @3 acquired W"]);
}

#[test]
fn torn_readings_count_half() {
    let told = tell(&["10W 11w", "~", "~", "~", "~10W 11w", "10W 11w"]);
    assert!(told[1..].iter().all(Vec::is_empty), "{told:?}");
    let told = tell(&["10W 11w", "~", "~", "~", "~"]);
    assert_eq!(told[4], ["200 10 released", "200 11 left"]);
    let told = tell(&["10W", "", "~", "~"]);
    assert_eq!(told[3], ["200 10 released"]);
}

#[test]
fn two_who_exclude_each_other_were_seen_at_different_moments() {
    let told = tell(&["10W", "~10W 20W@2 11W", "11W 20W@2"]);
    assert_eq!(told[1], ["200 10 released", "200 20 @2 acquired W", "200 11 acquired W"]);
    assert!(told[2].is_empty(), "{told:?}");
    // Those who share it, and bytes that do not touch, may stand beside each other.
    let told = tell(&["~10R 11R 12W:0-9@2 13W:10-19@2"]);
    assert_eq!(told[0].len(), 4);
}

#[test]
fn conversions() {
    // SH to EX gives the old lock up first, and waits (flock(2)).
    let told = tell(&["10R 11R", "11R 10w", "10W"]);
    assert_eq!(told[1], ["200 10 released", "200 10 waiting W"]);
    assert_eq!(told[2], ["300 11 released", "300 10 acquired W contended"]);
    // EX to SH, and free SH to EX.
    assert_eq!(tell(&["10W", "10R", "10W"])[1..], [vec!["200 10 acquired R"], vec!["300 10 acquired W"]]);
    // fcntl(2) keeps the old lock while it waits.
    let told = tell(&["10R:0-9 11R:0-9", "10R:0-9 11R:0-9 10w:0-9", "10W:0-9"]);
    assert_eq!(told[1], ["200 10 0-9 waiting W"]);
    assert_eq!(told[2], ["300 11 0-9 released", "300 10 0-9 acquired W contended"]);
}

#[test]
fn ranges_that_grow_and_break_never_leave_a_task_with_nothing() {
    let told = tell(&["10W:0-9", "10W:0-19", "10W:0-4 10W:15-19"]);
    assert_eq!(told[1], ["200 10 0-19 acquired W", "200 10 0-9 released"]);
    assert_eq!(told[2], ["300 10 0-4 acquired W", "300 10 15-19 acquired W", "300 10 0-19 released"]);
    // What was waited for becomes part of what was held.
    let told = tell(&["10W:0-9 11W:10-19 10w:10-19", "10W:0-19"]);
    assert_eq!(told[1], ["200 11 10-19 released", "200 10 0-19 acquired W contended", "200 10 0-9 released"]);
}

#[test]
fn threads_of_one_process() {
    // One holds and another one waits: the kernel gives both the same pid.
    let told = tell(&["10W 10w", "10W 10w", "10W"]);
    assert_eq!(told[0], ["100 10 holding W", "100 10 waiting W before"]);
    assert_eq!(told[2], ["300 10 released", "300 10 acquired W contended"]);
    // Two that wait alike cannot be told apart.
    assert_eq!(tell(&["10W 11w 11w", "10W 11w 11w"])[1].len(), 0);
}

#[test]
fn another_request_is_another_wait() {
    assert_eq!(tell(&["10W 11w", "10W 11r"])[1], ["200 11 left", "200 11 waiting R"]);
}

fn owner(pid: i32, range: Range) -> Owner {
    let file = FileId { major: 254, minor: 0, inode: 1 };
    Owner { pid, fd: 3, file, kind: LockKind::Ofd, mode: Some(LockMode::Exclusive), range, named: -1 }
}

fn wait(pid: i32, asked: Option<Range>) -> Wait {
    let file = Some(FileId { major: 254, minor: 0, inode: 1 });
    Wait { pid, tid: pid, fd: 3, kind: LockKind::Ofd, mode: asked.map(|_| LockMode::Exclusive), range: asked, file }
}

#[test]
fn locks_of_open_file_descriptions_are_given_their_owners() {
    let (low, high) = (Range { start: 0, end: Some(9) }, Range { start: 10, end: Some(19) });
    let text = "-1W:0-9! -1W:10-19! -1w:0-9! -1w:10-19!";
    // A forked child shares the description of 40; the parent stands for both.
    let all = || Tasks {
        keepers: vec![owner(41, low), owner(40, low), owner(50, high)],
        waits: vec![wait(60, Some(high)), wait(61, Some(low))],
    };
    let mut sampler = Sampler::new(None);
    let told = tell_with(&mut sampler, &[text], all);
    let wanted = [
        "100 40 0-9 holding W",
        "100 50 10-19 holding W",
        "100 61 0-9 waiting W before",
        "100 60 10-19 waiting W before",
    ];
    assert_eq!(told[0], wanted);
    // The child has a lower pid than it had, so to speak: who had it goes on having it.
    let more = || Tasks { keepers: vec![owner(39, low), owner(40, low), owner(50, high)], waits: all().waits };
    assert!(tell_with(&mut sampler, &[text], more)[0].is_empty());
    // The parent is gone, the child keeps it.
    let less = || Tasks { keepers: vec![owner(41, low), owner(50, high)], waits: all().waits };
    assert_eq!(tell_with(&mut sampler, &[text], less)[0], ["300 40 0-9 released", "300 41 0-9 acquired W"]);
    // Nobody that may be read has it; of two that wait one is known to wait, for what is not.
    let told = tell_with(&mut Sampler::new(None), &[text], || Tasks { keepers: vec![], waits: vec![wait(60, None)] });
    let nobody = [
        "100 -1 0-9 holding W",
        "100 -1 10-19 holding W",
        "100 60 0-9 waiting W before",
        "100 -1 10-19 waiting W before",
    ];
    assert_eq!(told[0], nobody);
}

#[test]
fn a_description_open_twice_is_one_lock() {
    let both = || Tasks {
        keepers: vec![owner(40, Range::WHOLE), owner(40, Range::WHOLE), owner(50, Range::WHOLE)],
        waits: vec![],
    };
    let told = tell_with(&mut Sampler::new(None), &["-1W! -1W!"], both);
    assert_eq!(told[0], ["100 40 0-EOF holding W", "100 50 0-EOF holding W"]);
}

#[test]
fn only_what_is_wanted() {
    let key = |inode| row(&format!("1W@{inode}")).key().unwrap();
    let mut sampler = Sampler::new(Some(HashSet::from([key(1)])));
    let told = tell_with(&mut sampler, &["10W 11w 20W@2", "10W 11w 20W@2 21w@2"], Tasks::default);
    assert_eq!(told, [vec!["100 10 holding W", "100 11 waiting W before"], vec![]]);
    sampler.look_at(Some(HashSet::from([key(2)])));
    let told = tell_with(&mut sampler, &["12W 20W@2 21w@2", "20W@2 21w@2 22w@2"], Tasks::default);
    assert_eq!(told, [vec!["300 20 @2 holding W", "300 21 @2 waiting W before"], vec!["400 22 @2 waiting W"]]);
}

#[test]
fn leases_are_no_locks() {
    let mut lease = row("10W");
    lease.kind = Kind::Other(crate::watch::procfs::Other::Lease);
    let mut nameless = row("10W");
    nameless.file = None;
    let snapshot = Snapshot { rows: vec![lease, nameless], ..Snapshot::default() };
    assert!(Sampler::new(None).fold(1, &snapshot, |_| Tasks::default()).is_empty());
}

/// A task's state at a lock, as one who only hears the changes has it.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    held: HashMap<Claim, LockMode>,
    waiting: HashMap<Claim, LockMode>,
    t: u64,
}

impl Heard {
    fn hear(&mut self, c: &Change) {
        assert!(c.t >= self.t, "{} after {}", c.t, self.t);
        self.t = c.t;
        let claim = Claim { lock: c.lock, pid: c.task.pid, kind: c.kind, range: c.range.unwrap_or(Range::WHOLE) };
        match c.deed {
            Deed::Holding { mode } => assert_eq!(self.held.insert(claim, mode), None, "{}", show(c)),
            Deed::Waiting { mode, .. } => assert_eq!(self.waiting.insert(claim, mode), None, "{}", show(c)),
            Deed::Acquired { mode, contended, .. } => {
                assert_ne!(self.held.insert(claim, mode), Some(mode), "{}", show(c));
                if contended {
                    let fits = |(w, m): &(&Claim, &LockMode)| **m == mode && w.same_task(&claim);
                    let part = self.waiting.iter().filter(fits).map(|(w, _)| *w);
                    self.waiting
                        .remove(&part.filter(|w| covers(claim.range, w.range)).min_by_key(|w| w.range).unwrap());
                }
            }
            Deed::Released => assert!(self.held.remove(&claim).is_some(), "{}", show(c)),
            Deed::GaveUp | Deed::Left => assert!(self.waiting.remove(&claim).is_some(), "{}", show(c)),
            Deed::Tried { .. } | Deed::Kept { .. } => panic!("{}", show(c)),
        }
    }
}

fn any_reading() -> impl Strategy<Value = String> {
    let word = (10..14, prop_oneof![Just('W'), Just('R'), Just('w'), Just('r')], 0..4, 1..3).prop_map(
        |(pid, letter, range, file)| {
            let range = ["", ":0-9", ":5-14", ":10-19"][range as usize];
            format!("{pid}{letter}{range}@{file}")
        },
    );
    (prop::bool::weighted(0.3), proptest::collection::vec(word, 0..7))
        .prop_map(|(torn, words)| if torn { "~" } else { "" }.to_owned() + &words.join(" "))
}

proptest! {
    /// Whatever is read: one who hears the changes can follow them, and in the end has what is there.
    #[test]
    fn the_changes_make_sense(readings in proptest::collection::vec(any_reading(), 1..12)) {
        let (mut sampler, mut heard) = (Sampler::new(None), Heard::default());
        let last = readings.last().unwrap().trim_start_matches('~').to_owned();
        let calm = std::iter::repeat_n(&last, 4);
        for (n, text) in readings.iter().chain(calm).enumerate() {
            for change in sampler.fold((n as u64 + 1) * MS, &snapshot(text), |_| Tasks::default()) {
                heard.hear(&change);
            }
        }
        prop_assert!(sampler.finish().is_empty());
        let claims = |waits: bool| -> HashSet<Claim> {
            let rows = snapshot(&last).rows.into_iter().filter(move |r| r.waits() == waits);
            rows.map(|r| Claim { lock: r.key().unwrap(), pid: r.pid, kind: r.kind.lock().unwrap(), range: r.range }).collect()
        };
        prop_assert_eq!(heard.held.keys().copied().collect::<HashSet<_>>(), claims(false));
        prop_assert_eq!(heard.waiting.keys().copied().collect::<HashSet<_>>(), claims(true));
    }
}
