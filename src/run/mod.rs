//! What the command line asks for, joined: a source, the model, the faces. The one room that knows them all.
//!
//! - `session.rs`: the loop of a run, whatever its source;
//! - `recording.rs`: the file that it is recorded to.

mod recording;
mod session;

use crate::cli::{Cli, LabArgs, Output, ReplayArgs, RunArgs, ShowArgs, Speed, Sub, WatchArgs};
use crate::event::{How, LockKind, thresholds};
use crate::failure::Failure;
use crate::lab::mischief::Act;
use crate::lab::scene::{self, Scene, SceneArg};
use crate::lab::target::Target;
use crate::lab::{Lab, LabSource, Program};
use crate::manual;
use crate::replay::Player;
use crate::report::{Jsonl, hgrm};
use crate::source::Source;
use crate::tui::theme::Theme;
use crate::watch::Plan;
use anyhow::{Context, Error, anyhow};
use crossbeam_channel::{Receiver, Sender, unbounded};
use recording::Recording;
use session::Session;
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs what the command line asks for; gives the exit status.
///
/// # Errors
/// See [`Failure`].
pub fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    match &cli.sub {
        None => lab(&cli.lab),
        Some(Sub::Replay(args)) => replay(args),
        Some(Sub::Watch(args)) => watch(args),
        Some(Sub::Compare { a, b }) => {
            let text = crate::compare::compare(a, b).map_err(Failure::BadInput)?;
            print(&text)
        }
        Some(Sub::Check(args)) => crate::check::run(args, &forward_signals(catch_signals()?)?),
        Some(Sub::Schema) => print(crate::record::SCHEMA_TEXT),
        Some(Sub::Theme { name: Some(name) }) => print(Theme::source(*name)),
        Some(Sub::Theme { name: None }) => print(&Theme::list()),
        Some(Sub::Completions { shell }) => print(&manual::completions(*shell)),
        Some(Sub::Man) => print(&manual::page()),
    }
}

/// Prints a text and gives the exit status; a reader that went away is no failure.
///
/// # Errors
/// Standard output takes nothing, as on a full disk.
pub fn print(text: &str) -> Result<ExitCode, Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Running(anyhow!("cannot write to standard output: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn lab(args: &LabArgs) -> Result<ExitCode, Failure> {
    if args.show.lists_thresholds() {
        return print(&thresholds::list());
    }
    if args.scene == Some(SceneArg::List) {
        return print(&scene::list());
    }
    suits(args).map_err(Failure::BadInput)?;
    let scene = args.scene();
    scene.map_or(Ok(()), |s| fits(s, args)).map_err(Failure::BadInput)?;
    let output = choose_output(&args.show)?;
    // Before anything is made that must go again: what comes while workers are forked is heard when they are.
    let signals = catch_signals()?;
    let program = Program::prepare(&args.command, args.log.as_deref(), args.show.force, args.stop_on_failure)
        .map_err(Failure::BadInput)?;
    let target = Target::prepare(args.lockfile.as_deref(), args.lock).map_err(Failure::BadInput)?;
    let record = prepare_recording(&args.run, &args.show, [target.path()])?;
    prepare_hgrm(&args.show, [target.path()])?;
    program.as_ref().map_or(Ok(()), |p| spare_lock_file(p, &target)).map_err(Failure::BadInput)?;
    let seed = u64::from(std::process::id()) ^ crate::clock::now();
    let config = args.config(seed);
    let lab = match scene {
        Some(scene) => Lab::start_scene(config, target, Some(scene))?,
        None => Lab::start_with(config, target, program)?,
    };
    // From here on there are threads; the first fleet was forked before.
    let signals = forward_signals(signals)?;
    let source = Box::new(LabSource::listen(lab)?);
    let mut run = live(source, signals, &args.run, &args.show, output, record)?;
    run.stop_on_failure = args.stop_on_failure;
    run.go()
}

fn watch(args: &WatchArgs) -> Result<ExitCode, Failure> {
    if args.show.lists_thresholds() {
        return print(&thresholds::list());
    }
    let output = choose_output(&args.show)?;
    if args.interval.is_some() && args.how == Some(How::Exact) {
        return Err(Failure::BadInput(anyhow!("--interval is for --how sampled: exact seeing has no interval")));
    }
    let plan = Plan::of(args).map_err(Failure::BadInput)?;
    let record = prepare_recording(&args.run, &args.show, args.lockfiles.iter().map(PathBuf::as_path))?;
    prepare_hgrm(&args.show, args.lockfiles.iter().map(PathBuf::as_path))?;
    let signals = forward_signals(catch_signals()?)?;
    live(Box::new(plan.start()?), signals, &args.run, &args.show, output, record)?.go()
}

/// The file for a recording, made ready before anything begins; none of those that are `locked`.
fn prepare_recording<'p>(
    run: &RunArgs,
    show: &ShowArgs,
    locked: impl IntoIterator<Item = &'p Path>,
) -> Result<Option<Recording>, Failure> {
    run.record.as_deref().map(|path| Recording::prepare(path, show.force, locked)).transpose()
}

/// A run of something that happens now: it ends when it was told to, and is recorded beside any output.
fn live(
    source: Box<dyn Source>,
    signals: Receiver<i32>,
    run: &RunArgs,
    show: &ShowArgs,
    output: Output,
    record: Option<Recording>,
) -> Result<Session, Failure> {
    let mut session = Session::new(source, signals, show, output)?;
    (session.end_at, session.limit) = (run.duration, run.acquisitions);
    if let (Some(record), Some(path)) = (record, &run.record) {
        let file = record.begin()?;
        session.open_outlet(format!("the recording {}", path.display()), false, Box::new(Jsonl::new(file)))?;
    }
    Ok(session)
}

/// Whether what was given belongs together, and the lock file is none by mistake.
fn suits(args: &LabArgs) -> Result<(), Error> {
    // Clap waives what an option requires where another one given excludes that.
    let for_command = [(args.log.is_some(), "--log"), (args.stop_on_failure, "--stop-on-failure")];
    if let Some((_, option)) = for_command.iter().find(|(given, _)| *given && args.command.is_empty()) {
        return Err(anyhow!("{option} is for what workers run: add -- COMMAND, or leave {option} out"));
    }
    let Some(path) = &args.lockfile else { return Ok(()) };
    let word = path.to_str().filter(|word| !word.contains('/')).unwrap_or_default();
    if !word.is_empty()
        && let Some(meant) = crate::cli::subcommand_like(word)
        && path.symlink_metadata().is_err()
    {
        if meant == word {
            return Err(anyhow!("options stand behind the command: flockmon {word} --option …"));
        }
        return Err(anyhow!(
            "there is no command '{word}', and no file of that name: did you mean flockmon {meant}? To make that file and lock it, write ./{word}"
        ));
    }
    Ok(())
}

/// Whether a scene can be played with what else is asked for.
fn fits(scene: &Scene, args: &LabArgs) -> Result<(), Error> {
    match (scene.act, &args.lockfile) {
        (Some(Act::Split), Some(path)) => Err(anyhow!(
            "--scene split unlinks the lock file, and {} is yours: leave LOCKFILE out, and a temporary one is used",
            path.display()
        )),
        (Some(Act::Inherit), _) if args.lock == LockKind::Posix => Err(anyhow!(
            "--scene inherited needs a lock that a child inherits, and a posix lock belongs to its process (fcntl(2)): use --lock flock or --lock ofd"
        )),
        (Some(Act::Cross), _) if args.lock == LockKind::Posix => Err(anyhow!(
            "--scene deadlock needs locks that may be waited for in a circle, and of posix locks the kernel refuses that with EDEADLK (fcntl(2)): use --lock flock or --lock ofd"
        )),
        (Some(Act::Cross), _) if args.workers < 2 => {
            Err(anyhow!("--scene deadlock takes two workers that wait for each other: use --workers 2 or more"))
        }
        _ => Ok(()),
    }
}

fn replay(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    if args.show.lists_thresholds() {
        return print(&thresholds::list());
    }
    let output = choose_output(&args.show)?;
    let on_screen = output == Output::Tui;
    let speed = match args.speed {
        Some(Speed::Max) => None,
        Some(Speed::Times(n)) => Some(n),
        None => on_screen.then_some(1.0),
    };
    let player = Player::open(&args.file, speed, on_screen).map_err(Failure::BadInput)?;
    prepare_hgrm(&args.show, [])?;
    let signals = forward_signals(catch_signals()?)?;
    Session::new(Box::new(player), signals, &args.show, output)?.go()
}

/// Makes the folder for histograms ready; none of the files that are `locked` is ever written to.
fn prepare_hgrm<'p>(show: &ShowArgs, locked: impl IntoIterator<Item = &'p Path>) -> Result<(), Failure> {
    let Some(folder) = &show.hgrm else { return Ok(()) };
    let locked = recording::identities(locked);
    hgrm::files(folder).iter().try_for_each(|file| recording::spare(file, &locked)).map_err(Failure::BadInput)?;
    hgrm::prepare(folder, show.force).map_err(Failure::BadInput)
}

/// Nor are logs of earlier runs removed that are the lock file.
fn spare_lock_file(program: &Program, target: &Target) -> Result<(), Error> {
    let locked = recording::identities([target.path()]);
    program.logs().there().try_for_each(|log| recording::spare(&log, &locked))
}

fn choose_output(show: &ShowArgs) -> Result<Output, Failure> {
    let terminal = io::stdout().is_terminal();
    match show.output {
        None if terminal => Ok(Output::Tui),
        None => Ok(Output::Log),
        Some(Output::Tui) if !terminal => Err(Failure::BadInput(anyhow!(
            "--output tui needs a terminal, but standard output is none: run it in a terminal, or use --output log or --output summary"
        ))),
        Some(output) => Ok(output),
    }
}

/// From now on signals end nothing by themselves: they are kept for [`forward_signals`]. Starts no thread.
fn catch_signals() -> Result<Signals, Error> {
    Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD, SIGTSTP, SIGCONT])
        .context("cannot install signal handlers")
}

/// Starts the thread that hands on what has been caught, and what will be.
fn forward_signals(mut signals: Signals) -> Result<Receiver<i32>, Error> {
    let (tx, rx): (Sender<i32>, _) = unbounded();
    let forward = move || {
        for signal in signals.forever() {
            crate::panic_if_asked("signals");
            if tx.send(signal).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(forward).context("cannot start the signal thread")?;
    Ok(rx)
}
