//! What is said and done where rights are missing. Rights are a thread's own (capabilities(7)), so a thread drops them.
#![allow(unsafe_code)]

use crate::watcher::{lock_file, watch_as};
use flockmon::watch::exact::{Options, Tracer, Way};
use flockmon::watch::tracepoint::{Scope, TraceError};

const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// What this thread may do, by number of the capability; it gives up `drop` of that. False where it could not.
fn give_up(drop: &[u32]) -> bool {
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = [VERSION_3, 0];
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: capget(2) and capset(2) read and write the two arrays, of the sizes that version 3 has.
    unsafe {
        if libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) != 0 {
            return false;
        }
        for &cap in drop {
            sets[cap as usize / 32][0] &= !(1 << (cap % 32));
        }
        libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr()) == 0
    }
}

fn open(way: Option<Way>) -> Result<Tracer, TraceError> {
    Tracer::open(&Scope::All, Options { way, ..Options::default() }, Box::new(|| Ok(Default::default())))
}

/// Whether there is anything to give up.
fn may_watch() -> bool {
    let file = lock_file();
    watch_as(file.path(), None).is_some()
}

#[test]
fn without_the_right_to_bpf_perf_does_it() {
    if !may_watch() {
        return;
    }
    assert_eq!(open(None).unwrap().way(), Way::Bpf);
    assert!(give_up(&[BPF, SYS_ADMIN]));
    let tracer = open(None).unwrap();
    assert_eq!(tracer.way(), Way::Perf);
    let why = tracer.cheaper_refused().unwrap().to_string();
    assert!(why.contains("CAP_BPF") && why.contains("setcap"), "{why}");
    assert!(open(Some(Way::Bpf)).is_err());
}

#[test]
fn without_the_right_to_events_the_command_that_grants_it_is_said() {
    if !may_watch() {
        return;
    }
    assert!(give_up(&[PERFMON, BPF, SYS_ADMIN]));
    for way in [None, Some(Way::Perf), Some(Way::Bpf)] {
        let Err(why) = open(way) else { panic!("{way:?} works without rights") };
        let why = why.to_string();
        for word in ["CAP_PERFMON", "CAP_DAC_READ_SEARCH", "sudo setcap", "perf_event_paranoid"] {
            assert!(why.contains(word), "{word} is not in: {why}");
        }
    }
}

#[test]
fn the_program_says_that_perf_does_it_and_why() {
    if !may_watch() {
        return;
    }
    let file = lock_file();
    let program = env!("CARGO_BIN_EXE_flockmon");
    let watch = ["watch", "--no-config", "--how", "exact", "-d", "1ms", "-o", "json", file.path().to_str().unwrap()];
    // Root has again what a thread of it gave up; not so what is outside of its bounding set.
    let bound = ["--bounding-set=-bpf,-sys_admin", program];
    let Ok(out) = std::process::Command::new("setpriv").args(bound).args(watch).output() else {
        eprintln!("SKIPPED: there is no setpriv(1) here");
        return;
    };
    if out.status.code() != Some(0) {
        eprintln!("SKIPPED: {}", String::from_utf8_lossy(&out.stderr));
        return;
    }
    let all: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let blind = all["watch"]["blind"].to_string();
    assert!(blind.contains("perf") && blind.contains("CAP_BPF") && !blind.contains("cannot watch"), "{blind}");
}
