//! What could not be delivered, as it is listed and tried again.

use goch_contract::{
    Error, ErrorCode, Seq,
    limits::PAGE_MAX,
    services::webhooks::{DeadLetters, ReplayDeadLetters},
    webhook::{DeadLettersBody, ReplayBody},
};

use super::{
    Webhooks,
    bucket::Entry,
    record::{DeadRecord, Lane, key, parse_dead_key, parse_letter_id},
};

/// Dead letters that are marked for replay in one request.
const REPLAYS_MAX: usize = 500;

impl Webhooks {
    /// A page of a webhook's dead letters. The bucket has them in the order in which they failed, so all
    /// are looked at for it.
    ///
    /// # Errors
    /// `not_found`; `bad_request`; `unavailable`.
    pub(crate) async fn dead_letters(
        &self,
        request: DeadLetters,
    ) -> Result<DeadLettersBody, Error> {
        let DeadLetters { webhook: id, tenant, after, limit } = request;
        let after = after.as_deref().map(place).transpose()?;
        let limit = usize::try_from(limit.min(PAGE_MAX)).unwrap_or_default();
        self.webhook_of(tenant.as_ref(), &id).await?;
        let pick = |entry: Entry| {
            let (lane, seq) = parse_dead_key(&entry.key)?;
            let is_after = after.is_none_or(|after| (seq, lane) > after);
            is_after.then_some(((seq, lane), (lane, entry)))
        };
        // One more tells whether there are more.
        let entries = self.dead.first(&format!("{id}.*.*"), limit + 1, pick).await?;
        let more = entries.len() > limit;
        let letters = entries.into_iter().take(limit).filter_map(|(lane, entry)| {
            Some(self.dead.parse(&entry.key, &entry.value).ok()?.public(lane))
        });
        Ok(DeadLettersBody { dead_letters: letters.collect(), more })
    }

    /// Has dead letters tried again.
    ///
    /// # Errors
    /// `not_found`; `conflict` while the webhook is disabled; `unavailable`.
    pub(crate) async fn replay_dead_letters(
        &self,
        request: ReplayDeadLetters,
    ) -> Result<ReplayBody, Error> {
        let webhook = self.webhook_of(request.tenant.as_ref(), &request.webhook).await?;
        if webhook.record.disabled_reason.is_some() {
            return Err(Error::new(
                ErrorCode::Conflict,
                "the webhook is disabled; enable it first",
            ));
        }
        let id = &request.webhook;
        let replay = if let Some(letter) = &request.id {
            let (lane, seq) = parse_letter_id(letter).ok_or_else(no_letter)?;
            let key = key::dead(id, lane, seq);
            let stored = self.dead.get(&key).await?.ok_or_else(no_letter)?;
            self.mark_for_replay(&key, stored.record).await?;
            ReplayBody { replaying: 1, more: false }
        } else {
            self.mark_all_for_replay(id).await?
        };
        self.update(id, |record| {
            record.replays += 1;
            true
        })
        .await?;
        Ok(replay)
    }

    /// Marks those that are not marked yet, the first by sequence.
    async fn mark_all_for_replay(&self, id: &str) -> Result<ReplayBody, Error> {
        let pick = |entry: Entry| {
            let (lane, seq) = parse_dead_key(&entry.key)?;
            let record = self.dead.parse(&entry.key, &entry.value).ok()?;
            (!record.replay).then_some(((seq, lane), (entry.key, record)))
        };
        // One more tells whether there are more.
        let mut letters = self.dead.first(&format!("{id}.*.*"), REPLAYS_MAX + 1, pick).await?;
        let more = letters.len() > REPLAYS_MAX;
        letters.truncate(REPLAYS_MAX);
        let replaying = letters.len();
        for (key, record) in letters {
            self.mark_for_replay(&key, record).await?;
        }
        Ok(ReplayBody { replaying, more })
    }

    async fn mark_for_replay(&self, key: &str, record: DeadRecord) -> Result<(), Error> {
        self.dead.put(key, &DeadRecord { replay: true, ..record }).await
    }
}

/// Where the dead letter of an id stands among the others.
fn place(id: &str) -> Result<(Seq, Lane), Error> {
    let letter = parse_letter_id(id).map(|(lane, seq)| (seq, lane));
    letter.ok_or_else(|| Error::bad_request("after", "after must be the id of a dead letter"))
}

fn no_letter() -> Error {
    Error::of_field(ErrorCode::NotFound, "letter", "there is no dead letter of this id")
}
