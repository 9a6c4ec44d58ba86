//! Uids that nobody can join as, in any channel.

use goch_contract::Uid;
use wildmatch::WildMatch;

/// Patterns of uids, upper and lower case alike: `System` would look like `system` to many a reader.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReservedUids(Vec<WildMatch>);

/// What a pattern must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be comma-separated uids without ?, in which * stands for any characters")]
pub(crate) struct InvalidPattern;

impl ReservedUids {
    /// Parses comma-separated patterns.
    ///
    /// # Errors
    /// [`InvalidPattern`] when one is empty, or has characters that no uid has or a `?`.
    pub(crate) fn parse(patterns: &str) -> Result<Self, InvalidPattern> {
        let parsed = patterns.split(',').map(str::trim).map(|pattern| {
            Uid::parse(&pattern.replace('*', "-")).map_err(|_| InvalidPattern)?;
            // To the matcher it is any one character.
            if pattern.contains('?') {
                return Err(InvalidPattern);
            }
            Ok(WildMatch::new_case_insensitive(pattern))
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// Whether nobody can join as `uid`.
    pub(crate) fn contains(&self, uid: &Uid) -> bool {
        self.0.iter().any(|pattern| pattern.matches(uid.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_case_does_not_matter() {
        let reserved = ReservedUids::parse("system, agent-*,*bot").unwrap();
        for uid in ["system", "SYSTEM", "System", "agent-7", "agent-", "Agent-Bea", "bot", "a-Bot"]
        {
            assert!(reserved.contains(&Uid::parse(uid).unwrap()), "{uid}");
        }
        for uid in ["systems", "agent", "my-agent-7", "bots"] {
            assert!(!reserved.contains(&Uid::parse(uid).unwrap()), "{uid}");
        }
    }

    #[test]
    fn what_no_uid_could_match_is_a_fault() {
        for patterns in ["", "a,,b", "a b", "ä*", "a?"] {
            assert!(ReservedUids::parse(patterns).is_err(), "{patterns:?}");
        }
    }
}
