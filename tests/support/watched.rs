//! A made-up watch, so that its screens are the same each time: programs that contend on a lock file, on parts of a
//! database, and on a package manager's lock.
#![allow(dead_code, missing_docs, clippy::unwrap_used, reason = "each test file uses a part of it")]

use crate::scene::S;
use flockmon::event::{
    Acquisition, Begin, Condition, Event, How, Keeper, LockInfo, LockKind, LockMode, Origin, Setup, Task, Watching,
    What,
};
use flockmon::model::Locks;
use flockmon::source::Question;

/// The locks, by number.
pub const JOBS: u32 = 0;
pub const DATABASE: u32 = 1;
pub const PACKAGES: u32 = 2;

pub struct Watch {
    pub locks: Locks,
    seq: u64,
}

fn lock(name: &str, kind: LockKind, inode: u64) -> LockInfo {
    LockInfo { name: name.into(), kind, file: Some(("254:0".into(), inode)) }
}

impl Watch {
    /// Three locks are known, nobody is at them.
    pub fn new(how: How, list: bool) -> Self {
        let blind = match how {
            How::Exact => vec![],
            How::Sampled => vec!["not as root: other users' descriptors and command lines are not seen".into()],
        };
        let precision_ns = if how == How::Exact { 0 } else { S / 10 };
        let watch = Some(Watching { how, precision_ns, list, blind });
        let first = lock("/srv/jobs/nightly.lock", LockKind::Flock, 42);
        let mut locks = Locks::new(Begin {
            origin: Origin::Watch,
            version: "0.1.0".into(),
            started_at: "2026-01-01T00:00:00Z".into(),
            lock: first.clone(),
            workers: 0,
            hold_ns: 0,
            think_ns: 0,
            setup: Setup::default(),
            watch,
        });
        let all = [
            first,
            lock("/var/lib/app/data/db.sqlite", LockKind::Posix, 57),
            lock("/var/lib/dpkg/lock-frontend", LockKind::Posix, 91),
        ];
        for (number, info) in (0..).zip(all) {
            locks.apply(&Event { t: 0, lock: number, actor: 0, pid: 0, what: What::Announced(Box::new(info)) });
        }
        Self { locks, seq: 0 }
    }

    pub fn tell(&mut self, t: u64, lock: u32, actor: u32, pid: i32, what: What) {
        self.locks.apply(&Event { t, lock, actor, pid, what });
    }

    fn seen(&mut self, t: u64, lock: u32, actor: u32, pid: i32, task: Task) {
        self.tell(t, lock, actor, pid, What::Seen(Box::new(task)));
    }

    fn won(&mut self, t: u64, at: (u32, u32, i32), mode: LockMode, waited_ns: u64, overtaken: u64) {
        self.seq += 1;
        let handoff_ns = (waited_ns > 0).then_some(61_000);
        let won = Acquisition { mode, seq: self.seq, waited_ns, contended: waited_ns > 0, handoff_ns, overtaken };
        self.tell(t, at.0, at.1, at.2, What::Acquired(won));
    }

    fn released(&mut self, t: u64, at: (u32, u32, i32), held_ns: u64) {
        self.tell(t, at.0, at.1, at.2, What::Released { seq: self.seq, held_ns });
    }
}

fn task(comm: &str, cmdline: &str, user: &str, container: Option<&str>) -> Task {
    Task {
        tid: None,
        comm: comm.into(),
        cmdline: cmdline.into(),
        user: user.into(),
        container: container.map(Into::into),
        kind: LockKind::Flock,
        range: None,
    }
}

/// At the jobs' lock one holds already; three queue, one of them in a container, one polls. Byte ranges in a database:
/// two writers side by side, a reader who waits. Somebody stopped holds the packages.
pub fn watch(how: How, list: bool) -> Watch {
    use LockMode::{Exclusive, Shared};
    let mut w = Watch::new(how, list);
    let at = S / 20;

    let backup = "/usr/bin/backup --all --compress=zstd --exclude=/srv/jobs/cache --target=s3://example-backups/nightly/2026-01-01 --verbose";
    w.seen(at, JOBS, 1, 4101, task("backup", backup, "backup", None));
    w.tell(at, JOBS, 1, 4101, What::Found { mode: Exclusive, holds: true });
    let keeper = |pid, fd, comm: &str| Keeper { pid, fd, comm: comm.into() };
    w.tell(at, JOBS, 1, 4101, What::Keepers(Box::new([keeper(4101, 3, "backup"), keeper(4107, 3, "zstd")])));
    let container = Some("docker:3f2a9c41d0e7");
    w.seen(at, JOBS, 2, 4230, task("reindex", "python3 -m jobs.reindex --full", "root", container));
    w.tell(at, JOBS, 2, 4230, What::Found { mode: Exclusive, holds: false });
    w.seen(3 * S, JOBS, 3, 4388, task("flock", "flock /srv/jobs/nightly.lock ./rotate-logs", "ops", None));
    w.tell(3 * S, JOBS, 3, 4388, What::Waiting { mode: Exclusive });
    w.seen(5 * S, JOBS, 4, 4401, task("report", "/opt/report/bin/report --daily", "ops", container));
    w.tell(5 * S, JOBS, 4, 4401, What::Waiting { mode: Exclusive });

    let rows = |from, to| Task {
        kind: LockKind::Posix,
        range: Some((from, to)),
        ..task("appd", "/usr/sbin/appd --foreground", "app", None)
    };
    let (writer, other) = ((DATABASE, 1, 900), (DATABASE, 2, 901));
    w.seen(S, DATABASE, 1, 900, rows(0, Some(511)));
    w.seen(S, DATABASE, 2, 901, rows(4096, Some(8191)));
    w.won(2 * S, writer, Exclusive, 0, 0);
    w.won(3 * S, other, Exclusive, 0, 0);
    w.released(4 * S, writer, 2 * S);
    w.won(6 * S, writer, Exclusive, 0, 0);
    w.seen(7 * S, DATABASE, 3, 977, rows(0, None));
    w.tell(7 * S, DATABASE, 3, 977, What::Waiting { mode: Shared });

    let apt = Task { kind: LockKind::Posix, ..task("apt-get", "apt-get dist-upgrade", "root", None) };
    w.seen(S, PACKAGES, 1, 600, apt);
    w.won(S, (PACKAGES, 1, 600), Exclusive, 0, 0);
    w.tell(9 * S, PACKAGES, 1, 600, What::Stopped);

    // What held the jobs' lock before watching lets go; the queue goes on, and one who came later polls.
    w.released(8 * S, (JOBS, 1, 4101), 8 * S - at);
    w.won(8 * S, (JOBS, 2, 4230), Exclusive, 8 * S - at, 0);
    w.tell(9 * S, JOBS, 2, 4230, What::Keepers(Box::new([keeper(4230, 7, "reindex")])));
    w.seen(9 * S, JOBS, 5, 4500, task("poller", "./try-until-free.sh", "ops", None));
    for n in 0..30 {
        w.tell(9 * S + n * S / 10, JOBS, 5, 4500, What::Tried { mode: Exclusive, count: 1 });
    }
    w.tell(12 * S, JOBS, 4, 4401, What::Left { waited_ns: 7 * S });
    w.tell(13 * S, JOBS, 2, 4230, What::Condition(Condition::Uninterruptible));
    w.locks.advance(21 * S + 400_000_000);
    w
}

pub fn question() -> Question {
    Question {
        title: "kill reindex (pid 4230)?".into(),
        lines: vec![
            "python3 -m jobs.reindex --full, user root, container docker:3f2a9c41d0e7".into(),
            "It holds /srv/jobs/nightly.lock and will be ended by SIGKILL: it cannot clean up behind it.".into(),
            "The kernel then gives the lock to the next in the queue.".into(),
        ],
        yes: "kill it".into(),
    }
}
