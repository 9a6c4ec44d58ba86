//! What was said in each channel, and what each socket has got of it.
//!
//! Every socket must get every message of its channel once, in order, and not a byte may differ.
//! The first copy of a message is taken apart and compared with what was said; all others are
//! compared with the first.

use std::{collections::VecDeque, time::Instant};

use hdrhistogram::Histogram;

use crate::{
    client::{
        Dialect, Seat, Sockets,
        dialect::{Ack, Delivered, Incoming, text},
        frames::{Opcode, append_masked},
        greeting::Subscribed,
        sockets::Handler,
    },
    error::{Error, Result},
};

/// A message that not everybody has got yet.
struct Message {
    /// As it is delivered; empty until that is known.
    payload: Vec<u8>,
    /// Sockets that have yet to get it.
    missing: usize,
    is_acked: bool,
    /// Its sequence, once it is known.
    seq: Option<u64>,
    /// When it was due to be said.
    due: Instant,
}

struct Room {
    channel: String,
    /// The sockets that sit in it; the first one speaks.
    sockets: Vec<usize>,
    messages: VecDeque<Message>,
    /// The index of the first of `messages`.
    base: u32,
    /// The sequence of the latest message that was delivered; nothing where it is not known.
    last_seq: Option<u64>,
}

/// A socket's place: its room, and the index of the message it gets next.
#[derive(Clone, Copy)]
struct Place {
    room: usize,
    next: u32,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Messages said.
    pub said: u64,
    /// Messages that all of their readers have got.
    pub completed: u64,
    /// Messages got, by all sockets.
    pub deliveries: u64,
    /// Messages acknowledged.
    pub acks: u64,
}

/// Microseconds from when a message was due to be said until it arrived.
pub struct Latencies {
    /// To each reader.
    pub delivery: Histogram<u64>,
    /// To the sender's acknowledgement.
    pub ack: Histogram<u64>,
}

/// See the module.
pub struct Rooms {
    dialect: Dialect,
    /// What begins each message's id, so that two runs in one channel do not share ids.
    run: String,
    all: Vec<Room>,
    places: Vec<Place>,
    spare: Vec<Vec<u8>>,
    /// Rooms in which a message was completed, and in which one was acknowledged, since this was
    /// last emptied.
    pub completed: Vec<usize>,
    /// See `completed`.
    pub acked: Vec<usize>,
    /// The count of everything.
    pub tally: Tally,
    /// Filled where it is there.
    pub latencies: Option<Latencies>,
}

impl Rooms {
    /// The rooms of joined sockets. `answers` are what Goch said when they joined.
    #[must_use]
    pub fn new(dialect: Dialect, seats: &[Seat], answers: &[Subscribed]) -> Self {
        let mut rooms: Vec<Room> = Vec::new();
        let mut places = Vec::with_capacity(seats.len());
        let mut numbers = std::collections::HashMap::new();
        for (socket, seat) in seats.iter().enumerate() {
            let room = *numbers.entry(seat.channel.as_str()).or_insert_with(|| {
                rooms.push(Room {
                    channel: seat.channel.clone(),
                    sockets: Vec::new(),
                    messages: VecDeque::new(),
                    base: 0,
                    last_seq: None,
                });
                rooms.len() - 1
            });
            rooms[room].sockets.push(socket);
            let known = answers.get(socket).map(|answer| answer.last_seq).filter(|seq| *seq > 0);
            rooms[room].last_seq = rooms[room].last_seq.max(known);
            places.push(Place { room, next: 0 });
        }
        Self {
            dialect,
            run: format!("{:08x}", fastrand::u32(..)),
            all: rooms,
            places,
            spare: Vec::new(),
            completed: Vec::new(),
            acked: Vec::new(),
            tally: Tally::default(),
            latencies: None,
        }
    }

    /// How many rooms there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether everybody has got everything, acknowledgements included.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.all.iter().all(|room| room.messages.is_empty())
    }

    /// The sequence of the latest message in a socket's room.
    #[must_use]
    pub fn last_seq_of(&self, socket: usize) -> Option<u64> {
        self.all[self.places[socket].room].last_seq
    }

    /// Says the next message of a room, which was due at `due`.
    pub fn say(&mut self, room: usize, due: Instant, sockets: &mut Sockets) {
        let (dialect, run) = (self.dialect, &self.run);
        let room = &mut self.all[room];
        let index = room.base + u32::try_from(room.messages.len()).unwrap_or(u32::MAX);
        let mut known = None;
        sockets.say(room.sockets[0], |outgoing| {
            known = dialect.send(outgoing, &room.channel, &id(run, index), index);
        });
        room.messages.push_back(Message {
            payload: known.or_else(|| self.spare.pop()).unwrap_or_default(),
            missing: room.sockets.len(),
            is_acked: dialect != Dialect::Goch,
            seq: None,
            due,
        });
        self.tally.said += 1;
    }

    fn deliver(&mut self, socket: usize, payload: &[u8]) -> Result<()> {
        let Place { room: number, next } = self.places[socket];
        let room = &mut self.all[number];
        let Some(message) = room.messages.get_mut((next - room.base) as usize) else {
            return Err(Error::wrong(format!("socket {socket} got a message nobody said")));
        };
        if message.payload.is_empty() {
            let delivered = check(&room.channel, &self.run, next, payload)?;
            if room.last_seq.is_some_and(|last| last != delivered.prev || last >= delivered.seq)
                || message.seq.is_some_and(|seq| seq != delivered.seq)
            {
                return Err(out_of_place(&room.channel, room.last_seq, &delivered));
            }
            room.last_seq = Some(delivered.seq);
            message.seq = Some(delivered.seq);
            message.payload.extend_from_slice(payload);
        } else if message.payload != payload {
            return Err(Error::wrong(format!(
                "socket {socket} got {} instead of {}",
                String::from_utf8_lossy(payload),
                String::from_utf8_lossy(&message.payload)
            )));
        }
        if let Some(latencies) = &mut self.latencies {
            latencies.delivery.saturating_record(micros_since(message.due));
        }
        self.places[socket].next += 1;
        self.tally.deliveries += 1;
        message.missing -= 1;
        if message.missing == 0 {
            self.tally.completed += 1;
            self.completed.push(number);
            self.forget(number);
        }
        Ok(())
    }

    fn acknowledge(&mut self, socket: usize, ack: &Ack<'_>) -> Result<()> {
        let number = self.places[socket].room;
        let room = &mut self.all[number];
        let index = index_of(&self.run, ack.id);
        let message = index
            .and_then(|index| index.checked_sub(room.base))
            .and_then(|place| room.messages.get_mut(place as usize))
            .filter(|message| !message.is_acked && !ack.duplicate)
            .filter(|message| message.seq.is_none_or(|seq| seq == ack.seq))
            .ok_or_else(|| Error::wrong(format!("an ack that was not due: {ack:?}")))?;
        message.is_acked = true;
        message.seq = Some(ack.seq);
        if let Some(latencies) = &mut self.latencies {
            latencies.ack.saturating_record(micros_since(message.due));
        }
        self.tally.acks += 1;
        self.acked.push(number);
        self.forget(number);
        Ok(())
    }

    /// Forgets messages about which nothing more will come.
    fn forget(&mut self, room: usize) {
        let room = &mut self.all[room];
        while let Some(message) =
            room.messages.pop_front_if(|message| message.missing == 0 && message.is_acked)
        {
            room.base += 1;
            if self.dialect == Dialect::Goch && self.spare.len() < 1_024 {
                let mut payload = message.payload;
                payload.clear();
                self.spare.push(payload);
            }
        }
    }
}

impl Handler for Rooms {
    fn upgraded(&mut self, socket: usize, _: &mut Vec<u8>) -> Result<()> {
        Err(Error::wrong(format!("socket {socket} shook hands twice")))
    }

    fn text(&mut self, socket: usize, payload: &[u8], reply: &mut Vec<u8>) -> Result<()> {
        match self.dialect.classify(payload)? {
            Incoming::Delivery(payload) => self.deliver(socket, payload),
            Incoming::Ack(ack) => self.acknowledge(socket, &ack),
            Incoming::Echo(echo) => {
                append_masked(reply, Opcode::Text, echo);
                Ok(())
            }
            Incoming::Other => Ok(()),
            Incoming::Answer(_) => Err(Error::wrong("an answer to nothing")),
        }
    }
}

fn id(run: &str, index: u32) -> String {
    format!("{run}-{index}")
}

fn index_of(run: &str, id: &str) -> Option<u32> {
    id.strip_prefix(run)?.strip_prefix('-')?.parse().ok()
}

fn micros_since(moment: Instant) -> u64 {
    u64::try_from(moment.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Takes a message apart and compares it with what was said.
fn check<'a>(channel: &str, run: &str, index: u32, payload: &'a [u8]) -> Result<Delivered<'a>> {
    let delivered: Option<Delivered<'_>> = serde_json::from_slice(payload).ok();
    delivered
        .filter(|delivered| {
            delivered.channel == channel
                && index_of(run, delivered.id) == Some(index)
                && delivered.text == text(channel, index)
        })
        .ok_or_else(|| {
            let payload = String::from_utf8_lossy(payload);
            Error::wrong(format!("message {index} of {channel} was due and this came: {payload}"))
        })
}

fn out_of_place(channel: &str, last: Option<u64>, delivered: &Delivered<'_>) -> Error {
    let Delivered { seq, prev, .. } = delivered;
    Error::wrong(format!("in {channel}, after {last:?}, a message at {seq} after {prev}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(channel: &str) -> Seat {
        Seat { channel: channel.to_owned(), uid: "u".into(), secret: String::new(), after: None }
    }

    /// Two readers of a plain server, to whom two messages were said.
    fn rooms() -> (Rooms, [Vec<u8>; 2]) {
        let mut rooms = Rooms::new(Dialect::Plain, &[seat("c"), seat("c")], &[]);
        let payloads = [0, 1].map(|index| {
            let id = id(&rooms.run, index);
            let payload = Dialect::Plain.send(&mut Vec::new(), "c", &id, index).unwrap();
            rooms.all[0].messages.push_back(Message {
                payload: payload.clone(),
                missing: 2,
                is_acked: true,
                seq: None,
                due: Instant::now(),
            });
            payload
        });
        (rooms, payloads)
    }

    #[test]
    fn what_everybody_got_in_order_is_complete() {
        let (mut rooms, [first, second]) = rooms();
        for socket in [0, 1] {
            rooms.deliver(socket, &first).unwrap();
            rooms.deliver(socket, &second).unwrap();
        }
        assert_eq!((rooms.tally.completed, rooms.tally.deliveries), (2, 4));
        assert!(rooms.is_settled());
    }

    #[test]
    fn a_delivery_that_is_late_doubled_or_changed_ends_the_run() {
        let (mut rooms, [first, second]) = rooms();
        assert!(rooms.deliver(0, &second).is_err());
        rooms.deliver(0, &first).unwrap();
        assert!(rooms.deliver(0, &first).is_err());
        let mut changed = second.clone();
        changed[120] ^= 1;
        assert!(rooms.deliver(0, &changed).is_err());
        rooms.deliver(0, &second).unwrap();
        assert!(rooms.deliver(0, &second).is_err());
        assert!(!rooms.is_settled());
    }

    fn goch_frame(run: &str, index: u32, seq: u64, prev: u64) -> Vec<u8> {
        let (id, text) = (id(run, index), text("c", index));
        format!(
            r#"{{"type":"message","channel":"c","time":1,"id":"{id}","from_uid":"u","from_name":"U","text":"{text}","seq":{seq},"prev":{prev}}}"#
        )
        .into_bytes()
    }

    /// A reader of Goch who knows of sequence 5, to whom two messages were said.
    fn goch_rooms() -> Rooms {
        let answer = Subscribed { last_seq: 5, ..Subscribed::default() };
        let mut rooms = Rooms::new(Dialect::Goch, &[seat("c")], &[answer]);
        for _ in 0..2 {
            rooms.all[0].messages.push_back(Message {
                payload: Vec::new(),
                missing: 1,
                is_acked: false,
                seq: None,
                due: Instant::now(),
            });
        }
        rooms
    }

    #[test]
    fn a_hole_or_another_text_in_goch_ends_the_run() {
        let mut rooms = goch_rooms();
        let run = rooms.run.clone();
        assert!(rooms.deliver(0, &goch_frame(&run, 0, 7, 6)).is_err());
        assert!(rooms.deliver(0, &goch_frame(&run, 1, 7, 5)).is_err());
        assert!(rooms.deliver(0, &goch_frame("other", 0, 7, 5)).is_err());
        rooms.deliver(0, &goch_frame(&run, 0, 7, 5)).unwrap();
        rooms.deliver(0, &goch_frame(&run, 1, 9, 7)).unwrap();
        assert_eq!(rooms.last_seq_of(0), Some(9));
    }

    #[test]
    fn an_ack_counts_once_and_only_with_the_sequence_of_the_delivery() {
        let mut rooms = goch_rooms();
        let run = rooms.run.clone();
        rooms.deliver(0, &goch_frame(&run, 0, 7, 5)).unwrap();
        let id = id(&run, 0);
        let ack = |seq, duplicate| Ack { id: &id, seq, duplicate };
        assert!(rooms.acknowledge(0, &ack(8, false)).is_err());
        assert!(rooms.acknowledge(0, &ack(7, true)).is_err());
        rooms.acknowledge(0, &ack(7, false)).unwrap();
        assert!(rooms.acknowledge(0, &ack(7, false)).is_err());
        assert_eq!((rooms.tally.acks, rooms.all[0].base), (1, 1));
    }
}
