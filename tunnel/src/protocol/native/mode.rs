//! `--tunnel-mode` of both programs: which of the two wires an end is willing to speak.
//!
//! In: the flag's word. Out: what the other end is offered in TLS. Native comes first wherever it
//! is offered, so two willing ends of ours always take it.

/// What an end is willing to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TunnelMode {
    /// Native with peers that can, the reference's wire with the others.
    #[default]
    Auto,
    /// The reference's wire only.
    Legacy,
    /// Native only; other peers are turned away.
    Native,
}

impl TunnelMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Legacy, Self::Native];

    /// The flag's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Legacy => "legacy",
            Self::Native => "native",
        }
    }

    /// What the flag's word means; `None` for any other word.
    pub fn from_flag(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }

    /// Whether native is offered.
    pub const fn speaks_native(self) -> bool {
        matches!(self, Self::Auto | Self::Native)
    }

    /// Whether the reference's wire is offered.
    pub const fn speaks_reference(self) -> bool {
        matches!(self, Self::Auto | Self::Legacy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_speaks_something_and_has_a_word() {
        for mode in TunnelMode::ALL {
            assert_eq!(TunnelMode::from_flag(mode.as_str()), Some(mode));
            assert!(mode.speaks_native() || mode.speaks_reference());
        }
        assert_eq!(TunnelMode::from_flag("Auto"), None);
        assert_eq!(TunnelMode::default(), TunnelMode::Auto);
    }
}
