//! Command lines as the reference's programs read them.
//!
//! Kubernetes programs parse flags with Go's `pflag`, and manifests in the field rely on its
//! habits: `--flag value` and `--flag=value`, booleans only with `=`, the last of two equal flags
//! wins, underscores mean dashes, words that are no flags are ignored. In comes `argv`, out comes a
//! clap struct, the list of option values for the log, or a [`Stop`] that knows what to print.
//! Nothing here knows a single flag of server or agent but the logging ones both share.

mod klog;
mod label;
mod value;

use std::any::TypeId;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, Parser};

pub use klog::{Klog, LogFormat};
pub use label::{LabelError, label, label_selector};
pub use value::{format_duration, go_bool, go_duration, string_slice};

/// A program's flags: a clap parser plus what clap cannot say.
pub trait Flags: Parser {
    /// Flags that still work but should not be used, each with the advice to print.
    const DEPRECATED: &'static [(&'static str, &'static str)] = &[];
    /// Second environment variables of flags, for when the first one has no value.
    const SECOND_VARIABLES: &'static [(&'static str, &'static str)] = &[];
}

/// A command line that parsed.
#[derive(Debug)]
pub struct Parsed<A> {
    /// The flags, typed.
    pub args: A,
    /// Every option and its value, defaults included, for the start of the log.
    pub values: Vec<(String, String)>,
    /// Lines the user should see: deprecated flags that were given.
    pub notices: Vec<String>,
}

/// Why the program ends before it starts.
#[derive(Debug)]
pub enum Stop {
    /// `--help` was asked for; holds the text.
    Help(String),
    /// The command line is wrong.
    Refused {
        /// What is wrong, naming flag and value.
        reason: String,
        /// How the program is used.
        usage: String,
    },
}

impl Stop {
    /// Prints what the user must read and says how the process ends: 0 for help, else 1.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Help(text) => {
                // A closed stdout is the reader's choice, not a failure of ours.
                let _ = std::io::stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Self::Refused { reason, usage } => {
                let _ = write!(std::io::stderr(), "{usage}\nerror: {reason}\n");
                ExitCode::FAILURE
            }
        }
    }
}

/// Parses a whole command line, program name first.
pub fn parse<A: Flags>(command_line: impl IntoIterator<Item = String>) -> Result<Parsed<A>, Stop> {
    let mut command = command::<A>();
    let words = canonical(&command, command_line.into_iter());
    let notices = A::DEPRECATED
        .iter()
        .filter(|(flag, _)| words.iter().any(|word| names(word, flag)))
        .map(|(flag, advice)| format!("Flag --{flag} has been deprecated, {advice}"))
        .collect();
    let mut matches = command
        .try_get_matches_from_mut(words)
        .map_err(|error| stop(&error, &mut command))?;
    let values = shown(&command, &matches);
    let args = A::from_arg_matches_mut(&mut matches).map_err(|error| stop(&error, &mut command))?;
    Ok(Parsed {
        args,
        values,
        notices,
    })
}

/// The process's own command line; bytes that are no UTF-8 become replacement characters.
pub fn own_command_line() -> Vec<String> {
    std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

/// The clap command with pflag's habits put on. An empty path is a value like any other.
fn command<A: Flags>() -> Command {
    let path = OsStringValueParser::new().map(PathBuf::from);
    A::command()
        .args_override_self(true)
        .disable_version_flag(true)
        .mut_args(from_environment::<A>)
        .mut_args(|arg| {
            let is_path = arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
            match arg.get_action() {
                ArgAction::SetTrue => go_switch(arg),
                _ if is_path => arg.allow_hyphen_values(true).value_parser(path.clone()),
                _ => arg.allow_hyphen_values(true),
            }
        })
}

/// Takes the variable that Go would: the first one that has a value.
fn from_environment<A: Flags>(arg: Arg) -> Arg {
    let has_value = |name: &OsStr| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let mut second = A::SECOND_VARIABLES.iter();
    match second.find(|(flag, _)| arg.get_long() == Some(*flag)) {
        Some((_, name)) if has_value(name.as_ref()) && !arg.get_env().is_some_and(has_value) => {
            arg.env(*name)
        }
        _ => arg,
    }
}

/// `--x`, `--x=true` and `--x=false`, and never `--x true`.
fn go_switch(arg: Arg) -> Arg {
    let default = arg
        .get_default_values()
        .first()
        .map_or_else(|| "false".into(), Clone::clone);
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value(default)
        .value_parser(go_bool)
        .value_name("BOOL")
}

/// Rewrites every flag to `--name=value` so that clap has nothing left to guess, and drops the
/// words that are no flags.
fn canonical(command: &Command, mut argv: impl Iterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = argv.next().into_iter().collect();
    while let Some(word) = argv.next() {
        if word == "--" {
            break;
        }
        let Some(body) = word.strip_prefix("--") else {
            if word == "-v" {
                words.extend(argv.next().map(|value| format!("-v={value}")));
            } else if word.len() > 1 && word.starts_with('-') {
                words.push(word);
            }
            continue;
        };
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name.replace('_', "-"), Some(value.to_owned())),
            None => (body.replace('_', "-"), None),
        };
        let value = value.or_else(|| {
            if takes_separate_value(command, &name) {
                argv.next()
            } else {
                None
            }
        });
        words.push(match value {
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        });
    }
    words
}

fn takes_separate_value(command: &Command, name: &str) -> bool {
    command.get_arguments().any(|arg| {
        let named = arg.get_long() == Some(name)
            || arg
                .get_all_aliases()
                .is_some_and(|aliases| aliases.contains(&name));
        named && !arg.is_require_equals_set() && arg.get_action().takes_values()
    })
}

fn names(word: &str, flag: &str) -> bool {
    word.strip_prefix("--").is_some_and(|body| {
        body.strip_prefix(flag)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// Option values as the log shows them; what help hides may hold a password.
fn shown(command: &Command, matches: &clap::ArgMatches) -> Vec<(String, String)> {
    command
        .get_arguments()
        .filter(|arg| arg.get_action().takes_values())
        .filter_map(|arg| {
            let name = arg.get_long()?;
            let raw = matches.try_get_raw(arg.get_id().as_str()).ok()?;
            let words: Vec<_> = raw
                .into_iter()
                .flatten()
                .map(|v| v.to_string_lossy())
                .collect();
            let is_secret =
                arg.is_hide_env_values_set() && words.iter().any(|word| !word.is_empty());
            let value = if is_secret {
                "(hidden)".to_owned()
            } else {
                words.join(",")
            };
            Some((name.to_owned(), value))
        })
        .collect()
}

fn stop(error: &clap::Error, command: &mut Command) -> Stop {
    if error.kind() == ErrorKind::DisplayHelp {
        return Stop::Help(command.render_long_help().to_string());
    }
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(" ")),
        _ => None,
    };
    // clap shows an argument as `--name <VALUE>`, `--name=<VALUE>` or `--name[=<VALUE>]`.
    let flag = word(ContextKind::InvalidArg).unwrap_or_default();
    let flag = flag
        .split(['=', ' ', '['])
        .next()
        .unwrap_or_default()
        .to_owned();
    let reason = match error.kind() {
        ErrorKind::UnknownArgument => match word(ContextKind::SuggestedArg) {
            Some(near) => format!("unknown flag: {flag} (did you mean {near}?)"),
            None => format!("unknown flag: {flag}"),
        },
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues
            if word(ContextKind::InvalidValue).is_none_or(|value| value.is_empty()) =>
        {
            format!("flag needs an argument: {flag}")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = word(ContextKind::InvalidValue).unwrap_or_default();
            let cause = std::error::Error::source(error).map_or_else(
                || word(ContextKind::ValidValue).map_or_else(String::new, |known| one_of(&known)),
                |cause| format!(": {cause}"),
            );
            format!("invalid argument {value:?} for {flag:?} flag{cause}")
        }
        _ => error
            .to_string()
            .trim_start_matches("error: ")
            .trim_end()
            .to_owned(),
    };
    let usage = format!("{}\nSee --help for every flag.", command.render_usage());
    Stop::Refused { reason, usage }
}

fn one_of(values: &str) -> String {
    format!(": must be one of {values}")
}

#[cfg(test)]
mod tests;
