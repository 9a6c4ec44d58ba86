//! Names, and the subjects and keys that are made of them.

use goch_contract::{
    ChannelName, MembershipId, MessageId,
    event::{Sender, deduplication_id},
    limits::Limits,
    subjects::Subjects,
};

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let subjects = Subjects::default();
    if let Some(channel) = subjects.channel_of_log(text) {
        assert_eq!(subjects.log(&channel), text, "a subject has one channel");
    }
    if let Ok(channel) = ChannelName::parse(text) {
        for subject in [subjects.log(&channel), subjects.live(&channel), subjects.signal(&channel)]
        {
            assert_eq!(subject.split('.').count(), 3);
            assert!(subject.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(!subject.contains(['*', '>', '{', '}']));
        }
        assert_eq!(subjects.channel_of_log(&subjects.log(&channel)), Some(channel));
    }
    if let Ok(other) = Subjects::new(text) {
        assert!(!other.log_of_all().starts_with('.') && other.log_of_all().ends_with(".log.*"));
    }
    if let Ok(id) = MessageId::parse(text) {
        assert!(id.as_str().chars().count() <= 64 && !id.as_str().contains(['\r', '\n', '\0']));
    }
    check_deduplication(text);
    for refused in [
        Limits::default().parse_channel("channel", text).err(),
        Limits::default().parse_uid("uid", text).err(),
        Limits::parse_message_id("id", text).err(),
    ] {
        refused.iter().for_each(super::check_refusal);
    }
}

/// A deduplication id can be taken apart in one way only, whatever the message's id is.
fn check_deduplication(text: &str) {
    let mut parts = text.splitn(3, '/');
    let (Some(channel), Some(membership), Some(id)) = (parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    let (Ok(channel), Ok(membership), Ok(id)) =
        (ChannelName::parse(channel), MembershipId::parse(membership), MessageId::parse(id))
    else {
        return;
    };
    let expected = format!("{}/{membership}/{id}", channel.token());
    assert_eq!(deduplication_id(&channel, Sender::Member(&membership), id.as_str()), expected);
    assert!(!channel.token().contains('/'));
}
