//! Runs in which one thing is wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn given(seq: u64, prev: u64, id: &str) -> Given {
    let said = Said {
        uid: "ann".to_owned(),
        id: id.to_owned(),
        text: format!("text of {id}"),
        time: seq * 10,
        edited_at: None,
    };
    Given { seq, prev, way: Way::Live, content: Content::Message(said) }
}

fn revised(seq: u64, prev: u64, id: &str, message: u64, text: Option<&str>) -> Given {
    let content = Content::Revised(Revised {
        uid: "ann".to_owned(),
        id: id.to_owned(),
        message,
        text: text.map(ToOwned::to_owned),
        time: seq * 10,
    });
    Given { seq, prev, way: Way::Live, content }
}

fn asked(id: &str, message: u64, text: Option<&str>) -> Revision {
    let (uid, id, text) = ("ann".to_owned(), id.to_owned(), text.map(ToOwned::to_owned));
    Revision { uid, id, message, text, refused: false }
}

/// Has a message say what an edit at `edit` made of it.
fn edit(given: &mut Given, text: &str, edit: u64) {
    let Content::Message(said) = &mut given.content else { panic!("no message") };
    (said.text, said.edited_at) = (text.to_owned(), Some(edit * 10));
}

fn page(mut events: Vec<Given>) -> Vec<Given> {
    let through = events.last().map_or(0, |given| given.seq);
    for given in &mut events {
        given.way = Way::Page { through };
    }
    events
}

/// Three messages; bob stayed, cid resumed after the first.
fn sound() -> Channel {
    let events = vec![given(3, 0, "a"), given(5, 3, "b"), given(9, 5, "c")];
    let send =
        |id: &str| Send { uid: "ann".to_owned(), id: id.to_owned(), text: format!("text of {id}") };
    let ack = |seq: u64, id: &str| Ack {
        uid: "ann".to_owned(),
        id: id.to_owned(),
        seq,
        time: seq * 10,
        duplicate: false,
    };
    let stayed = vec![Subscription { given: events.clone(), ..Subscription::default() }];
    let resumed = vec![
        Subscription { given: events[..1].to_vec(), ..Subscription::default() },
        Subscription { after: 3, given: events[1..].to_vec(), looks: Vec::new() },
    ];
    Channel {
        sends: vec![send("a"), send("b"), send("c"), send("never stored")],
        acks: vec![ack(3, "a"), ack(9, "c")],
        readers: BTreeMap::from([("bob".to_owned(), stayed), ("cid".to_owned(), resumed)]),
        log: events.clone(),
        history: page(events),
        unread: BTreeMap::from([("bob".to_owned(), (3, 2)), ("ann".to_owned(), (0, 0))]),
        ..Channel::default()
    }
}

/// The same, and then the first message is edited twice and the second one edited and deleted. Bob
/// heard everything live, and looked back when he had heard of the first edit; cid was away from
/// before the edits to after the deletion.
fn revised_channel() -> Channel {
    let mut channel = sound();
    let edits = [
        revised(10, 9, "e1", 3, Some("once")),
        revised(11, 10, "e2", 3, Some("twice")),
        revised(13, 12, "d", 5, None),
    ];
    let erased = revised(12, 11, "e3", 5, Some("in vain"));
    channel.revisions = vec![
        asked("e1", 3, Some("once")),
        asked("e2", 3, Some("twice")),
        asked("e3", 5, Some("in vain")),
        asked("d", 5, None),
        asked("e4", 5, Some("too late")),
        asked("never stored", 9, None),
    ];
    channel.revisions[4].refused = true;
    let ack = |seq: u64, id: &str| {
        let (uid, id) = ("ann".to_owned(), id.to_owned());
        Ack { uid, id, seq, time: seq * 10, duplicate: false }
    };
    channel.acks.push(ack(5, "b"));
    channel.revision_acks = vec![ack(10, "e1"), ack(12, "e3"), ack(13, "d")];
    channel.log.remove(1);
    channel.log.extend(edits.clone());
    channel.history = page(channel.log.clone());
    edit(&mut channel.history[0], "twice", 11);
    let mut looked_at = page(vec![given(3, 0, "a"), given(5, 3, "b")]);
    edit(&mut looked_at[0], "once", 10);
    let look = Look { before: 9, known: 10, more: false, events: looked_at };
    let bob = &mut channel.readers.get_mut("bob").unwrap()[0];
    let [first, second, deletion] = edits.clone();
    bob.given.extend([first, second, erased, deletion]);
    bob.looks.push(look);
    let cid = channel.readers.get_mut("cid").unwrap();
    let mut resumed = page(edits.to_vec());
    resumed[2].prev = 11;
    cid.push(Subscription { after: 9, given: resumed, looks: Vec::new() });
    channel.unread.insert("bob".to_owned(), (3, 1));
    channel
}

fn broken(change: impl FnOnce(&mut Channel)) -> BTreeSet<Rule> {
    broken_in(sound(), change)
}

fn broken_in(mut channel: Channel, change: impl FnOnce(&mut Channel)) -> BTreeSet<Rule> {
    change(&mut channel);
    let channels = BTreeMap::from([("c".to_owned(), channel)]);
    check(&Recording { channels }).into_iter().map(|violation| violation.rule).collect()
}

fn bob(channel: &mut Channel) -> &mut Vec<Given> {
    &mut channel.readers.get_mut("bob").unwrap()[0].given
}

#[test]
fn a_sound_run_breaks_no_rule() {
    assert_eq!(broken(|_| {}), BTreeSet::new());
}

#[test]
fn an_acked_message_that_is_not_stored_is_found() {
    let rules = broken(|channel| channel.acks[0].seq = 4);
    assert!(rules.contains(&Rule::AckedIsStored));
    let rules = broken(|channel| {
        channel.log.remove(2);
    });
    assert!(rules.contains(&Rule::AckedIsStored));
}

#[test]
fn a_message_that_is_stored_twice_is_found() {
    let rules = broken(|channel| channel.log.push(given(11, 9, "a")));
    assert!(rules.contains(&Rule::OneEventPerId));
}

#[test]
fn a_message_that_nobody_sent_is_found() {
    let rules = broken(|channel| channel.log.push(given(11, 9, "d")));
    assert!(rules.contains(&Rule::NothingInvented));
    let rules = broken(|channel| bob(channel).push(given(11, 9, "d")));
    assert!(rules.contains(&Rule::NothingInvented));
}

#[test]
fn an_event_that_a_reader_lacks_is_found_even_at_the_tail() {
    for index in 0..3 {
        let rules = broken(|channel| {
            bob(channel).remove(index);
        });
        assert!(rules.contains(&Rule::ReaderSeesAll), "{index}: {rules:?}");
    }
}

#[test]
fn an_event_that_comes_twice_is_found() {
    let rules = broken(|channel| {
        let again = bob(channel)[1].clone();
        bob(channel).insert(2, again);
    });
    assert_eq!(rules, BTreeSet::from([Rule::NothingTwice]));
}

#[test]
fn events_out_of_order_are_found() {
    let rules = broken(|channel| bob(channel).swap(1, 2));
    assert!(rules.contains(&Rule::InOrder));
}

#[test]
fn a_broken_chain_is_found() {
    let rules = broken(|channel| bob(channel)[2].prev = 4);
    assert_eq!(rules, BTreeSet::from([Rule::ChainIsWhole]));
}

#[test]
fn an_event_that_is_let_out_before_a_hole_is_closed_is_found() {
    let hole = BTreeSet::from([Rule::HoleIsClosed, Rule::ReaderSeesAll]);
    for index in 0..2 {
        let rules = broken(|channel| {
            bob(channel).remove(index);
        });
        assert_eq!(rules, hole, "{index}");
    }
    // Also when what was missing comes after all, or by a resume.
    let rules = broken(|channel| bob(channel).swap(1, 2));
    assert!(rules.contains(&Rule::HoleIsClosed), "{rules:?}");
    let rules = broken(|channel| {
        let late = bob(channel).remove(1);
        bob(channel).push(late);
    });
    assert!(rules.contains(&Rule::HoleIsClosed), "{rules:?}");
}

#[test]
fn what_is_gone_from_the_log_leaves_no_hole() {
    // The second message, and then the edit of it, which the third event and the deletion name.
    for index in [1, 5] {
        let rules = broken_in(revised_channel(), |channel| {
            bob(channel).remove(index);
        });
        assert_eq!(rules, BTreeSet::new(), "{index}");
    }
    // A 0 says nothing there.
    let rules = broken_in(revised_channel(), |channel| bob(channel)[2].prev = 0);
    assert_eq!(rules, BTreeSet::new());
}

#[test]
fn a_resume_from_behind_what_was_given_is_found_unless_nothing_is_left_between() {
    let resume_after = |after: u64| {
        broken_in(revised_channel(), |channel| {
            channel.readers.get_mut("cid").unwrap()[2].after = after;
        })
    };
    assert_eq!(resume_after(10), BTreeSet::from([Rule::ReaderSeesAll]));
    // The end of an empty page: cid was given the third event and no more, and 12 has been erased.
    let rules = broken_in(revised_channel(), |channel| {
        let cid = channel.readers.get_mut("cid").unwrap();
        let rest = cid[2].given.split_off(2);
        cid.push(Subscription { after: 12, given: rest, ..Subscription::default() });
    });
    assert_eq!(rules, BTreeSet::new());
}

#[test]
fn a_reader_with_another_text_is_found() {
    let rules = broken(|channel| {
        if let Content::Message(said) = &mut bob(channel)[1].content {
            "other".clone_into(&mut said.text);
        }
    });
    assert_eq!(rules, BTreeSet::from([Rule::SameForAll]));
}

#[test]
fn a_gap_in_history_is_found() {
    let rules = broken(|channel| {
        channel.history.remove(1);
    });
    assert_eq!(rules, BTreeSet::from([Rule::HistoryIsWhole]));
}

#[test]
fn a_gap_in_a_page_that_ticketing_asked_for_is_found() {
    let asked_for = |change: fn(&mut Vec<Given>)| {
        broken_in(revised_channel(), |channel| {
            let mut events = channel.history.clone();
            change(&mut events);
            channel.pages.push(events);
        })
    };
    let gap = asked_for(|page| _ = page.remove(2));
    assert_eq!(gap, BTreeSet::from([Rule::HistoryIsWhole]));
    // It may begin later, end earlier, and have what is deleted.
    for sound in [
        |page: &mut Vec<Given>| _ = page.remove(0),
        |page: &mut Vec<Given>| _ = page.pop(),
        |page: &mut Vec<Given>| page.insert(1, given(5, 3, "b")),
        |page: &mut Vec<Given>| page.clear(),
    ] {
        assert_eq!(asked_for(sound), BTreeSet::new());
    }
}

#[test]
fn a_wrong_unread_count_is_found() {
    let rules = broken(|channel| {
        channel.unread.insert("bob".to_owned(), (3, 1));
    });
    assert_eq!(rules, BTreeSet::from([Rule::UnreadIsExact]));
}

#[test]
fn a_sound_run_with_edits_and_deletions_breaks_no_rule() {
    assert_eq!(broken_in(revised_channel(), |_| {}), BTreeSet::new());
}

/// One rule that is broken by one change, and no other.
fn expect(rule: Rule, change: impl FnOnce(&mut Channel)) {
    assert_eq!(broken_in(revised_channel(), change), BTreeSet::from([rule]));
}

#[test]
fn an_acked_edit_or_deletion_that_is_not_stored_is_found() {
    expect(Rule::AckedIsStored, |channel| channel.revision_acks[0].seq = 9);
    expect(Rule::AckedIsStored, |channel| channel.revision_acks[2].seq = 14);
    // That the log lacks it may be, as long as its message was deleted after it.
    expect(Rule::AckedIsStored, |channel| channel.revision_acks[1].seq = 14);
}

#[test]
fn a_revision_that_a_reader_lacks_is_found() {
    for index in [3, 4, 6] {
        let rules = broken_in(revised_channel(), |channel| {
            bob(channel).remove(index);
        });
        assert!(rules.contains(&Rule::ReaderSeesAll), "{index}: {rules:?}");
    }
    // What was erased may be seen or not.
    let rules = broken_in(revised_channel(), |channel| {
        bob(channel).remove(5);
    });
    assert_eq!(rules, BTreeSet::new());
}

#[test]
fn a_revision_that_nobody_asked_for_is_found() {
    expect(Rule::NothingInvented, |channel| {
        channel.revisions.remove(0);
    });
    expect(Rule::SameForAll, |channel| {
        channel.revisions.remove(2);
        channel.revision_acks.remove(1);
    });
}

#[test]
fn an_edit_that_a_page_does_not_show_is_found() {
    expect(Rule::ShownAsEdited, |channel| edit(&mut channel.history[0], "once", 10));
    expect(Rule::ShownAsEdited, |channel| {
        let bob = &mut channel.readers.get_mut("bob").unwrap()[0];
        bob.looks[0].known = 11;
    });
    expect(Rule::SameForAll, |channel| edit(&mut channel.history[0], "never said", 11));
    expect(Rule::SameForAll, |channel| edit(&mut bob(channel)[0], "twice", 11));
}

#[test]
fn a_deleted_message_that_is_still_there_is_found() {
    let deleted = || given(5, 3, "b");
    let rules = broken_in(revised_channel(), |channel| channel.log.insert(1, deleted()));
    assert!(rules.contains(&Rule::DeletedIsGone));
    expect(Rule::DeletedIsGone, |channel| {
        channel.history.insert(1, page(vec![deleted()]).remove(0));
    });
    expect(Rule::DeletedIsGone, |channel| {
        let bob = &mut channel.readers.get_mut("bob").unwrap()[0];
        bob.looks[0].known = 13;
        edit(&mut bob.looks[0].events[0], "twice", 11);
    });
    expect(Rule::DeletedIsGone, |channel| channel.remains.push("text of b".to_owned()));
    let late = || revised(15, 13, "e3", 5, Some("in vain"));
    let rules = broken_in(revised_channel(), |channel| channel.log.push(late()));
    assert!(rules.contains(&Rule::DeletedIsGone));
}

#[test]
fn a_page_of_older_events_that_has_a_hole_is_found() {
    let look = |change: fn(&mut Look)| {
        expect(Rule::HistoryIsWhole, |channel| {
            change(&mut channel.readers.get_mut("bob").unwrap()[0].looks[0]);
        });
    };
    look(|look| _ = look.events.remove(0));
    look(|look| look.before = 10);
    look(|look| (look.events, look.more) = (Vec::new(), true));
    // What has been erased since may be missing.
    let rules = broken_in(revised_channel(), |channel| {
        let bob = &mut channel.readers.get_mut("bob").unwrap()[0];
        bob.looks[0].events.remove(1);
    });
    assert_eq!(rules, BTreeSet::new());
}

#[test]
fn a_refusal_without_a_reason_is_found() {
    expect(Rule::RefusedRightly, |channel| channel.revisions[5].refused = true);
    expect(Rule::RefusedRightly, |channel| channel.revisions[3].refused = true);
}
