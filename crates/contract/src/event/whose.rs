//! Whose events are: the headers by which a person's events are found without their bodies.

use async_nats::HeaderMap;

use crate::{
    ids::Uid,
    person::{Person, PersonKind},
};

/// Header of a log message: the uid whose message this is. Only `message` events carry it, so
/// unread messages can be counted without their bodies.
pub const FROM_HEADER: &str = "Goch-From";

/// Header of a log message: the uid of an account whom the event is about, by coming or going, or by what was made
/// of a message.
///
/// An event that is about two people, as an agent's edit of a customer's message is, names both, each in the header
/// of their kind.
pub const MEMBER_HEADER: &str = "Goch-Member";

/// Header of a log message: the uid of a guest whom the event is about, as [`MEMBER_HEADER`] has those of accounts. A
/// guest's message has it beside [`FROM_HEADER`].
pub const GUEST_HEADER: &str = "Goch-Guest";

/// Adds whose message it is.
pub fn name_sender(headers: &mut HeaderMap, kind: PersonKind, uid: &Uid) {
    headers.insert(FROM_HEADER, uid.as_str());
    if kind == PersonKind::Guest {
        headers.insert(GUEST_HEADER, uid.as_str());
    }
}

/// Adds somebody whom an event that is no message is about.
pub fn name_person(headers: &mut HeaderMap, kind: PersonKind, uid: &Uid) {
    let name = match kind {
        PersonKind::Account => MEMBER_HEADER,
        PersonKind::Guest => GUEST_HEADER,
    };
    headers.append(name, uid.as_str());
}

/// What the sender of a message is.
#[must_use]
pub fn kind_of_sender(headers: &HeaderMap) -> PersonKind {
    let is_guest = headers.get(GUEST_HEADER).is_some();
    if is_guest { PersonKind::Guest } else { PersonKind::Account }
}

/// Whether an event is a person's: a message, what became of one, a coming or a going. The channel is not looked at:
/// the event must be of one where this is the person ([`Person::is_known_in`]).
#[must_use]
pub fn is_of(headers: &HeaderMap, person: &Person) -> bool {
    let names =
        |header: &str| headers.get_all(header).any(|value| value.as_str() == person.uid().as_str());
    match person {
        Person::Account(_) => {
            let is_sender = names(FROM_HEADER) && kind_of_sender(headers) == PersonKind::Account;
            is_sender || names(MEMBER_HEADER)
        }
        Person::Guest(..) => names(GUEST_HEADER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChannelName;

    fn ann() -> Uid {
        Uid::parse("ann").unwrap()
    }

    /// Whether the event is of the account `ann`, and whether of the guest `ann`.
    fn is_of_ann(name: impl FnOnce(&mut HeaderMap)) -> (bool, bool) {
        let mut headers = HeaderMap::new();
        name(&mut headers);
        let channel = ChannelName::parse("c").unwrap();
        let of = |kind: PersonKind| {
            let person = match kind {
                PersonKind::Account => {
                    Person::Account(crate::Tenants::default().account(None, &ann()))
                }
                PersonKind::Guest => Person::Guest(channel.clone(), ann()),
            };
            is_of(&headers, &person)
        };
        (of(PersonKind::Account), of(PersonKind::Guest))
    }

    #[test]
    fn a_message_and_a_coming_are_of_the_account_or_of_the_guest() {
        for (kind, expected) in
            [(PersonKind::Account, (true, false)), (PersonKind::Guest, (false, true))]
        {
            assert_eq!(is_of_ann(|headers| name_sender(headers, kind, &ann())), expected);
            assert_eq!(is_of_ann(|headers| name_person(headers, kind, &ann())), expected);
        }
    }

    #[test]
    fn an_accounts_edit_of_a_guests_message_is_of_both_whatever_they_are_called() {
        let edit = |by: &str, author: &str| {
            is_of_ann(|headers| {
                name_person(headers, PersonKind::Account, &Uid::parse(by).unwrap());
                name_person(headers, PersonKind::Guest, &Uid::parse(author).unwrap());
            })
        };
        assert_eq!(edit("agent", "ann"), (false, true));
        assert_eq!(edit("ann", "ben"), (true, false));
        assert_eq!(edit("ann", "ann"), (true, true));
    }

    #[test]
    fn what_became_of_a_message_of_another_account_is_of_both() {
        let both = is_of_ann(|headers| {
            for uid in ["agent", "ann"] {
                name_person(headers, PersonKind::Account, &Uid::parse(uid).unwrap());
            }
        });
        assert_eq!(both, (true, false));
    }

    #[test]
    fn a_name_that_begins_alike_and_another_header_say_nothing() {
        let anna = Uid::parse("anna").unwrap();
        assert_eq!(
            is_of_ann(|headers| name_sender(headers, PersonKind::Guest, &anna)),
            (false, false)
        );
        assert_eq!(is_of_ann(|headers| headers.insert("Nats-Msg-Id", "ann")), (false, false));
    }
}
