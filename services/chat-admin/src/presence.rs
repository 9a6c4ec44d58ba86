//! Who is online: asked of all gateways that have a socket in the channel.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use async_nats::{Client, Message, StatusCode, connection::State};
use futures_util::StreamExt as _;
use goch_contract::{
    ChannelName, Error, Role, Uid,
    presence::{OnlineMember, PresenceReport, PresenceSignal},
    subjects::Subjects,
};
use tokio::time::{Instant, timeout_at};

/// How long answers are waited for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// How long after an answer another one is waited for: they set out together.
const NEXT_ANSWER_WITHIN: Duration = Duration::from_millis(200);

/// Asks the gateways. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Presence {
    client: Client,
    subjects: Subjects,
}

impl Presence {
    pub(crate) fn new(client: Client, subjects: Subjects) -> Self {
        Self { client, subjects }
    }

    /// The members online in a channel, by uid, and whether there are more than gateways list.
    ///
    /// # Errors
    /// `unavailable` while NATS is away.
    pub(crate) async fn online(
        &self,
        channel: &ChannelName,
    ) -> Result<(Vec<OnlineMember>, bool), Error> {
        let deadline = Instant::now() + ANSWERS_WITHIN;
        let away = || Error::unavailable("the message broker is away");
        if self.client.connection_state() != State::Connected {
            return Err(away());
        }
        let inbox = self.client.new_inbox();
        let subject = self.subjects.signal(channel);
        let ask = async {
            let answers = self.client.subscribe(inbox.clone()).await.map_err(|_| away())?;
            let query = PresenceSignal::Query.to_payload().into();
            let asked = self.client.publish_with_reply(subject, inbox, query).await;
            asked.map(|()| answers).map_err(|_| away())
        };
        let mut answers = timeout_at(deadline, ask).await.map_err(|_| away())??;
        let mut reports = HashMap::new();
        let mut until = deadline;
        while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
            // Nobody has the channel open.
            if answer.status == Some(StatusCode::NO_RESPONDERS) {
                break;
            }
            if let Some(report) = parse(&answer) {
                reports.insert(report.origin, report);
                until = deadline.min(Instant::now() + NEXT_ANSWER_WITHIN);
            }
        }
        let more = reports.values().any(|report| report.more);
        let members = reports.into_values().flat_map(|report| report.members);
        let online: BTreeMap<Uid, Role> = members.map(|member| (member.uid, member.role)).collect();
        let online = online.into_iter().map(|(uid, role)| OnlineMember { uid, role });
        Ok((online.collect(), more))
    }
}

fn parse(answer: &Message) -> Option<PresenceReport> {
    match serde_json::from_slice(&answer.payload) {
        Ok(PresenceSignal::Report(report)) => Some(report),
        _ => None,
    }
}
