//! What a legal command line asks for and cannot have.
//! In: settings. Out: lines for the start of the log, each with flag, value and remedy.

use super::Settings;
use crate::flags::format_duration;
use crate::server::frontend::ANSWER;

impl Settings {
    /// Lines a person should read, as soon as there is a log.
    pub fn warnings(&self) -> Vec<String> {
        let too_long = self.limits.backend_dial.filter(|limit| *limit > ANSWER);
        let warning = too_long.map(|limit| {
            format!(
                "--backend-dial-timeout={} has the effect of {answer}: every dial is answered within {answer} in all; \
                 give at most {answer}, or 0 to leave it to them",
                format_duration(limit),
                answer = format_duration(ANSWER),
            )
        });
        warning.into_iter().collect()
    }
}
