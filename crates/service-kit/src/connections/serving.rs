//! Serves the calls of one connection, all of them in its task.
//!
//! # Why in one task
//!
//! A call in a task of its own would be an allocation, a place in the scheduler's queues, and two ways between threads: to the
//! thread that runs it, and back to the connection that sends its reply. So all calls of a connection run on one thread at a
//! time. A server uses more processors by having more connections, each of which is on one of its `workers`.
//!
//! # What a turn is
//!
//! The connection reads, starts calls and polls those that are woken until nothing has anything to do, or its turn is over:
//! after [`MAX_POLLS`] polls of calls, when tokio's budget of the task is used up, or when `fair_read` has read enough. Then
//! other connections have theirs.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use coalesced_io::{CoalescedIo, Flusher};
use h2::{
    Reason, RecvStream,
    server::{Connection, SendResponse},
};
use http::Request;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::coop::has_budget_remaining,
};

use super::{
    call::{Call, refuse_for_panic},
    call_service::CallService,
    call_set::CallSet,
    calls::Calls,
    http2::ConnectionError,
    keepalive::{Keepalive, KeepaliveLimits},
    wakeups::Wakeups,
};

/// How many calls are polled before others have their turn.
const MAX_POLLS: usize = 32;

/// A connection that serves calls. Ends when the connection does; its calls end with it.
pub(super) struct Serving<T: AsyncWrite + Unpin> {
    // Dropped first, as long as there is a connection that tells callers of it.
    running: CallSet<Call>,
    transport: Connection<CoalescedIo<T>, Bytes>,
    flusher: Flusher<T>,
    keepalive: Option<Keepalive>,
    service: CallService,
    calls: Arc<Calls>,
    wakeups: Arc<Wakeups>,
    /// The same, as the waker of the transport.
    waker: Waker,
}

// === impl Serving ===

impl<T: AsyncRead + AsyncWrite + Unpin> Serving<T> {
    pub(super) fn new(
        mut transport: Connection<CoalescedIo<T>, Bytes>,
        flusher: Flusher<T>,
        keepalive: KeepaliveLimits,
        service: CallService,
        calls: Arc<Calls>,
    ) -> Self {
        let keepalive = transport.ping_pong().map(|pings| Keepalive::new(pings, keepalive));
        let wakeups = Arc::<Wakeups>::default();
        let waker = Waker::from(Arc::clone(&wakeups));
        waker.wake_by_ref();
        let running = CallSet::new(Arc::clone(&wakeups));
        Self { running, transport, flusher, keepalive, service, calls, wakeups, waker }
    }

    /// Tells the peer which of its calls are served. Ends when they have ended.
    pub(super) fn graceful_shutdown(&mut self) {
        self.transport.graceful_shutdown();
        self.waker.wake_by_ref();
    }

    /// Reads, starts calls, and sends what calls have left to send.
    fn poll_transport(&mut self) -> Poll<Result<(), ConnectionError>> {
        self.calls.add_poll();
        let cx = &mut Context::from_waker(&self.waker);
        while let Poll::Ready(accepted) = self.transport.poll_accept(cx) {
            let Some(accepted) = accepted else { return Poll::Ready(Ok(())) };
            let (request, mut respond) = accepted?;
            // See `Call`. Most that are reset at once are known to be by now.
            if respond.poll_reset(cx).is_pending() {
                Self::start(&mut self.running, &self.service, &self.calls, request, respond);
            } else {
                self.calls.reset_one();
            }
        }
        // Last: if this thread was held up for a while, the answer to a ping is there, and was not read in time.
        if let Some(keepalive) = &mut self.keepalive
            && keepalive.poll_lost(|| self.calls.silent(), cx).is_ready()
        {
            self.transport.abrupt_shutdown(Reason::NO_ERROR);
            // It is sent if the system takes it.
            let _ = self.transport.poll_closed(cx);
            return Poll::Ready(Err(ConnectionError::Unanswered));
        }
        Poll::Pending
    }

    fn start(
        running: &mut CallSet<Call>,
        service: &CallService,
        calls: &Arc<Calls>,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) {
        match catch_unwind(AssertUnwindSafe(|| service.call(request))) {
            Ok(answer) => running.push(Call::new(answer, respond, calls.begin())),
            Err(panic) => refuse_for_panic(respond, &*panic),
        }
    }

    /// Polls calls that are woken. Returns whether the turn is over.
    fn poll_calls(&mut self, polls: &mut usize) -> bool {
        loop {
            if *polls >= MAX_POLLS || !has_budget_remaining() {
                return true;
            }
            *polls += 1;
            if !self.running.poll_one() {
                return false;
            }
        }
    }

    /// Polls the calls once more whose connection has ended: handlers that wait for the rest of their requests learn it.
    fn poll_ended_calls(&mut self) {
        for _ in 0..self.wakeups.calls() {
            self.running.poll_one();
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let mut polls = 0;
        self.wakeups.begin(cx.waker());
        loop {
            if self.wakeups.take_transport()
                && let Poll::Ready(ended) = self.poll_transport()
            {
                self.poll_ended_calls();
                return Poll::Ready(ended);
            }
            if self.poll_calls(&mut polls) || self.calls.take_yield() {
                self.wakeups.end_for_others(cx.waker());
                return Poll::Pending;
            }
            if self.wakeups.end() {
                return Poll::Pending;
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Serving<T> {
    type Output = Result<(), ConnectionError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.flusher.begin_turn();
        let ended = this.poll_turn(cx);
        // What is written later wakes the transport, which may have more to write.
        this.flusher.end_turn(&mut Context::from_waker(&this.waker), ended.is_ready());
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use rpc_layers::{Peer, Throttle};
    use tokio::{task::yield_now, time::advance};

    use super::{
        super::{ConnectionLimits, connection::Shared, fair_read::Slowed, http2},
        *,
    };
    use crate::routes::Routes;

    /// Polls a connection until it has written what it has to say.
    async fn turn<F: Future + Unpin>(connection: &mut F) -> Poll<F::Output> {
        for _ in 0..3 {
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *connection).poll(cx))).await;
            if polled.is_ready() {
                return polled;
            }
            yield_now().await;
        }
        Poll::Pending
    }

    /// What holds up the thread may be a handler that computes.
    #[tokio::test(start_paused = true)]
    async fn a_ping_that_was_answered_while_the_thread_was_held_up_was_answered_in_time() {
        let (ours, theirs) = tokio::io::duplex(1 << 10);
        let (io, flusher) = CoalescedIo::new(ours);
        let (server, client) =
            tokio::join!(http2::builder().handshake::<_, Bytes>(io), h2::client::handshake::<_>(theirs));
        let (_requests, mut client) = client.unwrap();
        let timeout = Duration::from_secs(20);
        let shared = Shared {
            routes: Routes::default(),
            limits: ConnectionLimits::default(),
            abuse: Throttle::default(),
            slowed: Slowed::default(),
            handshake: None,
            unexpected_tls: Throttle::default(),
        };
        let calls = Arc::<Calls>::default();
        let peer = Peer { address: ([127, 0, 0, 1], 1).into(), connection: 1, certificate: None };
        let service = CallService::new(Arc::new(shared), peer, Arc::clone(&calls));
        let keepalive = KeepaliveLimits { silence: Duration::ZERO, timeout };
        let mut serving = Serving::new(server.unwrap(), flusher, keepalive, service, calls);
        for _ in 0..3 {
            assert!(turn(&mut serving).await.is_pending(), "it is sent a ping");
            assert!(turn(&mut client).await.is_pending(), "and answers");
            advance(timeout).await;
        }
        assert!(turn(&mut serving).await.is_pending());
        advance(timeout).await;
        assert!(matches!(turn(&mut serving).await, Poll::Ready(Err(ConnectionError::Unanswered))), "no answer");
    }
}
