//! A run in figures, as JSON has them: what `--output json` prints and `compare` reads.

use crate::event::{FindingKind, Origin, Setup, Task, Watching};
use crate::model::finding::Finder;
use crate::model::runs::{End, Runs};
use crate::model::{Actor, Figures, Locks, Model};
use crate::record::{LockLine, SCHEMA, Since};
use serde::{Deserialize, Serialize};

/// One worker in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in model::Actor")]
pub struct WorkerFigures {
    pub worker: u32,
    pub pid: i32,
    pub restarts: u64,
    pub acquisitions: u64,
    pub share: Option<f64>,
    pub overtaken_max: u64,
    pub wait_ns: Figures,
    pub hold_ns: Figures,
    pub state: String,
    /// For how long it has been in that state, pauses left out.
    #[serde(default)]
    pub state_ns: u64,
    /// It was in that state before watching began: for longer than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    /// Its process is stopped by a signal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<RunsFigures>,
    #[serde(flatten)]
    pub task: Option<Task>,
}

/// How commands ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunsFigures {
    /// How many ended.
    pub count: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How long they ran, pauses included.
    pub ran_ns: Figures,
    /// In which ways they failed, how often.
    pub failures: Vec<EndFigures>,
}

/// One way to fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in event::What::Ran")]
pub struct EndFigures {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub count: u64,
}

impl RunsFigures {
    /// None where no command is run.
    fn of(model: &Model, runs: Option<&Runs>) -> Option<Self> {
        let none = Runs::default();
        let runs = model.runs_command().then(|| runs.unwrap_or(&none))?;
        let failures = runs.failures().map(|(end, count)| match end {
            End::Status(code) => EndFigures { code: Some(code), signal: None, count },
            End::Signal(signal) => EndFigures { code: None, signal: Some(signal), count },
        });
        Some(Self { count: runs.count, failed: runs.failed, ran_ns: runs.ran.figures(), failures: failures.collect() })
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in model::finding")]
pub struct FindingFigures {
    pub kind: FindingKind,
    pub text: String,
}

/// How a lab was set up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigFigures {
    /// Workers at the start.
    pub workers: u32,
    /// The rest, each value as its option would be written.
    #[serde(flatten)]
    pub setup: Setup,
}

/// Several locks together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in RunFigures")]
pub struct TotalFigures {
    /// How many there were.
    pub locks: u64,
    pub acquisitions: u64,
    pub acquisitions_per_s: Option<f64>,
    pub contended: u64,
    pub gave_up: u64,
    pub violations: u64,
    pub dropped: u64,
}

impl TotalFigures {
    fn of(locks: &Locks) -> Self {
        let sum = |of: fn(&Model) -> u64| locks.all().iter().map(of).sum();
        let (acquisitions, ns) = (locks.acquisitions(), locks.first().duration_active());
        Self {
            locks: locks.all().len() as u64,
            acquisitions,
            acquisitions_per_s: (ns > 0).then(|| acquisitions as f64 * 1e9 / ns as f64),
            contended: sum(Model::contended),
            gave_up: sum(Model::gave_up),
            violations: sum(Model::violations),
            dropped: sum(Model::dropped),
        }
    }
}

/// The summary of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFigures {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where the events came from.
    pub source: Origin,
    /// The lock.
    pub lock: LockLine,
    /// Time since the statistics began, pauses included.
    pub duration_ns: u64,
    /// How much of it the run was paused.
    pub paused_ns: u64,
    /// Locks won.
    pub acquisitions: u64,
    /// The same a second of unpaused time.
    pub acquisitions_per_s: Option<f64>,
    /// Those of what somebody else had when it was asked for.
    pub contended: u64,
    /// Attempts given up.
    pub gave_up: u64,
    /// Processes ended by `SIGKILL`.
    pub kills: u64,
    /// Times when two held what only one may.
    pub violations: u64,
    /// Events lost.
    pub dropped: u64,
    /// Share of unpaused time that the lock was held.
    pub utilization: Option<f64>,
    /// Jain's index over acquisitions a worker.
    pub fairness: Option<f64>,
    /// Share of acquisitions won by the worker that held it last.
    pub same_holder: Option<f64>,
    /// Most acquisitions in a row by one worker.
    pub longest_streak: u64,
    /// Most acquisitions by others during any one wait.
    pub overtaken_max: u64,
    /// From the first try to the lock.
    pub wait_ns: Figures,
    /// From the lock to its release.
    pub hold_ns: Figures,
    /// From a release to the next waiter's acquisition.
    pub handoff_ns: Figures,
    /// How many wait at the end; the waits above are those that are over.
    #[serde(default)]
    pub waiting: u32,
    /// Of those, the one that has waited longest.
    #[serde(default)]
    pub longest_wait_ns: Option<u64>,
    /// Each worker.
    pub workers: Vec<WorkerFigures>,
    /// What is wrong at the end.
    pub findings: Vec<FindingFigures>,
    /// How the run was set up; a lab only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigFigures>,
    /// How the commands ended that workers ran while they held the lock; only where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<RunsFigures>,
    /// How foreign locks were seen; a watch only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watching>,
    /// Each lock that was watched, the first again included; a watch only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locks: Option<Vec<RunFigures>>,
    /// Over all of them; a watch only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<TotalFigures>,
}

impl RunFigures {
    /// The figures of the lock that the run is about; in a watch, of every lock besides.
    pub fn of(locks: &Locks) -> Self {
        let begin = locks.begin();
        let watch = begin.watch.clone();
        let config = watch.is_none().then(|| ConfigFigures { workers: begin.workers, setup: begin.setup.clone() });
        let total = watch.is_some().then(|| TotalFigures::of(locks));
        let finder = Finder::of(locks);
        let each = watch.is_some().then(|| locks.all().iter().map(|m| Self::of_one(&finder, m)).collect());
        Self { watch, locks: each, config, total, ..Self::of_one(&finder, locks.first()) }
    }

    fn of_one(finder: &Finder<'_>, model: &Model) -> Self {
        let begin = model.begin();
        let streaks = model.streaks();
        Self {
            schema: SCHEMA,
            source: begin.origin,
            lock: model.info().into(),
            duration_ns: model.duration(),
            paused_ns: model.duration().saturating_sub(model.duration_active()),
            acquisitions: model.acquisitions(),
            acquisitions_per_s: model.rate(),
            contended: model.contended(),
            gave_up: model.gave_up(),
            kills: model.kills(),
            violations: model.violations(),
            dropped: model.dropped(),
            utilization: model.utilization(),
            fairness: model.fairness(),
            same_holder: streaks.same_share(),
            longest_streak: streaks.longest,
            overtaken_max: model.overtaken_max(),
            wait_ns: model.wait().all().figures(),
            hold_ns: model.hold().all().figures(),
            handoff_ns: model.handoff().all().figures(),
            waiting: model.waiting(),
            longest_wait_ns: model.longest_waiter().map(|(_, ns)| ns),
            // One without a process was only ever at another lock.
            workers: model.actors().iter().filter(|a| a.pid != 0).map(|a| worker(model, a)).collect(),
            findings: finder.at(model).iter().map(|f| FindingFigures { kind: f.kind(), text: f.text() }).collect(),
            runs: RunsFigures::of(model, model.runs()),
            config: None,
            watch: None,
            locks: None,
            total: None,
        }
    }
}

fn worker(model: &Model, a: &Actor) -> WorkerFigures {
    let all = model.acquisitions();
    WorkerFigures {
        worker: a.id,
        pid: a.pid,
        restarts: a.restarts,
        acquisitions: a.got,
        share: (all > 0).then(|| a.got as f64 / all as f64),
        overtaken_max: model.overtaken_at_most(a),
        wait_ns: a.wait.figures(),
        hold_ns: a.hold.figures(),
        state: a.state.as_str().into(),
        state_ns: model.in_state(a),
        since: a.before.then_some(Since::Before),
        stopped: a.stopped_since.is_some(),
        runs: RunsFigures::of(model, a.runs.as_deref()),
        task: a.task.as_deref().cloned(),
    }
}
