//! What a stream gets, and when, with a peer that takes as much as the test says.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
};

use coalesced_io::{CoalescedIo, Flusher};
use proptest::{collection::vec, prelude::*};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// The most that is kept.
const LIMIT: usize = 64 << 10;

/// What a stream has got: each write, and how it was shut down.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Wrote(Vec<u8>),
    Flushed,
    Shut,
}

/// A stream that takes as many bytes as it is told, in each write.
#[derive(Debug)]
struct Stream {
    events: mpsc::Sender<Event>,
    /// What the next writes do; those after the last take all.
    writes: VecDeque<Write>,
}

#[derive(Clone, Debug)]
enum Write {
    Takes(usize),
    Pending,
    Fails(io::ErrorKind),
}

/// Counts how often it is woken.
#[derive(Debug, Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let length = match self.writes.pop_front() {
            None => bytes.len(),
            Some(Write::Takes(length)) => bytes.len().min(length),
            Some(Write::Pending) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Write::Fails(kind)) => return Poll::Ready(Err(kind.into())),
        };
        let _ = self.events.send(Event::Wrote(bytes[..length].to_vec()));
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.events.send(Event::Flushed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.events.send(Event::Shut);
        Poll::Ready(Ok(()))
    }
}

fn stream(writes: impl IntoIterator<Item = Write>) -> (CoalescedIo<Stream>, Flusher<Stream>, mpsc::Receiver<Event>) {
    let (events, got) = mpsc::channel();
    let (io, flusher) = CoalescedIo::new(Stream { events, writes: writes.into_iter().collect() });
    (io, flusher, got)
}

/// Writes and flushes, as h2 does. Returns how much was written.
fn write(io: &mut CoalescedIo<Stream>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    let written = Pin::new(&mut *io).poll_write(cx, bytes);
    assert!(written.is_pending() || Pin::new(io).poll_flush(cx).is_ready());
    written
}

/// Ends a turn in which this was written; and one more, before which other tasks have run.
fn turns(io: &mut CoalescedIo<Stream>, flusher: &mut Flusher<Stream>, cx: &mut Context<'_>, bytes: &[&[u8]]) {
    let polled: Poll<()> = flusher.poll_turn(cx, |cx| {
        for bytes in bytes {
            assert!(matches!(write(io, cx, bytes), Poll::Ready(Ok(length)) if length == bytes.len()));
        }
        Poll::Pending
    });
    assert!(polled.is_pending());
    let _: Poll<()> = flusher.poll_turn(cx, |_| Poll::Pending);
}

fn wrote(bytes: &[u8]) -> Event {
    Event::Wrote(bytes.to_vec())
}

#[test]
fn what_a_turn_writes_and_flushes_is_one_write() {
    let cx = &mut Context::from_waker(Waker::noop());
    let (mut io, mut flusher, got) = stream([]);
    turns(&mut io, &mut flusher, cx, &[b"headers", b"data", b"trailers"]);
    assert_eq!(got.try_iter().collect::<Vec<_>>(), [wrote(b"headersdatatrailers"), Event::Flushed]);
}

#[test]
fn without_a_turn_a_flush_writes() {
    let cx = &mut Context::from_waker(Waker::noop());
    let (mut io, _flusher, got) = stream([]);
    assert!(write(&mut io, cx, b"preface").is_ready());
    assert_eq!(got.try_iter().collect::<Vec<_>>(), [wrote(b"preface"), Event::Flushed]);
}

#[test]
fn the_last_turn_writes_at_once() {
    let cx = &mut Context::from_waker(Waker::noop());
    let (mut io, mut flusher, got) = stream([]);
    let ended = flusher.poll_turn(cx, |cx| write(&mut io, cx, b"settings"));
    assert!(ended.is_ready());
    assert_eq!(got.try_iter().next(), Some(wrote(b"settings")));
}

#[tokio::test]
async fn tasks_that_are_ready_add_to_the_same_write() {
    let (mut io, mut flusher, got) = stream([]);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..10 {
        let sender = sender.clone();
        tokio::spawn(async move { sender.send([number]) });
    }
    let mut left = 10;
    poll_fn(|cx| {
        let _: Poll<()> = flusher.poll_turn(cx, |cx| {
            while let Poll::Ready(Some(reply)) = receiver.poll_recv(cx) {
                assert!(write(&mut io, cx, &reply).is_ready());
                left -= 1;
            }
            Poll::Pending
        });
        // The task is woken by the replies, and to write.
        match got.try_recv() {
            Ok(event) => {
                assert_eq!(event, wrote(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
                Poll::Ready(())
            }
            Err(_) => Poll::Pending,
        }
    })
    .await;
    assert_eq!(left, 0);
}

#[test]
fn a_shutdown_writes_first() {
    let cx = &mut Context::from_waker(Waker::noop());
    let (mut io, mut flusher, got) = stream([Write::Takes(3), Write::Pending]);
    let mut is_written = false;
    let mut poll = |cx: &mut Context<'_>| {
        flusher.poll_turn(cx, |cx| {
            if !is_written {
                assert!(write(&mut io, cx, b"goaway").is_ready());
                is_written = true;
            }
            Pin::new(&mut io).poll_shutdown(cx)
        })
    };
    while poll(cx).is_pending() {}
    assert_eq!(got.try_iter().collect::<Vec<_>>(), [wrote(b"goa"), wrote(b"way"), Event::Flushed, Event::Shut]);
}

#[test]
fn dropping_it_writes_what_waits_for_other_tasks() {
    let cx = &mut Context::from_waker(Waker::noop());
    let (mut io, mut flusher, got) = stream([]);
    let _: Poll<()> = flusher.poll_turn(cx, |cx| {
        assert!(write(&mut io, cx, b"goaway").is_ready());
        Poll::Pending
    });
    assert_eq!(got.try_recv().ok(), None);
    drop((flusher, io));
    assert_eq!(got.try_iter().next(), Some(wrote(b"goaway")));
}

#[test]
fn a_peer_that_does_not_read_stops_the_writer_and_nothing_is_lost() {
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    let (mut io, mut flusher, got) = stream(vec![Write::Pending; 1000]);
    let frame = [7; 1000];
    let mut taken = 0;
    for _ in 0..30 {
        let _: Poll<()> = flusher.poll_turn(cx, |cx| {
            for _ in 0..10 {
                if let Poll::Ready(written) = Pin::new(&mut io).poll_write(cx, &frame) {
                    taken += written.unwrap();
                }
            }
            Poll::Pending
        });
    }
    assert!(taken > LIMIT - frame.len() && taken <= LIMIT, "{taken}");
    assert!(woken.0.load(Ordering::Relaxed) > 0);
    for _ in 0..1000 {
        let _: Poll<()> = flusher.poll_turn(cx, |_| Poll::Pending);
    }
    let got: usize = got.try_iter().map(|event| if let Event::Wrote(bytes) = event { bytes.len() } else { 0 }).sum();
    assert_eq!(got, taken);
}

#[test]
fn a_failure_wakes_the_task_and_is_returned_from_then_on() {
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    let (mut io, mut flusher, got) = stream([Write::Fails(io::ErrorKind::BrokenPipe)]);
    turns(&mut io, &mut flusher, cx, &[b"reply"]);
    let before = woken.0.load(Ordering::Relaxed);
    assert!(before > 0);
    let failed = |failed: Poll<io::Result<()>>| {
        assert!(matches!(failed, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe));
    };
    for _ in 0..3 {
        failed(flusher.poll_turn(cx, |cx| Pin::new(&mut io).poll_flush(cx)));
        failed(flusher.poll_turn(cx, |cx| Pin::new(&mut io).poll_write(cx, b"more")).map_ok(|_| ()));
        failed(Pin::new(&mut io).poll_flush(cx));
        failed(Pin::new(&mut io).poll_shutdown(cx));
    }
    assert_eq!(woken.0.load(Ordering::Relaxed), before, "it is woken once");
    assert_eq!(got.try_iter().count(), 0);
}

#[tokio::test]
async fn what_never_fits_goes_to_the_stream() {
    let (mut io, _flusher, got) = stream([]);
    io.write_all(b"first").await.unwrap();
    io.write_all(&vec![1; 2 * LIMIT]).await.unwrap();
    let lengths: Vec<_> =
        got.try_iter().map(|event| if let Event::Wrote(bytes) = event { bytes.len() } else { 0 }).collect();
    assert_eq!(lengths, [5, 2 * LIMIT]);
}

/// What the writer does.
#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    EndTurn,
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1_usize..9000).prop_map(Step::Write),
        1 => (1_usize..3 * LIMIT).prop_map(Step::Write),
        4 => Just(Step::EndTurn),
        1 => Just(Step::Flush),
    ]
}

fn peer() -> impl Strategy<Value = Write> {
    prop_oneof![4 => (1_usize..2 * LIMIT).prop_map(Write::Takes), 1 => Just(Write::Pending)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order of writes, turns, flushes, and of what the peer takes: it gets all bytes in their order.
    #[test]
    fn nothing_is_lost_or_reordered(steps in vec(step(), 0..40), peer in vec(peer(), 0..60)) {
        let cx = &mut Context::from_waker(Waker::noop());
        let (mut io, mut flusher, got) = stream(peer);
        let mut sent = Vec::new();
        let mut steps = steps.into_iter();
        let mut is_over = false;
        while !is_over {
            let _: Poll<()> = flusher.poll_turn(cx, |cx| {
                loop {
                    match steps.next() {
                        Some(Step::Write(length)) => {
                            #[expect(clippy::cast_possible_truncation, reason = "it is a pattern")]
                            let bytes: Vec<_> = (0..length).map(|byte| (sent.len() + byte) as u8).collect();
                            if let Poll::Ready(written) = Pin::new(&mut io).poll_write(cx, &bytes) {
                                sent.extend_from_slice(&bytes[..written.unwrap()]);
                            }
                        }
                        Some(Step::EndTurn) => return Poll::Pending,
                        Some(Step::Flush) => assert!(Pin::new(&mut io).poll_flush(cx).is_ready()),
                        None => {
                            is_over = true;
                            return Poll::Pending;
                        }
                    }
                }
            });
        }
        while Pin::new(&mut io).poll_shutdown(cx).is_pending() {}
        let (mut arrived, mut shut) = (Vec::new(), 0);
        for event in got.try_iter() {
            match event {
                Event::Wrote(bytes) => arrived.extend(bytes),
                Event::Flushed => {}
                Event::Shut => shut += 1,
            }
        }
        prop_assert!(arrived == sent, "{} of {}", arrived.len(), sent.len());
        prop_assert_eq!(shut, 1);
    }
}
