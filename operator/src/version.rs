//! Kubernetes versions: what they look like, which are served, which step may follow which.
//!
//! In: text of a manifest or a status. Out: [`Version`], which keeps that text: others compare it
//! word for word.

use std::cmp::Ordering;
use std::fmt;
use std::ops::RangeInclusive;

/// Minor versions that are served.
pub const SUPPORTED_MINORS: RangeInclusive<u32> = 30..=36;

/// A version such as `v1.33.0`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Version {
    text: String,
    minor: u32,
    patch: u32,
    pre_release: Option<String>,
}

/// Why a text is no version that can be served.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The leading `v` is missing.
    #[error("lacks its leading v; write v{0}")]
    NoLeadingV(String),
    /// Not of the form at all.
    #[error("is not a Kubernetes version; write one such as v1.33.0")]
    Malformed,
    /// Older than what is served.
    #[error("is older than v1.{0}, the oldest that is served; choose v1.{0}.0 or newer")]
    TooOld(u32),
    /// Newer than what is served.
    #[error(
        "is newer than v1.{0}, the newest that is served; choose a release of v1.{0} or upgrade the operator"
    )]
    TooNew(u32),
}

/// What lies between two versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The same version.
    None,
    /// Another patch of the same minor, newer or older: patches of one minor read the same data.
    Patch,
    /// The next minor.
    NextMinor,
    /// More than one minor up.
    Skip,
    /// A minor down.
    Downgrade,
}

impl Version {
    /// Reads a version of any age.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some(numbers) = text.strip_prefix('v') else {
            let with_v = format!("v{text}");
            return Err(match Self::parse_numbers(&with_v, text) {
                Ok(_) => Error::NoLeadingV(text.to_owned()),
                Err(error) => error,
            });
        };
        Self::parse_numbers(text, numbers)
    }

    /// Reads a version and checks that it is served.
    pub fn parse_supported(text: &str) -> Result<Self, Error> {
        let version = Self::parse(text)?;
        if version.minor < *SUPPORTED_MINORS.start() {
            return Err(Error::TooOld(*SUPPORTED_MINORS.start()));
        }
        if version.minor > *SUPPORTED_MINORS.end() {
            return Err(Error::TooNew(*SUPPORTED_MINORS.end()));
        }
        Ok(version)
    }

    fn parse_numbers(text: &str, numbers: &str) -> Result<Self, Error> {
        let (release, pre_release) = match numbers.split_once('-') {
            Some((release, pre)) => (release, Some(pre)),
            None => (numbers, None),
        };
        if pre_release.is_some_and(|pre| !is_pre_release(pre)) {
            return Err(Error::Malformed);
        }
        let parts: Vec<u32> = release
            .split('.')
            .map(number)
            .collect::<Option<_>>()
            .ok_or(Error::Malformed)?;
        match parts.as_slice() {
            &[1, minor, patch] => Ok(Self {
                text: text.to_owned(),
                minor,
                patch,
                pre_release: pre_release.map(str::to_owned),
            }),
            _ => Err(Error::Malformed),
        }
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The minor number: 33 of `v1.33.0`.
    pub const fn minor(&self) -> u32 {
        self.minor
    }

    /// The patch number: 0 of `v1.33.0`.
    pub const fn patch(&self) -> u32 {
        self.patch
    }

    /// What it takes to get to another version.
    pub fn step_to(&self, wanted: &Self) -> Step {
        match wanted.minor.cmp(&self.minor) {
            Ordering::Less => Step::Downgrade,
            Ordering::Equal
                if self.patch == wanted.patch && self.pre_release == wanted.pre_release =>
            {
                Step::None
            }
            Ordering::Equal => Step::Patch,
            Ordering::Greater if wanted.minor - self.minor == 1 => Step::NextMinor,
            Ordering::Greater => Step::Skip,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Digits without a leading zero.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if digits && !leading_zero {
        text.parse().ok()
    } else {
        None
    }
}

/// Image tags take letters, digits and dots; a `+build` would not make a tag.
fn is_pre_release(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

#[cfg(test)]
mod tests;
