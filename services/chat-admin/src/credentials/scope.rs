//! What a credential may be used for.

use std::{collections::BTreeSet, str::FromStr};

/// Something that a credential may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// To see what there is.
    Read,
    /// To create and change, and what can be done again: removing a member, deleting a webhook.
    Write,
    /// To delete a channel, and to erase a person, with everything of them.
    Erase,
}

impl Scope {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Read, "read"), (Self::Write, "write"), (Self::Erase, "erase")];

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(scope, _)| *scope == self).map_or("", |(_, word)| word)
    }
}

/// All that a credential may be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scopes(BTreeSet<Scope>);

impl Scopes {
    pub(crate) fn all() -> Self {
        Self(Scope::ALL.map(|(scope, _)| scope).into())
    }

    pub(crate) fn has(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }
}

/// Words that are no scopes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownScope;

impl FromStr for Scopes {
    type Err = UnknownScope;

    /// Words with a `+` between them.
    fn from_str(words: &str) -> Result<Self, UnknownScope> {
        let find = |word: &str| {
            let mut all = Scope::ALL.into_iter();
            all.find(|(_, known)| *known == word).map(|(scope, _)| scope)
        };
        words
            .split('+')
            .map(|word| find(word).ok_or(UnknownScope))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
