//! Command lines: our flags and the user's, by one rule for every program.
//!
//! A flag that the operator alone decides ([`is_managed`]) stays ours, and the user's is dropped: admission says so.
//! Any other flag that the user gives takes the place of ours. Ours are sorted by name; the user's follow as they were
//! written, repeated ones included, for some flags add up.

use crate::validate::{Component, is_managed};

/// One of our flags.
pub type Argument = (&'static str, String);

/// The command line of a program.
pub fn merge(component: Component, mut ours: Vec<Argument>, theirs: &[String]) -> Vec<String> {
    let theirs: Vec<_> = theirs
        .iter()
        .filter(|argument| !is_managed(component, flag_of(argument)))
        .collect();
    ours.retain(|(flag, _)| theirs.iter().all(|argument| flag_of(argument) != *flag));
    ours.sort_unstable();
    let ours = ours
        .into_iter()
        .map(|(flag, value)| format!("--{flag}={value}"));
    ours.chain(theirs.into_iter().cloned()).collect()
}

/// The flag's name in `--flag=value`, `--flag` or `-flag`.
fn flag_of(argument: &str) -> &str {
    let name = argument.trim_start_matches('-');
    name.split_once('=').map_or(name, |(flag, _)| flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(component: Component, theirs: &[&str]) -> Vec<String> {
        let ours = vec![
            ("leader-elect", "true".to_owned()),
            ("allow-privileged", "true".to_owned()),
            ("secure-port", "6443".to_owned()),
        ];
        let theirs: Vec<_> = theirs
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        merge(component, ours, &theirs)
    }

    #[test]
    fn ours_are_sorted_and_theirs_follow_as_written() {
        let merged = merged(
            Component::ApiServer,
            &["--v=4", "--audit-x=b", "--audit-x=a"],
        );
        assert_eq!(
            merged,
            [
                "--allow-privileged=true",
                "--leader-elect=true",
                "--secure-port=6443",
                "--v=4",
                "--audit-x=b",
                "--audit-x=a",
            ]
        );
    }

    #[test]
    fn a_flag_of_theirs_takes_the_place_of_ours_unless_it_is_managed() {
        let merged = merged(
            Component::ApiServer,
            &["--allow-privileged=false", "--secure-port=1"],
        );
        assert_eq!(
            merged,
            [
                "--leader-elect=true",
                "--secure-port=6443",
                "--allow-privileged=false"
            ]
        );
    }

    #[test]
    fn the_same_flag_is_managed_for_one_program_and_free_for_another() {
        let theirs = ["--leader-elect=false"];
        assert!(merged(Component::Scheduler, &theirs).contains(&"--leader-elect=true".to_owned()));
        assert!(
            merged(Component::ControllerManager, &theirs)
                .contains(&"--leader-elect=false".to_owned())
        );
    }
}
