//! The theme asked for by `--theme` and `flockmon theme`.

use crate::document::suggestion;
use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command, ValueEnum};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;

/// Names of the built-in themes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThemeName {
    /// The 16 colours of the terminal.
    Auto,
    /// For dark backgrounds.
    Dark,
    /// For light backgrounds.
    Light,
    /// For the colour-blind, on black.
    Safe,
    /// No colours, only bold and reverse.
    Mono,
}

impl ThemeName {
    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Safe => "safe",
            Self::Mono => "mono",
        }
    }
}

/// The theme asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThemeChoice {
    /// One of ours.
    BuiltIn(ThemeName),
    /// One of the user's.
    File(PathBuf),
}

impl FromStr for ThemeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') || text.ends_with(".toml") {
            return Ok(Self::File(text.into()));
        }
        ThemeName::from_str(text, false).map(Self::BuiltIn).map_err(|_| {
            let names = ThemeName::value_variants().iter().map(|n| n.as_str());
            format!(
                "there is no theme '{text}', and the name of a file has a / or ends in .toml; {}",
                suggestion(text, names)
            )
        })
    }
}

/// Reads a [`ThemeChoice`] and tells shells the names that they can complete.
#[derive(Clone)]
pub(super) struct ThemeParser;

impl TypedValueParser for ThemeParser {
    type Value = ThemeChoice;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<ThemeChoice, clap::Error> {
        TypedValueParser::parse_ref(&ThemeChoice::from_str, command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(ThemeName::value_variants().iter().filter_map(ValueEnum::to_possible_value)))
    }
}
