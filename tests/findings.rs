//! Findings do not cry wolf: simulated and real runs as people have them every day lead to none. And they can:
//! the same simulator with a queue that serves the last first leads to starvation, for each seed.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "support/scene.rs"]
mod scene;
#[path = "support/simulator.rs"]
mod simulator;
mod support;

use flockmon::event::FindingKind;
use flockmon::event::thresholds::THRESHOLDS;
use flockmon::model::Locks;
use flockmon::model::finding::{KINDS, findings};
use scene::S;
use simulator::{Luck, MS, Spread, World, simulate};
use support::run;

const SEEDS: u64 = 300;

/// A lab whose settings have this think time.
fn fresh(workers: u32, think_ns: u64) -> Locks {
    let mut begin = scene::empty(workers).begin().clone();
    begin.think_ns = think_ns;
    Locks::new(begin)
}

fn quiet(locks: &Locks, what: impl Fn() -> String) {
    let found = findings(locks, locks.first());
    assert!(found.is_empty(), "{}: {found:?}", what());
}

#[test]
fn the_default_scene_is_ordinary() {
    quiet(&scene::busy(), || "the scene of the pictures".into());
    for seed in 0..5 {
        for barging in [0, 18, 69, 90] {
            let world = World {
                workers: 10,
                hold: Spread::Fixed(S),
                think: Spread::Fixed(0),
                barging,
                shared: 0,
                killed: 0,
                backwards: false,
            };
            let mut locks = fresh(10, 0);
            simulate(&mut locks, world, seed, 600 * S, |locks| quiet(locks, || format!("{world:?}, seed {seed}")));
            assert!(locks.acquisitions() > 500);
        }
    }
}

/// Anything that a lock which is not overloaded may see: few or many workers, long and short holds, jitter, deaths.
fn ordinary(luck: &mut Luck) -> (World, u64) {
    let workers = 2 + luck.below(14) as u32;
    let hold = MS << luck.below(12);
    let think = match luck.below(3) {
        0 => 0,
        // Idle at least a third of the time.
        _ => hold * u64::from(workers) * (3 + luck.below(10)) / 2,
    };
    let spread = |ns: u64, luck: &mut Luck| match luck.below(3) {
        _ if ns == 0 => Spread::Fixed(0),
        0 => Spread::Fixed(ns),
        1 => Spread::Uniform(ns / 2, ns * 3 / 2),
        _ => Spread::Exponential(ns),
    };
    let world = World {
        workers,
        hold: spread(hold, luck),
        think: spread(think, luck),
        barging: luck.below(90),
        shared: if luck.below(4) == 0 { luck.below(30) } else { 0 },
        killed: luck.below(2) * luck.below(20),
        backwards: false,
    };
    (world, 300 * hold.max(think / u64::from(workers)))
}

#[test]
fn ordinary_runs_lead_to_no_finding() {
    for seed in 0..SEEDS {
        let (world, end) = ordinary(&mut Luck(seed));
        let think = if matches!(world.think, Spread::Fixed(0)) { 0 } else { 1 };
        let mut locks = fresh(world.workers, think);
        simulate(&mut locks, world, seed, end, |locks| quiet(locks, || format!("{world:?}, seed {seed}")));
        assert!(locks.acquisitions() > 50, "{world:?}: {}", locks.acquisitions());
    }
}

#[test]
fn a_queue_that_serves_the_last_first_starves_for_each_seed() {
    for seed in 0..SEEDS / 10 {
        let world = World {
            workers: 6,
            hold: Spread::Exponential(S),
            think: Spread::Fixed(MS),
            barging: 0,
            shared: 0,
            killed: 0,
            backwards: true,
        };
        let mut found = Vec::new();
        let mut locks = fresh(6, 0);
        simulate(&mut locks, world, seed, 200 * S, |locks| {
            found.extend(findings(locks, locks.first()).iter().map(|f| f.kind()));
        });
        assert!(found.contains(&FindingKind::Starvation), "seed {seed}");
        assert!(found.iter().all(|kind| *kind == FindingKind::Starvation), "seed {seed}: {found:?}");
    }
}

/// Plays a lab to its end; gives the kinds of the findings it told.
fn told(args: &[&str]) -> Vec<String> {
    let out = run(&[args, &["-o", "jsonl"]].concat());
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    let lines = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let found = lines.filter(|l| l["type"] == "finding").map(|l| l["kind"].as_str().unwrap().to_owned());
    found.collect()
}

/// So low that these runs, which are short, would lead to findings if they were not ordinary. That one takes the lock
/// again at once, a hundred times over, is ordinary while it does not last.
const LOW: [&str; 8] = [
    "--threshold",
    // Where others want the processors too, one that was woken may be late, and be passed meanwhile.
    "starvation-wait=1s",
    "--threshold",
    "starvation-streak=1000",
    "--threshold",
    "long-hold-time=200ms",
    "--threshold",
    "convoy-time=1s",
];

/// The real thing, in short.
#[test]
fn real_ordinary_runs_lead_to_no_finding() {
    for args in [
        &["--hold", "20ms", "-n", "150"][..],
        &["--hold", "5ms", "--keep-open", "-n", "400"],
        &["--hold", "5ms", "--keep-open", "--lock", "posix", "-n", "400"],
        &["--hold", "1ms..9ms", "--lock", "ofd", "--think", "1ms..150ms", "-n", "400"],
        &["--hold", "exp:2ms", "--think", "exp:50ms", "--shared", "30", "-n", "400"],
        // Not with dozens and short holds: where others keep the processors busy, some of them do starve.
    ] {
        assert_eq!(told(&[args, &LOW].concat()), [""; 0], "{args:?}");
    }
    // This one is so fast that each takes the lock a thousand times while the other is woken.
    assert_eq!(told(&["-w", "2", "--hold", "0", "--keep-open", "-n", "4000"]), [""; 0]);
}

/// The same thresholds find what is there.
#[test]
fn a_real_run_that_is_out_of_order_leads_to_a_finding() {
    // They leave each other no gap, though they think.
    let found = told(&[&["--hold", "5ms", "--think", "1ms", "-n", "400"][..], &LOW].concat());
    assert!(found.iter().all(|kind| kind == "convoy") && !found.is_empty(), "{found:?}");
}

#[test]
fn thresholds_can_be_listed_and_set() {
    let out = run(&["--threshold", "list"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(0));
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let listed = |kind: &str| readme.lines().any(|l| l.starts_with("| `") && l.contains(&format!("`{kind}`")));
    assert!(THRESHOLDS.iter().all(|t| text.contains(t.name)), "{text}");
    assert!(KINDS.iter().all(|kind| listed(kind.as_str())), "README lacks a finding");
    support::refused(&["--threshold", "convoy-tme=1s"], &["did you mean convoy-time?"]);
    support::refused(&["--threshold", "convoy-time=1"], &["unit"]);
}
