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

    reading.drain(1, false, &shared);
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

#[test]
fn who_was_left_out_comes_first() {
    let ready = [WAKE, 3, 5, 8].map(|token| EpollEvent::new(EpollFlags::EPOLLIN, token));
    let order = |first| beginning_with(first, &ready).collect::<Vec<_>>();
    assert_eq!(order(None), [WAKE, 3, 5, 8]);
    assert_eq!(order(Some(5)), [5, 8, WAKE, 3]);
    assert_eq!(order(Some(7)), [WAKE, 3, 5, 8], "it has nothing to tell any more");
}
