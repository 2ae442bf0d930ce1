//! Scenes: presets of the ordinary options, each of which shows one thing, and at most one small misbehaviour
//! (`mischief`). Options given beside a scene override it.

use super::mischief::Act;
use clap::ValueEnum;
use clap::builder::PossibleValue;

/// A scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    /// As in `--scene NAME`.
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    /// The options that it stands for.
    pub options: &'static [&'static str],
    /// What is done beside them.
    pub act: Option<Act>,
}

/// All of them, in the order in which they are listed.
pub static SCENES: &[Scene] = &[
    Scene {
        name: "containers",
        about: "ten containers on one lock, restarted when they die: the default; waits are unequal, nothing is wrong",
        options: &[],
        act: None,
    },
    Scene {
        name: "greedy",
        about: "kept open, no think time: whoever releases barges back in, waits have two humps",
        options: &["--keep-open", "--hold", "50ms"],
        act: None,
    },
    Scene {
        name: "courteous",
        about: "1 ms of think time: strict turns, everybody waits the same, and the queue never empties",
        options: &["--keep-open", "--think", "1ms", "--hold", "50ms"],
        act: None,
    },
    Scene {
        name: "readers",
        about: "readers that keep coming starve a writer",
        options: &["--shared", "95", "--hold", "200ms..600ms"],
        act: None,
    },
    Scene {
        name: "stalled",
        about: "the holder of the fifth turn is stopped and keeps the lock; s resumes it",
        options: &[],
        act: Some(Act::Stall),
    },
    Scene {
        name: "split",
        about: "in the fifth turn the path is unlinked and made anew: two locks, two holders (exit status 3)",
        options: &[],
        act: Some(Act::Split),
    },
    Scene {
        name: "inherited",
        about: "the holder of the fifth turn forks and is killed: its child keeps the lock; k kills the child",
        options: &[],
        act: Some(Act::Inherit),
    },
    Scene {
        name: "pollers",
        about: "every other worker polls beside those that block: pollers hardly ever find the lock free",
        options: &["--acquire", "poll:50ms", "--hold", "200ms"],
        act: Some(Act::Poll),
    },
    Scene {
        name: "deadlock",
        about: "two locks taken in opposite order; k kills a holder, and the rest goes on until the next time",
        options: &["--workers", "4"],
        act: Some(Act::Cross),
    },
];

/// What `--scene` was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SceneArg {
    /// Print the table and end.
    List,
    /// Run this one.
    Run(&'static Scene),
}

impl ValueEnum for SceneArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [SceneArg; 10] = {
            let mut all = [SceneArg::List; 10];
            let mut n = 0;
            while n + 1 < all.len() {
                all[n + 1] = SceneArg::Run(&SCENES[n]);
                n += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::List => PossibleValue::new("list").help("print the scenes and end"),
            Self::Run(scene) => PossibleValue::new(scene.name).help(scene.about),
        })
    }
}

/// A line for each: its name, what it shows; and the options that it stands for.
pub fn list() -> String {
    let mut out = String::new();
    for scene in SCENES {
        out.push_str(&format!("{:<12}{}\n", scene.name, scene.about));
        if !scene.options.is_empty() {
            out.push_str(&format!("{:<12}  = {}\n", "", scene.options.join(" ")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    #[test]
    fn each_can_be_asked_for_and_is_listed() {
        assert_eq!(SceneArg::value_variants().len(), SCENES.len() + 1);
        for scene in SCENES {
            assert!(list().contains(scene.about));
            assert!(scene.about.chars().count() <= 110, "{}", scene.name);
            let parsed = Cli::parse_from(["flockmon", "--scene", scene.name]).lab.scene;
            assert_eq!(parsed, Some(SceneArg::Run(scene)));
            Cli::parse_from(std::iter::once("flockmon").chain(scene.options.iter().copied()));
        }
    }
}
