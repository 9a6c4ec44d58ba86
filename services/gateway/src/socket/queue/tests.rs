//! What leaves a queue, and what it costs.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Push(Vec<u8>),
    /// Writes so many bytes of the slices that are offered.
    Write(usize),
    DropUnbegun,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 1..40).prop_map(Step::Push),
        6 => (0_usize..100).prop_map(Step::Write),
        1 => Just(Step::DropUnbegun),
    ]
}

/// Writes up to `count` bytes of what the queue offers in one call.
fn write(queue: &mut Queue, count: usize, written: &mut Vec<u8>) {
    queue.place_pong();
    let mut slices = [IoSlice::new(&[]); 4];
    let offered = queue.slices(&mut slices);
    let offered: Vec<u8> = slices[..offered].iter().flat_map(|slice| slice.to_vec()).collect();
    let count = count.min(offered.len());
    written.extend_from_slice(&offered[..count]);
    queue.advance(count);
}

#[test]
fn of_pongs_only_the_latest_is_kept_and_it_leaves_between_two_frames() {
    let mut queue = Queue::new(10_000);
    let mut written = Vec::new();
    queue.push(Bytes::from_static(b"first"));
    queue.push(Bytes::from_static(b"second"));
    write(&mut queue, 2, &mut written);
    let cost = queue.cost();
    for number in 0..1_000 {
        queue.push_pong(format!("<pong {number}>").into());
        // The kernel takes nothing.
        write(&mut queue, 0, &mut written);
    }
    assert_eq!(queue.cost(), cost);
    write(&mut queue, 3, &mut written);
    for number in 1_000..2_000 {
        queue.push_pong(format!("<pong {number}>").into());
        write(&mut queue, 0, &mut written);
    }
    assert!(queue.cost() < cost + 2 * CHUNK_BYTES);
    write(&mut queue, 100, &mut written);
    assert_eq!(written, b"first<pong 1999>second");
    assert!(queue.is_empty() && queue.cost() == 0);
}

#[test]
fn a_chunk_costs_more_than_its_bytes_and_a_queue_frees_what_it_held() {
    let mut queue = Queue::new(1_000_000);
    let mut pushed = 0;
    while queue.push(Bytes::from_static(&[0x89, 0])) {
        pushed += 1;
    }
    assert_eq!(pushed, 1_000_000 / (2 + CHUNK_BYTES));
    assert!(queue.held() <= 1_000_000, "it takes {} bytes", queue.held());
    let full = queue.held();
    queue.advance(2 * (pushed - 10));
    assert!(queue.held() < full / 100, "{} of {full} bytes are kept", queue.held());
    let before = queue.held();
    queue.push_shared(Bytes::from_static(&[0; 1_000]));
    assert!(queue.held() < before + 1_000, "what is shared is not the queue's");
    queue.drop_unbegun();
    assert_eq!((queue.held(), queue.cost()), (0, 0));
}

#[test]
fn a_pong_leaves_though_nothing_else_waits() {
    let mut queue = Queue::new(1_000);
    queue.push_pong(Bytes::from_static(b"<pong>"));
    assert!(!queue.is_empty());
    let mut written = Vec::new();
    write(&mut queue, 100, &mut written);
    assert_eq!(written, b"<pong>");
    assert!(queue.is_empty());
}

#[test]
fn what_is_pushed_to_the_last_byte_of_the_bound_fits_and_a_wider_bound_takes_more() {
    let mut queue = Queue::new(2 * (100 + CHUNK_BYTES));
    assert!(queue.push(Bytes::from_static(&[0; 100])));
    assert!(
        !queue.push(Bytes::from_static(&[0; 101]))
            && !queue.push_shared(Bytes::from_static(&[0; 101]))
    );
    assert!(queue.push_shared(Bytes::from_static(&[1; 100])));
    assert!(!queue.push(Bytes::new()));
    queue.widen(2 * (100 + CHUNK_BYTES) + CHUNK_BYTES);
    assert!(queue.push(Bytes::new()));
    let mut written = Vec::new();
    write(&mut queue, 1_000, &mut written);
    assert_eq!(written, [[0; 100], [1; 100]].concat());
}

#[test]
fn a_queue_is_half_full_when_more_than_half_of_its_bound_is_used() {
    let mut queue = Queue::new(4 * CHUNK_BYTES);
    queue.push(Bytes::new());
    assert!(!queue.is_half_full());
    queue.push(Bytes::new());
    assert!(!queue.is_half_full());
    queue.push(Bytes::new());
    assert!(queue.is_half_full());
}

#[test]
fn slots_count_when_they_are_many_and_most_of_those_that_are_no_longer_used_are_given_back() {
    let slots = |count: usize| count * size_of::<Slot>();
    let chunk = Bytes::from_static(b"x");
    let mut queue = Queue::new(1_000_000);
    // Shared chunks are not the queue's, so it holds its slots alone.
    let fill = |queue: &mut Queue, count| {
        for _ in 0..count {
            assert!(queue.push_shared(chunk.clone()));
        }
    };
    fill(&mut queue, SLOTS_KEPT);
    assert_eq!(queue.held(), 0);
    fill(&mut queue, 3 * SLOTS_KEPT);
    assert_eq!(queue.held(), slots(4 * SLOTS_KEPT));
    // Few that waste are worth no copying.
    queue.advance(2 * SLOTS_KEPT);
    queue.advance(SLOTS_KEPT - 1);
    assert_eq!(queue.held(), slots(4 * SLOTS_KEPT));
    queue.advance(1);
    assert_eq!(queue.held(), slots(2 * SLOTS_KEPT));
    assert!(queue.push(chunk.clone()));
    assert_eq!(queue.held(), slots(2 * SLOTS_KEPT) + 1 + ALLOCATION_BYTES);
}

#[test]
fn a_pong_that_was_dropped_does_not_take_the_close_frame_along() {
    for written_of_pong in [0, 3] {
        let mut queue = Queue::new(1_000);
        let mut written = Vec::new();
        queue.push_pong(Bytes::from_static(b"<pong>"));
        write(&mut queue, written_of_pong, &mut written);
        queue.drop_unbegun();
        queue.append(Bytes::from_static(b"<close>"));
        queue.push_pong(Bytes::from_static(b"<next>"));
        while !queue.is_empty() {
            write(&mut queue, 3, &mut written);
        }
        let begun: &[u8] = if written_of_pong > 0 { b"<pong>" } else { b"" };
        assert_eq!(written, [begun, b"<next><close>"].concat());
    }
}

proptest! {
    #[test]
    fn what_is_queued_leaves_in_order_within_the_bound_and_never_in_pieces(
        steps in prop::collection::vec(step(), 0..60),
        cost_max in 1_usize..1_000,
    ) {
        let mut queue = Queue::new(cost_max);
        // What is due to have been written in the end, and where each chunk of it ends.
        let (mut due, mut ends, mut written) = (Vec::new(), vec![0], Vec::new());
        let cost = |due: &Vec<u8>, ends: &Vec<usize>, written: &Vec<u8>| {
            let chunks = ends.iter().filter(|end| **end > written.len()).count();
            due.len() - written.len() + chunks * CHUNK_BYTES
        };
        for step in steps {
            match step {
                Step::Push(chunk) => {
                    let cost = cost(&due, &ends, &written) + chunk.len() + CHUNK_BYTES;
                    let fits = cost <= cost_max;
                    prop_assert_eq!(queue.push(Bytes::from(chunk.clone())), fits);
                    if fits {
                        due.extend(chunk);
                        ends.push(due.len());
                    }
                }
                Step::Write(count) => write(&mut queue, count, &mut written),
                Step::DropUnbegun => {
                    queue.drop_unbegun();
                    let end = ends.iter().find(|end| **end >= written.len());
                    due.truncate(*end.unwrap());
                    ends.retain(|end| *end <= due.len());
                }
            }
            prop_assert_eq!(queue.cost(), cost(&due, &ends, &written));
            prop_assert_eq!(queue.is_empty(), due.len() == written.len());
            let only = queue.only_chunk().map(<[u8]>::to_vec);
            let is_last = ends.iter().filter(|end| **end > written.len()).count() == 1;
            prop_assert_eq!(only, is_last.then(|| due[written.len()..].to_vec()));
        }
        while !queue.is_empty() {
            write(&mut queue, 100, &mut written);
        }
        prop_assert_eq!(written, due);
        prop_assert_eq!(queue.held(), 0);
    }
}
