//! Outboxes at real sockets.

use std::{
    collections::VecDeque,
    io::Read as _,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
    time::Duration,
};

use actix_web::rt::net::TcpListener;
use bytes::BytesMut;
use futures_util::FutureExt as _;
use tokio::{net::tcp::OwnedReadHalf, task::spawn_local};

use super::*;
use crate::socket::{
    budget::{Budget, Share},
    queue::CHUNK_BYTES,
};

/// An outbox that writes to a socket with little room, and both ends of the socket.
async fn connected(bytes_max: usize) -> (Rc<Outbox>, OwnedReadHalf, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    SockRef::from(&stream).set_send_buffer_size(4_096).unwrap();
    let (reader, writer) = stream.into_split();
    (Outbox::new(bytes_max, writer, &Rc::default()), reader, peer)
}

fn is_blocked(outbox: &Outbox) -> bool {
    outbox.inner.borrow().writer == Writer::Task
}

/// Everything that comes at the other end, read beside the writer.
async fn read_to_end(mut peer: std::net::TcpStream) -> Vec<u8> {
    let read = move || {
        let mut read = Vec::new();
        peer.read_to_end(&mut read).map(|_| read)
    };
    let read = actix_web::rt::task::spawn_blocking(read);
    tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap().unwrap()
}

#[actix_web::test]
async fn what_waits_together_leaves_together_and_then_the_close_frame() {
    let (outbox, _reader, peer) = connected(1_000).await;
    assert!(outbox.push(Bytes::from_static(b"ab")));
    assert!(outbox.push(Bytes::from_static(b"cd")));
    assert_eq!(outbox.bytes(), 4 + 2 * CHUNK_BYTES);
    outbox.write();
    assert_eq!(outbox.bytes(), 0);
    assert!(outbox.ended().now_or_never().is_none());
    outbox.close(Closing::Goodbye);
    assert!(!outbox.push(Bytes::from_static(b"x")));
    assert!(outbox.ended().now_or_never().is_some());
    outbox.finish().await;
    let expected = [b"abcd", &encode::close(1000, "")[..]].concat();
    assert_eq!(read_to_end(peer).await, expected);
}

#[actix_web::test]
async fn a_removed_member_is_told_of_which_channel_and_the_longest_name_fits() {
    let (outbox, _reader, peer) = connected(1_000).await;
    outbox.push(Bytes::from_static(b"left"));
    assert!(outbox.put_out(&ChannelName::parse(&"c".repeat(128)).unwrap()));
    assert!(!outbox.put_out(&ChannelName::parse("c").unwrap()));
    outbox.finish().await;
    let read = read_to_end(peer).await;
    assert_eq!(&read[..8], b"left\x88\x7d\x0f\xa1");
    assert_eq!(read.len(), 4 + 2 + 125);
}

#[actix_web::test]
async fn what_the_kernel_does_not_take_at_once_is_written_once_it_does() {
    let (outbox, _reader, peer) = connected(1 << 20).await;
    let mut due = Vec::new();
    while !is_blocked(&outbox) || outbox.bytes() < 90_000 {
        let chunk: Vec<u8> = (0..10_000).map(|_| fastrand::u8(..)).collect();
        due.extend_from_slice(&chunk);
        assert!(outbox.push(chunk.into()));
        outbox.write();
    }
    let task = {
        let outbox = Rc::clone(&outbox);
        spawn_local(async move {
            outbox.ended().await;
            outbox.finish().await;
        })
    };
    let read = actix_web::rt::spawn(read_to_end(peer));
    // The task writes on by itself; nobody flushes.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while outbox.bytes() > 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    outbox.push(Bytes::from_static(b"tail"));
    outbox.close(Closing::Draining);
    task.await.unwrap();
    due.extend_from_slice(b"tail");
    due.extend_from_slice(&encode::close(1001, Closing::Draining.reason()));
    assert!(read.await.unwrap() == due);
}

#[actix_web::test]
async fn a_reader_that_is_too_slow_is_told_to_resume_and_gets_no_frame_in_part() {
    let (outbox, _reader, peer) = connected(100_000).await;
    let frame = encode::text(&[b'x'; 10_000]);
    let mut pushed = 0;
    while outbox.push(frame.clone()) {
        pushed += 1;
        outbox.write();
    }
    assert!(pushed >= 10 && outbox.has_overflowed() && !outbox.is_open());
    let read = actix_web::rt::spawn(read_to_end(peer));
    outbox.finish().await;
    let read = read.await.unwrap();
    let close = encode::close(4000, Closing::TooSlow.reason());
    let frames = read.strip_suffix(&close[..]).unwrap();
    assert!(frames.len() < pushed * frame.len());
    assert!(frames.chunks(frame.len()).all(|one| one == frame));
}

#[actix_web::test]
async fn what_waits_is_counted_for_the_process_however_it_ends() {
    let budget = Budget::new(0, Arc::default());
    let flusher = Rc::new(Flusher::new(Share::of(&budget)));
    let page = || Bytes::from(vec![b'x'; 100_000]);
    let shared = Shared::new(BytesMut::from(&[b'y'; 10_000][..]));
    let endings: [fn(&Outbox); 4] =
        [|_| {}, Outbox::cut, Outbox::shed, |outbox| outbox.close(Closing::Goodbye)];
    for end in endings {
        let outboxes = [(); 2].map(|()| Outbox::with(1 << 20, None, &flusher));
        for outbox in &outboxes {
            assert!(outbox.push(page()) && outbox.push_shared(&shared));
        }
        let counted = budget.bytes();
        assert!((210_000..212_000).contains(&counted), "{counted} bytes are counted");
        for outbox in &outboxes {
            end(outbox);
        }
        // The flusher would let go of them after the next turn.
        flusher.forget();
        drop(outboxes);
        flusher.share.count(0, 100_000);
        flusher.share.count(100_000, 0);
        assert_eq!(budget.bytes(), 10_000, "what is shared is held by the test");
    }
    drop(shared);
    assert_eq!(budget.bytes(), 0);
}

#[actix_web::test]
async fn in_the_middle_of_a_page_there_is_no_place_for_a_close_frame() {
    for (size, is_told) in [(10_000, true), (4_000_000, false)] {
        let (outbox, _reader, _peer) = connected(8 << 20).await;
        while !is_blocked(&outbox) {
            assert!(outbox.push(Bytes::from(vec![b'x'; size])));
            outbox.write();
        }
        outbox.shed();
        assert!(outbox.has_overflowed() && !outbox.is_open());
        assert_eq!(outbox.is_cut(), !is_told, "{size}");
        assert!(outbox.bytes() < 2 * size.min(BEGUN_BYTES_KEPT));
    }
}

#[actix_web::test]
async fn nothing_is_written_once_it_is_cut() {
    let (outbox, reader, peer) = connected(1_000).await;
    outbox.push(Bytes::from_static(b"x"));
    outbox.cut();
    outbox.write();
    assert!(outbox.ended().now_or_never().is_some());
    outbox.finish().await;
    drop(reader);
    assert_eq!(read_to_end(peer).await, b"");
}

/// How long a machine that stalls may take for what needs no time.
const PATIENCE: Duration = Duration::from_secs(20);

#[actix_web::test]
async fn what_is_pushed_leaves_by_itself_and_a_ping_is_answered_until_the_close_frame() {
    let (outbox, _reader, peer) = connected(1_000).await;
    spawn_local(Rc::clone(&outbox.flusher).run());
    assert!(outbox.push(Bytes::from_static(b"one")));
    outbox.push_pong(b"hi");
    tokio::time::timeout(PATIENCE, outbox.flusher.flushed()).await.unwrap();
    assert_eq!(outbox.bytes(), 0);
    assert!(outbox.push(Bytes::from_static(b"two")));
    outbox.close(Closing::Goodbye);
    outbox.push_pong(b"late");
    outbox.finish().await;
    assert!(!outbox.has_overflowed());
    let (pong, close) = (encode::pong(b"hi"), encode::close(1000, ""));
    assert_eq!(read_to_end(peer).await, [&pong[..], b"onetwo", &close].concat());
}

#[actix_web::test]
async fn what_sockets_share_is_written_to_each() {
    let shared = Shared::new(BytesMut::from("to all"));
    for _ in 0..2 {
        let (outbox, _reader, peer) = connected(1_000).await;
        assert!(outbox.push_shared(&shared));
        outbox.finish().await;
        assert_eq!(read_to_end(peer).await, b"to all");
    }
}

#[actix_web::test]
async fn a_client_that_does_not_read_its_answers_gets_on_once_half_of_them_have_left() {
    let (outbox, _reader, peer) = connected(1 << 20).await;
    assert!(outbox.room().now_or_never().is_some());
    while !(is_blocked(&outbox) && outbox.bytes() > 600_000) {
        assert!(outbox.push(Bytes::from(vec![b'x'; 10_000])));
        outbox.write();
    }
    assert!(outbox.room().now_or_never().is_none());
    let written_on = async {
        tokio::select! {
            () = outbox.room() => true,
            () = outbox.ended() => false,
        }
    };
    let read = actix_web::rt::spawn(read_to_end(peer));
    // The socket's task waits for either, and writes on meanwhile.
    assert!(tokio::time::timeout(PATIENCE, written_on).await.unwrap());
    assert!(outbox.bytes() <= 1 << 19);
    outbox.finish().await;
    read.await.unwrap();
}

#[actix_web::test]
async fn when_far_too_much_waits_in_the_process_a_push_closes_who_has_more_than_its_share() {
    let budget = Budget::new(400_000, Arc::new(AtomicUsize::new(2)));
    let flusher = Rc::new(Flusher::new(Share::of(&budget)));
    let [large, small] = [(); 2].map(|()| Outbox::with(1 << 20, None, &flusher));
    assert!(large.push(Bytes::from(vec![b'x'; 400_000])));
    assert!(small.push(Bytes::from(vec![b'x'; 90_000])));
    assert!(small.push(Bytes::from_static(b"a share is 100,000 bytes")));
    assert!(!large.push(Bytes::from_static(b"one more")));
    assert!(large.has_overflowed() && !large.is_open());
    assert!(small.push(Bytes::from(vec![b'x'; 20_000])), "there is room again");
}

#[actix_web::test]
async fn an_interrupted_write_is_begun_again_one_without_room_waits_and_others_end_the_connection()
{
    let (outbox, _reader, _peer) = connected(1_000).await;
    assert!(outbox.push(Bytes::from_static(b"abc")));
    let outcomes = [Err(ErrorKind::Interrupted), Ok(1), Err(ErrorKind::WouldBlock)];
    let outcomes = RefCell::new(VecDeque::from(outcomes));
    let next = |_: &TcpStream, _: &Queue| {
        outcomes.borrow_mut().pop_front().unwrap().map_err(io::Error::from)
    };
    outbox.inner.borrow_mut().write_with(next);
    assert!(outcomes.borrow().is_empty());
    assert!(is_blocked(&outbox) && outbox.bytes() == 2 + CHUNK_BYTES);
    outcomes.borrow_mut().push_back(Err(ErrorKind::ConnectionReset));
    outbox.inner.borrow_mut().write_with(next);
    assert!(outbox.is_cut() && outbox.bytes() == 0);
}

#[actix_web::test]
async fn a_frame_that_is_begun_is_written_to_its_end_if_that_is_not_too_much() {
    let close = encode::close(4000, Closing::TooSlow.reason());
    let kept = BEGUN_BYTES_KEPT - close.len() - 2 * CHUNK_BYTES;
    for (rest, is_cut) in [(kept, false), (kept + 1, true)] {
        let (outbox, _reader, _peer) = connected(1 << 20).await;
        assert!(outbox.push(Bytes::from(vec![b'x'; rest + 1])));
        let outcomes = RefCell::new(VecDeque::from([Ok(1), Err(ErrorKind::WouldBlock)]));
        outbox
            .inner
            .borrow_mut()
            .write_with(|_, _| outcomes.borrow_mut().pop_front().unwrap().map_err(io::Error::from));
        outbox.shed();
        assert_eq!(outbox.is_cut(), is_cut, "{rest}");
        assert!(outbox.has_overflowed());
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[actix_web::test]
async fn a_socket_for_which_nothing_waits_costs_its_task_no_turn() {
    let (outbox, _reader, _peer) = connected(1_000).await;
    poll_fn(|context| {
        let inner = outbox.inner.borrow();
        inner.stream.as_ref().unwrap().as_ref().poll_write_ready(context)
    })
    .await
    .unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut ended = pin!(outbox.ended());
    assert!(ended.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    // The runtime wakes who has used up a turn when others have had theirs.
    tokio::task::yield_now().await;
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    outbox.close(Closing::Goodbye);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
}
