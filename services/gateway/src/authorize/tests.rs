//! What is remembered of authorisations, and which questions are shared.

use futures_util::future;
use goch_contract::{MembershipId, PersonKind, services::admin::Revoked};

use super::*;

fn until(until: Instant) -> Remembered {
    let mark = Revocations::new().mark();
    let profile = Arc::new(Profile {
        uid: Uid::parse("ann").unwrap(),
        membership: MembershipId::parse("a").unwrap(),
        kind: PersonKind::Guest,
        display_name: "Ann".to_owned(),
        role: Role::guest(),
    });
    let authorization = Authorization { profile, closed: false, mark };
    Remembered { proof: Proof::Secret(Secret::new("s").digest()), authorization, until }
}

const REMEMBER_FOR: Duration = Duration::from_mins(1);

fn authorizer(remember_for: Duration) -> Arc<Authorizer> {
    Authorizer::new(remember_for, Counter::default(), Shutdown::new(Duration::ZERO))
}

fn key_of(uid: &str) -> Key {
    (ChannelName::parse("c").unwrap(), Uid::parse(uid).unwrap())
}

fn key() -> Key {
    key_of("ann")
}

fn secret(secret: &str) -> Proof {
    Proof::Secret(Secret::new(secret).digest())
}

fn token(name: Option<&str>, role: Option<&str>) -> Proof {
    let role = role.map(|role| Role::parse(role).unwrap());
    Proof::Token(Said { display_name: name.map(str::to_owned), email: None, role })
}

/// As if chat-admin had said yes to `proof` just now.
fn remember(authorizer: &Authorizer, proof: &Proof) -> Authorization {
    remember_as(authorizer, key(), proof, Instant::now())
}

fn remember_as(authorizer: &Authorizer, key: Key, proof: &Proof, now: Instant) -> Authorization {
    let answer = Authorized {
        display_name: "Ann".to_owned(),
        role: Role::guest(),
        membership: MembershipId::parse("a").unwrap(),
        kind: PersonKind::Guest,
        closed: false,
    };
    let mark = authorizer.revocations().mark();
    authorizer.remember(key, proof.clone(), answer, mark, now)
}

fn recall(authorizer: &Authorizer, key: &Key, proof: &Proof) -> Option<Authorization> {
    authorizer.recall(key, proof, Instant::now())
}

/// Has a question be under way that nobody answers.
fn ask(authorizer: &Authorizer, proof: &Proof) -> Mark {
    let mark = authorizer.revocations().mark();
    let asking = future::pending().boxed().shared();
    lock(&authorizer.asked).insert(key(), Asked { proof: proof.clone(), mark, asking });
    mark
}

fn is_under_way(authorizer: &Authorizer, proof: &Proof) -> bool {
    authorizer.under_way(&lock(&authorizer.asked), &key(), proof).is_some()
}

#[test]
fn only_what_was_shown_before_is_answered_from_memory() {
    let proofs = [
        secret("one"),
        secret("two"),
        token(None, None),
        token(Some("Ann"), None),
        token(Some("Ann"), Some("agent")),
        token(Some("Bob"), Some("agent")),
    ];
    for (remembered, proof) in proofs.iter().enumerate() {
        let authorizer = authorizer(REMEMBER_FOR);
        remember(&authorizer, proof);
        for (shown, proof) in proofs.iter().enumerate() {
            let recalled = recall(&authorizer, &key(), proof).is_some();
            assert_eq!(recalled, shown == remembered, "{shown} after {remembered}");
        }
        assert_eq!(authorizer.answered_from_memory.get(), 1);
    }
}

#[test]
fn nothing_is_answered_from_memory_that_was_revoked_or_is_too_old() {
    let revoked = authorizer(REMEMBER_FOR);
    let authorization = remember(&revoked, &secret("s"));
    let (channel, uid) = key();
    assert!(revoked.still_holds(&authorization, &channel, &uid));
    revoked.revocations().note(Revoked::Member(channel.clone(), uid.clone()));
    assert!(!revoked.still_holds(&authorization, &channel, &uid));
    assert!(recall(&revoked, &key(), &secret("s")).is_none());
    assert!(lock(&revoked.remembered).is_empty());

    let expired = authorizer(REMEMBER_FOR);
    let now = Instant::now();
    remember_as(&expired, key(), &secret("s"), now);
    let end = now + REMEMBER_FOR;
    assert!(expired.recall(&key(), &secret("s"), end).is_some());
    assert!(expired.recall(&key(), &secret("s"), end + Duration::from_nanos(1)).is_none());
    assert!(lock(&expired.remembered).is_empty());
}

#[test]
fn the_longest_unused_makes_room_when_all_places_are_taken() {
    let authorizer = authorizer(REMEMBER_FOR);
    let key = |member: usize| key_of(&format!("member-{member}"));
    for member in 0..REMEMBERED_MAX {
        remember_as(&authorizer, key(member), &secret("s"), Instant::now());
    }
    assert!(recall(&authorizer, &key(0), &secret("s")).is_some());
    remember_as(&authorizer, key(REMEMBERED_MAX), &secret("s"), Instant::now());
    assert!(recall(&authorizer, &key(0), &secret("s")).is_some());
    assert!(recall(&authorizer, &key(1), &secret("s")).is_none());
    assert_eq!(lock(&authorizer.remembered).len(), REMEMBERED_MAX);
}

#[test]
fn members_who_have_left_do_not_stay_in_memory() {
    let mut remembered = LruCache::unbounded();
    let begin = Instant::now();
    let at = |second| begin + Duration::from_secs(second);
    for member in 0..1_000_u64 {
        forget_expired(&mut remembered, at(member));
        remembered.put(member, until(at(member + 60)));
    }
    assert_eq!(remembered.len(), 61);
    // Whoever is still good stays.
    assert!(remembered.contains(&939));
    // A crowd shrinks while few come.
    for member in 1_000..1_030 {
        forget_expired(&mut remembered, at(5_000));
        remembered.put(member, until(at(6_000)));
    }
    assert_eq!(remembered.len(), 31);
}

#[test]
fn who_comes_makes_room_of_those_that_have_expired() {
    let authorizer = authorizer(REMEMBER_FOR);
    let now = Instant::now();
    for member in ["ann", "bob", "eve"] {
        remember_as(&authorizer, key_of(member), &secret("s"), now);
    }
    let later = now + 2 * REMEMBER_FOR;
    remember_as(&authorizer, key_of("dan"), &secret("s"), later);
    assert_eq!(lock(&authorizer.remembered).len(), 2);
    assert!(authorizer.recall(&key_of("dan"), &secret("s"), later).is_some());
}

#[test]
fn a_question_under_way_is_shared_by_whoever_shows_the_same_unless_a_revocation_came() {
    let authorizer = authorizer(REMEMBER_FOR);
    assert!(!is_under_way(&authorizer, &secret("s")));
    ask(&authorizer, &secret("s"));
    assert!(is_under_way(&authorizer, &secret("s")));
    assert!(!is_under_way(&authorizer, &secret("wrong")));
    assert!(!is_under_way(&authorizer, &token(None, None)));
    let (channel, uid) = key();
    authorizer.revocations().note(Revoked::Member(channel, uid));
    assert!(!is_under_way(&authorizer, &secret("s")), "its answer may be older");
}

#[test]
fn an_answer_ends_its_own_question_and_not_one_that_has_taken_its_place() {
    let authorizer = authorizer(REMEMBER_FOR);
    let first = ask(&authorizer, &secret("one"));
    // With another secret, at the same moment among the revocations.
    let second = ask(&authorizer, &secret("two"));
    assert_eq!(first, second);
    authorizer.no_longer_asks(&key(), &secret("one"), first);
    assert!(is_under_way(&authorizer, &secret("two")));
    // And with the same one, after a revocation.
    authorizer.revocations().distrust();
    let third = ask(&authorizer, &secret("two"));
    authorizer.no_longer_asks(&key(), &secret("two"), second);
    assert!(is_under_way(&authorizer, &secret("two")));
    authorizer.no_longer_asks(&key(), &secret("two"), third);
    assert!(lock(&authorizer.asked).is_empty());
}
