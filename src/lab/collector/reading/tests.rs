use super::*;
use crate::lab::wire::{Body, Full, Won, Writer};
use std::io::Write;

const PIDS: [u32; 2] = [100, 200];

/// Two workers that are known, and the ends of their pipes that they write into.
fn two(shared: &Shared) -> (Reading, [std::fs::File; 2]) {
    let mut reading = Reading::new(Epoll::new(nix::sys::epoll::EpollCreateFlags::EPOLL_CLOEXEC).unwrap());
    shared.control().set_members(2);
    let pipes = [1, 2].map(|worker| {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK).unwrap();
        let owner = Owner { worker, pid: PIDS[worker as usize - 1] };
        shared.slot(worker).unwrap().begin(owner.pid, 0);
        reading.obey(Order::Born { owner, pipe: read.into(), t: 0 }, shared);
        write.into()
    });
    (reading, pipes)
}

/// A turn, with its number where that is not 0.
fn turn(seq: u64) -> Body {
    let overtaken = (seq != 0).then_some(0);
    Body::Cycle { won: Won { seq, shared: false, contended: false, handoff: None, overtaken }, waited: 5, held: 10 }
}

/// All turns of the batch: number, worker, and when.
fn turns(reading: &mut Reading) -> Vec<(u64, u32, u64)> {
    let events = std::mem::take(&mut reading.batch).into_iter().flat_map(Event::singly);
    let turns = events.filter_map(|event| match event.what {
        What::Cycle { acquired, .. } => Some((acquired.seq, event.actor, event.t)),
        What::Violation { .. } => panic!("{event:?}"),
        _ => None,
    });
    turns.collect()
}

/// The second worker has told of turns that are not in the ledger, and written none of them, when the first one tells
/// of one that is.
#[test]
fn what_is_in_the_ledger_follows_what_is_not_and_was_not_written_yet() {
    let shared = Shared::new().unwrap();
    let (ledger, [first, second]) = (shared.ledger(), [1, 2].map(|worker| shared.slot(worker).unwrap()));
    let (mut reading, [mut pipe, _kept]) = two(&shared);
    ledger.fall_behind(shared.acquisitions());
    let (mut writer, mut drafted) = (Writer::default(), 0);
    for n in 1..=3 {
        let mut record = Full::default();
        let len = writer.put(100 * n, turn(0), &mut record);
        record.iter().take(len).zip(drafted..).for_each(|(unit, at)| shared.draft(2).unwrap().put(at, *unit));
        drafted += len;
        second.count();
    }
    second.set_progress(shared::Progress { written: 0, drafted });
    ledger.catch_up(shared.acquisitions());
    let me = Owner { worker: 1, pid: PIDS[0] };
    let seq = ledger.enter(me).seq;
    ledger.leave(me, 0);
    let mut record = Full::default();
    let len = Writer::default().put(400, turn(seq), &mut record);
    first.set_progress(shared::Progress { written: len as u64, drafted: 0 });
    pipe.write_all(&record[..len].concat()).unwrap();

    reading.drain(1);
    reading.find_places(1_000, &shared);
    assert_eq!(turns(&mut reading), [(1, 2, 100), (2, 2, 200), (3, 2, 300), (4, 1, 400)]);
}

/// Others go on meanwhile, so that it is never quiet.
#[test]
fn a_wait_is_revealed_when_all_that_was_told_before_it_is_read() {
    let shared = Shared::new().unwrap();
    let slot = shared.slot(1).unwrap();
    let (mut reading, _kept) = two(&shared);
    let mut record = Full::default();
    let len = Writer::default().put(100, turn(0), &mut record);
    record.iter().take(len).zip(0..).for_each(|(unit, at)| shared.draft(1).unwrap().put(at, *unit));
    let revealed = |reading: &mut Reading, now| {
        reading.reveal_waits(&shared, now);
        let waits = std::mem::take(&mut reading.batch).into_iter().filter(|e| matches!(e.what, What::Waiting { .. }));
        waits.map(|event| (event.actor, event.t)).collect::<Vec<_>>()
    };
    // It has told of its turn at 100 and not said yet that it waits for that no more.
    slot.set_doing(Doing::WaitsExclusive, 90);
    slot.set_progress(shared::Progress { written: 0, drafted: len });
    assert_eq!(revealed(&mut reading, HIDDEN_NS * 2), []);
    reading.peek(1, &shared);
    assert_eq!(revealed(&mut reading, HIDDEN_NS * 2), []);
    slot.set_doing(Doing::WaitsExclusive, 500);
    assert_eq!(revealed(&mut reading, HIDDEN_NS), [], "it is young");
    assert_eq!(revealed(&mut reading, HIDDEN_NS + 500), [(1, 500)]);
    assert_eq!(revealed(&mut reading, HIDDEN_NS + 500), [], "it is known");
}

/// Writes a pipe full of turns, one every so many ns from `from` on; gives the time of the last one.
fn fill(pipe: &mut std::fs::File, from: u64, every: u64) -> u64 {
    let (mut writer, mut bytes, mut t) = (Writer::default(), Vec::new(), from);
    // A pipe holds 64 KiB unless it is asked for more.
    while bytes.len() < 60 * 1024 {
        match writer.put_bare(t, 5, 10) {
            Some(unit) => bytes.extend(unit),
            None => {
                let mut record = Full::default();
                let len = writer.put(t, turn(0), &mut record);
                bytes.extend(record[..len].as_flattened());
            }
        }
        t += every;
    }
    pipe.write_all(&bytes).unwrap();
    t - every
}

#[test]
fn who_was_read_the_least_far_is_read_first() {
    let shared = Shared::new().unwrap();
    let (mut reading, mut pipes) = two(&shared);
    // All that the second one tells of happened early in what the first one does.
    let last = [fill(&mut pipes[0], 100, 1_000), fill(&mut pipes[1], 150, 10)];
    let reach = |reading: &Reading| [1, 2].map(|worker| reading.stream(worker).unwrap().last_turn());
    let (read, left) = reading.read_in_order(vec![WAKE, 1, 2]);
    let [first, second] = reach(&reading);
    assert!((BATCH..BATCH + READ / UNIT).contains(&read.records), "{read:?}");
    assert_eq!(second, last[1]);
    assert!(first < last[0], "{first}");
    assert_eq!(left, Some(first));
    while reading.read_in_order(vec![1]).1.is_some() {}
    assert_eq!(reach(&reading), last);
}

#[test]
fn a_death_is_told_when_all_is_read_and_so_is_what_was_ordered_later() {
    let shared = Shared::new().unwrap();
    let (mut reading, mut pipes) = two(&shared);
    reading.batch.clear();
    let last = fill(&mut pipes[0], 100, 10);
    let (orders, ordered) = crossbeam_channel::unbounded();
    let owner = Owner { worker: 1, pid: PIDS[0] };
    orders.send(Order::Died { owner, t: last + 1, code: Some(0), signal: None }).unwrap();
    orders.send(Order::Say(Event::of_run(last + 2, What::Paused))).unwrap();
    orders.send(Order::End).unwrap();
    let mut rounds = 1;
    while !reading.obey_all(&ordered, &shared) {
        assert!(reading.batch.iter().all(|event| event.t <= last), "round {rounds}");
        rounds += 1;
    }
    assert!(rounds > 2, "{rounds}");
    let kinds: Vec<&What> = reading.batch.iter().map(|e| &e.what).collect();
    assert!(matches!(kinds[..], [.., What::Exited { .. }, What::Paused]), "{:?}", &kinds[kinds.len() - 3..]);
    assert_eq!(turns(&mut reading).last().map(|(_, worker, t)| (*worker, *t)), Some((1, last)));
}
