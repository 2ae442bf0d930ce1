//! Byte ranges, POSIX and OFD.

use super::*;

impl Scene {
    #[allow(clippy::too_many_arguments, reason = "a record has so many fields")]
    fn bytes(&mut self, who: Who, op: u8, flags: u32, start: i64, end: i64, ret: i32) -> &mut Self {
        let request = Request {
            file: FILE,
            family: Family::Record,
            ret,
            owner: who.owner,
            fl: 0xf1,
            blocker: u64::from(ret == 1),
            pid: who.pid,
            flags: flags | 1,
            op,
            start,
            end,
        };
        self.put(who.tid, What::Lock(request))
    }

    /// F_SETLKW.
    pub(super) fn posix(&mut self, who: Who, op: u8, start: i64, end: i64, ret: i32) -> &mut Self {
        self.bytes(who, op, FL_SLEEP, start, end, ret)
    }

    pub(super) fn posix_close(&mut self, who: Who) -> &mut Self {
        self.bytes(who, UNLOCK, FL_CLOSE, 0, i64::MAX, 0)
    }

    /// F_OFD_SETLKW.
    pub(super) fn ofd(&mut self, who: Who, op: u8, start: i64, end: i64, ret: i32) -> &mut Self {
        self.bytes(who, op, FL_SLEEP | FL_OFDLCK, start, end, ret)
    }

    /// F_SETLK.
    fn try_byte(&mut self, who: Who, byte: i64, ret: i32) -> &mut Self {
        self.bytes(who, WRITE, 0, byte, byte, ret)
    }

    fn words(&mut self) -> Vec<String> {
        self.told().iter().map(|s| s.split_once(' ').unwrap().1.to_owned()).collect()
    }
}

#[test]
fn ranges_that_do_not_touch_do_not_exclude() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 0, 9, 0).posix(who(2, B), WRITE, 10, i64::MAX, 0);
    scene.posix(who(3, C), WRITE, 5, 5, 1).posix(who(1, A), UNLOCK, 0, 9, 0).posix(who(3, C), WRITE, 5, 5, 0);
    assert_eq!(scene.words(), ["1 got EX 0-9", "2 got EX 10-EOF", "3 waits EX 5-5", "1 released 0-9", "3 won EX 5-5"]);
    assert_eq!({ scene.posix(who(3, C), UNLOCK, 0, i64::MAX, 0).changes() }.remove(0).kind, Posix);
}

#[test]
fn neighbours_are_told_as_they_were_won() {
    let mut scene = Scene::default();
    // The record of the second has the merged range.
    scene.at(100).posix(who(1, A), WRITE, 0, 9, 0).posix(who(1, A), WRITE, 0, 19, 0);
    scene.posix(who(1, A), UNLOCK, 0, 19, 0);
    assert_eq!(scene.words(), ["1 got EX 0-9", "1 got EX 10-19", "1 released 0-9", "1 released 10-19"]);
}

#[test]
fn a_wait_ends_although_the_grant_is_merged() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 0, 9, 0).posix(who(2, B), WRITE, 10, 19, 0);
    scene.posix(who(1, A), WRITE, 10, 19, 1).posix(who(2, B), UNLOCK, 10, 19, 0).posix(who(1, A), WRITE, 0, 19, 0);
    assert_eq!(
        scene.words(),
        ["1 got EX 0-9", "2 got EX 10-19", "1 waits EX 10-19", "2 released 10-19", "1 won EX 10-19"]
    );
}

#[test]
fn a_part_can_be_unlocked() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 0, 99, 0).posix(who(1, A), UNLOCK, 40, 59, 0);
    let changes = scene.changes();
    let words: Vec<String> = changes.iter().map(say).collect();
    assert_eq!(words, ["100 1 got EX 0-99", "110 1 released 0-99", "110 1 kept EX 0-39", "110 1 kept EX 60-99"]);
    assert_eq!(changes[2].deed, Deed::Kept { mode: Exclusive, since: Some(100) });
    scene.posix_close(who(1, A));
    assert_eq!(scene.words(), ["1 released 0-39", "1 released 60-99"]);
}

#[test]
fn a_lock_over_one_s_own_takes_the_rest() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 10, 19, 0).posix(who(1, A), WRITE, 0, 29, 0);
    assert_eq!(scene.words(), ["1 got EX 10-19", "1 got EX 0-9", "1 got EX 20-29"]);
    scene.posix(who(1, A), WRITE, 5, 25, 0);
    assert!(scene.words().is_empty());
}

#[test]
fn ranges_are_converted_whole_or_in_part() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), READ, 0, 9, 0).posix(who(1, A), WRITE, 0, 9, 0).posix(who(1, A), READ, 5, 9, 0);
    assert_eq!(scene.words(), ["1 got SH 0-9", "1 got EX 0-9", "1 released 0-9", "1 kept EX 0-4", "1 got SH 5-9"]);
}

#[test]
fn a_failed_conversion_of_bytes_loses_nothing() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), READ, 0, 9, 0).posix(who(2, B), READ, 0, 9, 0).bytes(who(1, A), WRITE, 0, 0, 9, -11);
    scene.posix(who(1, A), UNLOCK, 0, 9, 0);
    assert_eq!(scene.words(), ["1 got SH 0-9", "2 got SH 0-9", "1 tried EX 1 0-9", "1 released 0-9"]);
}

#[test]
fn who_goes_from_slot_to_slot_tries_for_each() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 0, 0, 0).posix(who(2, B), WRITE, 1, 1, 0);
    for i in 0..4 {
        scene.at((1 + 50 * i) * MS).try_byte(who(3, C), 0, -11).try_byte(who(3, C), 1, -11);
    }
    assert_eq!(
        scene.words(),
        [
            "1 got EX 0-0",
            "2 got EX 1-1",
            "3 tried EX 1 0-0",
            "3 tried EX 1 1-1",
            "3 tried EX 2 0-0",
            "3 tried EX 2 1-1",
        ]
    );
    scene.at(170 * MS).posix(who(2, B), UNLOCK, 1, 1, 0).try_byte(who(3, C), 0, -11).try_byte(who(3, C), 1, 0);
    assert_eq!(scene.words(), ["2 released 1-1", "3 tried EX 1 1-1", "3 tried EX 2 0-0", "3 won EX 1-1"]);
    // Of the other byte it is known in time.
    assert_eq!(scene.at(480 * MS).words(), ["3 gave up 0-0"]);
}

#[test]
fn of_many_slots_only_some_are_told() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 0, 999, 0);
    for i in 0..300 {
        scene.at((1 + i) * MS).try_byte(who(3, C), i as i64 % 100, -11);
    }
    let words = scene.words();
    let rows: std::collections::HashSet<_> = words[1..].iter().filter_map(|w| w.rsplit(' ').next()).collect();
    assert!(rows.len() == 8 && words.len() < 30, "{words:?}");
    let told: u64 = words[1..].iter().map(|w| w.split(' ').nth(3).unwrap().parse::<u64>().unwrap()).sum();
    assert!((290..=300).contains(&told), "{words:?}");
    assert_eq!(scene.at(9_000 * MS).words().iter().filter(|w| w.contains("gave up")).count(), 8);
}

#[test]
fn a_wait_ends_the_tries_for_other_bytes() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 0, 9, 0).try_byte(who(3, C), 0, -11).posix(who(3, C), WRITE, 1, 1, 1);
    assert_eq!(scene.words(), ["1 got EX 0-9", "3 tried EX 1 0-0", "3 gave up 0-0", "3 waits EX 1-1"]);
}

#[test]
fn of_what_a_grant_adds_that_which_was_waited_for_is_won() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 10, 19, 0).posix(who(2, B), WRITE, 25, 25, 0).try_byte(who(1, A), 25, -11);
    scene.posix_close(who(2, B)).posix(who(1, A), WRITE, 0, 29, 0);
    let told = ["1 got EX 10-19", "2 got EX 25-25", "1 tried EX 1 25-25", "2 released 25-25"];
    assert_eq!(scene.words(), [&told[..], &["1 got EX 0-9", "1 won EX 20-29"]].concat());
}

#[test]
fn tries_are_told_before_what_was_got_after_them() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 0, 1, 0);
    scene.try_byte(who(3, C), 0, -11).try_byte(who(3, C), 1, -11).try_byte(who(3, C), 0, -11).try_byte(who(3, C), 5, 0);
    let tried = ["1 got EX 0-1", "3 tried EX 1 0-0", "3 tried EX 1 1-1", "3 tried EX 1 0-0", "3 got EX 5-5"];
    assert_eq!(scene.words(), tried);
    // It has both now, by one request.
    scene.posix_close(who(1, A)).posix(who(3, C), WRITE, 0, 4, 0);
    assert_eq!(scene.words(), ["1 released 0-1", "3 gave up 1-1", "3 won EX 0-4"]);
}

#[test]
fn a_lock_of_the_other_kind_is_not_what_was_tried_for() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 0, 9, 0).bytes(who(3, C), WRITE, FL_OFDLCK, 0, 9, -11).posix_close(who(1, A));
    scene.posix(who(3, B), WRITE, 0, 9, 0);
    assert_eq!(scene.words(), ["1 got EX 0-9", "3 tried EX 1 0-9", "1 released 0-9", "3 gave up 0-9", "3 got EX 0-9"]);
}

#[test]
fn a_refused_deadlock_is_told() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 0, 0, 0).posix(who(2, B), WRITE, 1, 1, 0).posix(who(1, A), WRITE, 1, 1, 1);
    scene.posix(who(2, B), WRITE, 0, 0, -35);
    assert_eq!(scene.words(), ["1 got EX 0-0", "2 got EX 1-1", "1 waits EX 1-1", "2 tried EX 1 0-0", "2 gave up 0-0"]);
}

#[test]
fn the_close_of_any_descriptor_drops_all_locks_of_the_process() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 0, 9, 0).posix(who(1, A), READ, 20, 29, 0).posix_close(who(2, B));
    scene.posix_close(who(1, A)).posix_close(who(1, A));
    assert_eq!(scene.words(), ["1 got EX 0-9", "1 got SH 20-29", "1 released 0-9", "1 released 20-29"]);
}

#[test]
fn an_ofd_lock_ends_with_the_second_record_of_its_close() {
    let mut scene = Scene::default();
    scene.at(100).ofd(who(1, A), WRITE, 0, 9, 0).posix_close(who(1, C));
    let changes = scene.changes();
    assert_eq!((changes.len(), changes[0].kind), (1, Ofd));
    scene.posix_close(who(1, A));
    let released = { scene.changes() }.remove(0);
    assert_eq!((released.deed, released.kind), (Deed::Released, Ofd));
}

#[test]
fn ofd_and_posix_exclude_each_other_even_in_one_process() {
    let mut scene = Scene::default();
    scene.at(100).ofd(who(1, A), WRITE, 0, 9, 0).posix(who(1, B), WRITE, 0, 9, 1).ofd(who(1, A), UNLOCK, 0, 9, 0);
    scene.posix(who(1, B), WRITE, 0, 9, 0);
    assert_eq!(scene.words(), ["1 got EX 0-9", "1 waits EX 0-9", "1 released 0-9", "1 won EX 0-9"]);
}

#[test]
fn threads_of_a_process_wait_each_for_itself() {
    let (one, two) = (Who { pid: 5, tid: 51, owner: A }, Who { pid: 5, tid: 52, owner: A });
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, B), WRITE, 0, 9, 0).posix(one, WRITE, 0, 4, 1).posix(two, WRITE, 5, 9, 1);
    scene.posix_close(who(1, B)).posix(one, WRITE, 0, 4, 0).posix(two, WRITE, 0, 9, 0).posix(two, UNLOCK, 0, 9, 0);
    assert_eq!(
        scene.words(),
        [
            "1 got EX 0-9",
            "5.51 waits EX 0-4",
            "5.52 waits EX 5-9",
            "1 released 0-9",
            "5.51 won EX 0-4",
            "5.52 won EX 5-9",
            "5.51 released 0-4",
            "5.52 released 5-9"
        ]
    );
}

#[test]
fn a_grant_ends_only_the_bytes_that_it_excludes() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 0, 9, 0).posix(who(2, B), WRITE, 0, 4, 0);
    assert_eq!(scene.words(), ["1 got EX 0-9", "1 released 0-9", "1 kept EX 5-9", "2 got EX 0-4"]);
}

#[test]
fn flock_and_byte_ranges_do_not_see_each_other() {
    let mut scene = Scene::default();
    scene.at(100).posix(who(1, A), WRITE, 0, i64::MAX, 0).ask(who(2, B), WRITE, 0);
    assert_eq!(scene.words(), ["1 got EX 0-EOF", "2 got EX"]);
}
