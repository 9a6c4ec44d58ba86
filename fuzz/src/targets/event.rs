//! An event of the log, as any service might have published it.

use goch_contract::{
    Seq,
    event::{Event, Logged, Revision, is_trusted, write_positioned},
    frame::{Signal, history_json},
};
use serde_json::value::RawValue;

pub(crate) fn run(input: &[u8]) {
    let (seq, prev) = (Seq(u64::MAX), Seq(7));
    let mut frame = b"before".to_vec();
    let written = write_positioned(&mut frame, input, seq, prev);
    if written.is_err() {
        assert_eq!(frame, b"before", "what is refused leaves nothing behind");
    } else if is_trusted(input) {
        check_frame(&frame[6..]);
    }
    if Revision::of_event(seq, input).is_some() {
        assert!(is_json(input), "what is not an event edits and deletes nothing");
    }
    if let Ok(event) = serde_json::from_slice::<Event>(input) {
        let payload = event.to_payload();
        assert!(is_trusted(&payload), "what a service publishes, a gateway passes on");
        assert_eq!(Revision::of_event(seq, &payload), revision(seq, &event));
        let mut frame = Vec::new();
        assert!(write_positioned(&mut frame, &payload, seq, prev).is_ok());
        assert_eq!(serde_json::from_slice::<Event>(&payload).ok(), Some(event));
    }
    if let Ok(signal) = serde_json::from_slice::<Signal>(input) {
        assert_eq!(serde_json::from_slice::<Signal>(&signal.to_json()).ok(), Some(signal));
    }
    if let Ok(logged) = serde_json::from_slice::<Logged>(input) {
        let channel = goch_contract::ChannelName::parse("c");
        let messages: Vec<_> = logged.positioned().into_iter().collect();
        assert!(
            channel.is_ok_and(|channel| is_json(&history_json(None, &channel, &messages, false)))
        );
    }
}

/// What an event that was parsed whole edits or deletes.
fn revision(seq: Seq, event: &Event) -> Option<Revision> {
    let (message, deletes) = match event {
        Event::Edited(edited) => (edited.message, false),
        Event::Deleted(deleted) => (deleted.message, true),
        _ => return None,
    };
    Some(Revision { seq, message, deletes })
}

/// What sockets are given is one JSON object that ends with the event's place.
fn check_frame(frame: &[u8]) {
    #[derive(serde::Deserialize)]
    struct Head {
        #[serde(rename = "type")]
        _kind: String,
    }
    assert!(is_json(frame), "a trusted event became something that is not JSON");
    assert!(serde_json::from_slice::<Head>(frame).is_ok());
    assert!(frame.ends_with(b",\"seq\":18446744073709551615,\"prev\":7}"));
}

fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<&RawValue>(text).is_ok())
}
