//! The tickets, and what was heard of their channels. In memory: a product has a database.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{failure::Failure, webhooks::Event};

/// Tickets that are kept.
const TICKETS_MAX: usize = 1_000;

/// People of a ticket.
const PEOPLE_MAX: usize = 50;

/// Messages and e-mails that are kept of a ticket.
const HEARD_MAX: usize = 500;

/// Ids of webhooks that are remembered. Goch repeats what is not accepted over a day and a half: a
/// product remembers them for longer than that.
const IDS_MAX: usize = 10_000;

/// How a ticket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Its channel takes messages.
    Open,
    /// Its channel is closed.
    Solved,
}

/// A ticket.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ticket {
    pub(crate) id: u64,
    pub(crate) subject: String,
    pub(crate) status: Status,
    pub(crate) channel: String,
    /// Who takes part, by uid.
    pub(crate) people: BTreeMap<String, Person>,
    /// What was said, heard by webhook.
    pub(crate) messages: Vec<Message>,
    /// Who would have been written an e-mail.
    pub(crate) emails: Vec<Email>,
    /// Whether Goch has told that the channel is closed.
    pub(crate) closed: bool,
    /// Everything that happened, once the ticket is solved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transcript: Option<Value>,
}

/// The customer of a ticket, or an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) role: Role,
}

/// How others see somebody.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// A customer.
    Member,
    /// Who answers.
    Agent,
}

/// A message of a channel.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Message {
    pub(crate) seq: u64,
    pub(crate) from: String,
    pub(crate) text: String,
}

/// Somebody who has not read for some time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Email {
    pub(crate) to: Option<String>,
    pub(crate) name: String,
    pub(crate) unread: u64,
}

/// All tickets.
pub(crate) struct Tickets {
    kept: Mutex<Kept>,
}

struct Kept {
    next_id: u64,
    tickets: BTreeMap<u64, Ticket>,
    /// Ids of webhooks, and in the order in which they came.
    ids: HashSet<String>,
    order: VecDeque<String>,
}

/// The name of a ticket's channel.
pub(crate) fn channel_of(id: u64) -> String {
    format!("ticket-{id}")
}

impl Tickets {
    /// No tickets yet.
    pub(crate) fn new() -> Self {
        // Channels outlive this program, so their names must not come again. A product has its
        // tickets' own ids.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = Kept {
            next_id: u64::try_from(since_epoch.as_millis()).unwrap_or_default(),
            tickets: BTreeMap::new(),
            ids: HashSet::new(),
            order: VecDeque::new(),
        };
        Self { kept: Mutex::new(kept) }
    }

    /// An id for a new ticket.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn new_id(&self) -> Result<u64, Failure> {
        let mut kept = self.kept();
        if kept.tickets.len() >= TICKETS_MAX {
            return Err(Failure::Full);
        }
        kept.next_id += 1;
        Ok(kept.next_id)
    }

    /// Keeps a ticket whose channel is there.
    pub(crate) fn open(&self, id: u64, subject: String) -> Ticket {
        let ticket = Ticket {
            id,
            subject,
            status: Status::Open,
            channel: channel_of(id),
            people: BTreeMap::new(),
            messages: Vec::new(),
            emails: Vec::new(),
            closed: false,
            transcript: None,
        };
        self.kept().tickets.insert(id, ticket.clone());
        ticket
    }

    /// A ticket.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn show(&self, id: u64) -> Result<Ticket, Failure> {
        self.kept().tickets.get(&id).cloned().ok_or(Failure::NoTicket)
    }

    /// Keeps somebody who has been put into a ticket's channel.
    ///
    /// # Errors
    /// When there is no such ticket, or too many people in it.
    pub(crate) fn put_in(&self, id: u64, uid: String, person: Person) -> Result<Ticket, Failure> {
        let mut kept = self.kept();
        let ticket = kept.tickets.get_mut(&id).ok_or(Failure::NoTicket)?;
        if ticket.people.len() >= PEOPLE_MAX && !ticket.people.contains_key(&uid) {
            return Err(Failure::Full);
        }
        ticket.people.insert(uid, person);
        Ok(ticket.clone())
    }

    /// Somebody's name.
    ///
    /// # Errors
    /// When there is no such ticket, or nobody of this uid in it.
    pub(crate) fn name_of(&self, id: u64, uid: &str) -> Result<String, Failure> {
        let kept = self.kept();
        let ticket = kept.tickets.get(&id).ok_or(Failure::NoTicket)?;
        ticket.people.get(uid).map(|person| person.name.clone()).ok_or(Failure::NoPerson)
    }

    /// Keeps that a ticket is solved, with everything that was said.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn solve(&self, id: u64, transcript: Value) -> Result<Ticket, Failure> {
        let mut kept = self.kept();
        let ticket = kept.tickets.get_mut(&id).ok_or(Failure::NoTicket)?;
        ticket.status = Status::Solved;
        ticket.transcript = Some(transcript);
        Ok(ticket.clone())
    }

    /// Takes an event in, once: Goch repeats what it does not know to be accepted. A product marks
    /// the id and does the work in one transaction.
    pub(crate) fn hear(&self, webhook_id: &str, event: Event) {
        let mut kept = self.kept();
        if !kept.ids.insert(webhook_id.to_owned()) {
            return;
        }
        kept.order.push_back(webhook_id.to_owned());
        if kept.order.len() > IDS_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.ids.remove(&oldest);
        }
        // Other channels and later types of events are none of our business.
        let id = event.channel().and_then(|channel| channel.strip_prefix("ticket-")?.parse().ok());
        let Some(ticket) = id.and_then(|id: u64| kept.tickets.get_mut(&id)) else { return };
        match event {
            Event::Message { seq, from_name, text, .. } => {
                if ticket.messages.len() < HEARD_MAX {
                    ticket.messages.push(Message { seq, from: from_name, text });
                }
            }
            Event::Unread { display_name, email, unread, .. } => {
                tracing::info!(ticket = ticket.id, unread, "would e-mail a member");
                if ticket.emails.len() < HEARD_MAX {
                    ticket.emails.push(Email { to: email, name: display_name, unread });
                }
            }
            Event::Closed { .. } => ticket.closed = true,
            Event::Other => {}
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What a panic left behind is still the best that is known.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_delivery_counts_once_and_strangers_channels_not_at_all() {
        let tickets = Tickets::new();
        let id = tickets.new_id().unwrap();
        let ticket = tickets.open(id, "It is broken".to_owned());
        let said = |channel: &str| Event::Message {
            channel: channel.to_owned(),
            seq: 7,
            from_name: "Ann".to_owned(),
            text: "Hello".to_owned(),
        };
        for (webhook_id, channel) in [
            ("1-7", &*ticket.channel),
            ("1-7", &ticket.channel),
            ("1-8", "demo"),
            ("1-9", "ticket-0"),
        ] {
            tickets.hear(webhook_id, said(channel));
        }
        assert_eq!(tickets.show(id).unwrap().messages.len(), 1);
        tickets.hear("1-10", said(&ticket.channel));
        assert_eq!(tickets.show(id).unwrap().messages.len(), 2);
    }
}
