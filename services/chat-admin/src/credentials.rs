//! What ticketing logs in with: several credentials, each with a name, and with scopes if it is not good for everything.
//!
//! A name may be there more than once, each time with another password: while a password is changed,
//! the old one and the new one are both good. Kept are digests, of equal length whatever was given, and
//! all of them are compared each time, so the time of an answer tells nothing.

mod keeper;
mod scope;

use std::{collections::BTreeSet, fmt, path::Path};

use goch_contract::Actor;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

pub(crate) use self::{
    keeper::{CredentialSource, Credentials},
    scope::{Scope, Scopes},
};

/// The fewest characters of a password: it is made by a program, and nobody has to remember it.
pub(crate) const PASSWORD_MIN: usize = 16;

/// The most credentials: each costs a comparison with every request.
const CREDENTIALS_MAX: usize = 100;

/// The largest file, in bytes.
const FILE_BYTES_MAX: usize = 65_536;

/// Why credentials cannot be used. Never repeats what was given: it may be a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("has no credential: name:password")]
    Empty,
    #[error("has more than {CREDENTIALS_MAX} credentials")]
    TooMany,
    #[error("credential {0} must be name:password")]
    NoPassword(usize),
    #[error("credential {0} must have a name of letters A-Z and a-z, digits, '_' and '-'")]
    Name(usize),
    #[error(
        "credential {0} must have a name, or a name and scopes: name read+write+erase:password"
    )]
    Scopes(usize),
    #[error("credential {0} must have a password of at least {PASSWORD_MIN} characters")]
    ShortPassword(usize),
    #[error("credential {0} has a name and a password that are there before")]
    Twice(usize),
    #[error("cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
    #[error("must have at most {FILE_BYTES_MAX} bytes of UTF-8")]
    NotText,
}

/// Credentials of one source.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct CredentialSet(Vec<Credential>);

#[derive(Clone, PartialEq, Eq)]
struct Credential {
    actor: Actor,
    scopes: Scopes,
    /// Of name and password.
    digest: [u8; 32],
}

impl fmt::Debug for CredentialSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|credential| &credential.actor)).finish()
    }
}

impl CredentialSet {
    /// Credentials parted by commas, as a variable has them.
    pub(crate) fn of_variable(value: &str) -> Result<Self, CredentialsError> {
        Self::parse(value.split(',').map(str::trim).filter(|entry| !entry.is_empty()))
    }

    /// One credential a line; empty lines, and those that begin with `#`, say nothing.
    pub(crate) fn of_file(path: &Path) -> Result<Self, CredentialsError> {
        let bytes = std::fs::read(path);
        Self::of_text(bytes.map_err(|error| CredentialsError::Unreadable(error.kind()))?)
    }

    fn of_text(bytes: Vec<u8>) -> Result<Self, CredentialsError> {
        let text = Some(bytes).filter(|bytes| bytes.len() <= FILE_BYTES_MAX);
        let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or(CredentialsError::NotText)?;
        let lines = text.lines().map(str::trim);
        Self::parse(lines.filter(|line| !line.is_empty() && !line.starts_with('#')))
    }

    fn parse<'a>(entries: impl Iterator<Item = &'a str>) -> Result<Self, CredentialsError> {
        let parse = |(index, entry): (usize, &str)| {
            let number = index + 1;
            let parts = entry.split_once(':').ok_or(CredentialsError::NoPassword(number))?;
            let (who, password) = parts;
            let (name, scopes) = match who.split_once(' ') {
                Some((name, words)) => {
                    let scopes = words.trim().parse();
                    (name, scopes.map_err(|_| CredentialsError::Scopes(number))?)
                }
                None => (who, Scopes::all()),
            };
            let actor = Actor::parse(name).map_err(|_| CredentialsError::Name(number))?;
            if password.chars().count() < PASSWORD_MIN {
                return Err(CredentialsError::ShortPassword(number));
            }
            Ok(Credential { actor, scopes, digest: digest(name, password) })
        };
        let entries = entries.take(CREDENTIALS_MAX + 1).enumerate();
        let credentials = entries.map(parse).collect::<Result<Vec<_>, _>>()?;
        let mut digests = BTreeSet::new();
        if let Some(twice) = credentials.iter().position(|it| !digests.insert(it.digest)) {
            return Err(CredentialsError::Twice(twice + 1));
        }
        match credentials.len() {
            0 => Err(CredentialsError::Empty),
            1..=CREDENTIALS_MAX => Ok(Self(credentials)),
            _ => Err(CredentialsError::TooMany),
        }
    }

    /// Whose name and password these are, and what for.
    pub(crate) fn find(&self, name: &str, password: &str) -> Option<(Actor, Scopes)> {
        let given = digest(name, password);
        let (mut found, mut place) = (Choice::from(0), 0_u32);
        for (index, credential) in (0_u32..).zip(&self.0) {
            let is_it = given.ct_eq(&credential.digest);
            place.conditional_assign(&index, is_it);
            found |= is_it;
        }
        let place = bool::from(found).then_some(usize::try_from(place).ok()?)?;
        self.0.get(place).map(|found| (found.actor.clone(), found.scopes.clone()))
    }
}

/// HTTP Basic ends a name at the first colon (RFC 7617), so no two pairs have one digest.
fn digest(name: &str, password: &str) -> [u8; 32] {
    Sha256::new().chain_update(name).chain_update(":").chain_update(password).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "a-password-of-some-length";
    const OTHER: &str = "another:password, with all sorts";

    fn name(set: &CredentialSet, name: &str, password: &str) -> Option<String> {
        set.find(name, password).map(|(actor, _)| actor.to_string())
    }

    #[test]
    fn name_and_password_must_both_be_right_and_belong_together() {
        let set = CredentialSet::of_text(format!("desk:{LONG}\nbot:{OTHER}").into_bytes()).unwrap();
        assert_eq!(name(&set, "desk", LONG).as_deref(), Some("desk"));
        assert_eq!(name(&set, "bot", OTHER).as_deref(), Some("bot"));
        for (user, password) in
            [("desk", OTHER), ("bot", LONG), ("Desk", LONG), ("desk", ""), ("", "")]
        {
            assert_eq!(name(&set, user, password), None, "{user}");
        }
        assert_eq!(name(&CredentialSet::default(), "", ""), None);
    }

    #[test]
    fn a_name_has_two_passwords_while_one_is_changed() {
        let both = format!("desk:{LONG}, desk:the-new-one-of-the-desk,");
        let set = CredentialSet::of_variable(&both).unwrap();
        for password in [LONG, "the-new-one-of-the-desk"] {
            assert_eq!(name(&set, "desk", password).as_deref(), Some("desk"));
        }
    }

    #[test]
    fn a_credential_is_good_for_everything_unless_it_says_for_what() {
        let text = format!("desk:{LONG}\nbot read:{LONG}\nlaw read+erase:{LONG}");
        let set = CredentialSet::of_text(text.into_bytes()).unwrap();
        let scopes = |name: &str| {
            let (_, scopes) = set.find(name, LONG).unwrap();
            [Scope::Read, Scope::Write, Scope::Erase].map(|scope| scopes.has(scope))
        };
        assert_eq!(scopes("desk"), [true, true, true]);
        assert_eq!(scopes("bot"), [true, false, false]);
        assert_eq!(scopes("law"), [true, false, true]);
    }

    #[test]
    fn a_file_has_a_credential_a_line() {
        let text = format!("# the desk\r\ndesk:{LONG}\r\n\n  bot:{LONG}  \n");
        let set = CredentialSet::of_text(text.into_bytes()).unwrap();
        assert_eq!(name(&set, "bot", LONG).as_deref(), Some("bot"));
        assert_eq!(format!("{set:?}"), r#"["desk", "bot"]"#);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place_and_never_repeated() {
        let good = format!("desk:{LONG}");
        for (entries, fault) in [
            (String::new(), CredentialsError::Empty),
            (format!("{good},hunter2"), CredentialsError::NoPassword(2)),
            (format!("hun ter2:{LONG}"), CredentialsError::Scopes(1)),
            (format!("{good},bot read+hunter2:{LONG}"), CredentialsError::Scopes(2)),
            (format!("hünter2:{LONG}"), CredentialsError::Name(1)),
            (format!(":{LONG}"), CredentialsError::Name(1)),
            (format!("{good},b:{LONG},bot:hunter2-hunter2"), CredentialsError::ShortPassword(3)),
            (format!("{good},desk read:{LONG}"), CredentialsError::Twice(2)),
            (
                (0..=100).map(|number| format!("d{number}:{LONG}")).collect::<Vec<_>>().join(","),
                CredentialsError::TooMany,
            ),
        ] {
            let told = CredentialSet::of_variable(&entries).unwrap_err();
            assert!(!told.to_string().contains("hunter2") && !told.to_string().contains(LONG));
            assert_eq!(told, fault);
        }
        assert!(CredentialSet::of_variable("desk:exactly-16-chars").is_ok());
        assert_eq!(CredentialSet::of_text(vec![0xff]), Err(CredentialsError::NotText));
        assert_eq!(CredentialSet::of_text(vec![b' '; 65_537]), Err(CredentialsError::NotText));
    }
}
