//! Hands every request on to another receiver of OTLP, over gRPC.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

use crate::outlet::{Item, OutletCounts};

/// How long the other may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a request is sent again while the other is not there, and how long that waits at first, and at most.
const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// How long it waits at most if the other asks for more: the queue fills meanwhile.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// How long the end of the viewer waits for what is in the queue.
const FLUSH: Duration = Duration::from_secs(2);

/// The other receiver.
#[derive(Debug)]
pub(crate) struct Forward {
    channel: Channel,
    counts: Arc<OutletCounts>,
}

/// Sends bytes as they are, and reads no answer but its status.
#[derive(Clone, Copy, Debug, Default)]
struct Raw(PhantomData<()>);

// === impl Forward ===

impl Forward {
    /// Creates the way to a receiver, such as `http://127.0.0.1:14317`. It is connected to when there is something to
    /// send.
    pub(crate) fn new(url: &str, counts: Arc<OutletCounts>) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(url.to_owned())?.connect_timeout(TIMEOUT);
        Ok(Self { channel: endpoint.connect_lazy(), counts })
    }

    /// Sends what comes until `stop`, and then what is left, for at most two seconds. What is left after that is lost, and
    /// counted.
    pub(crate) async fn run(self, mut items: mpsc::Receiver<Item>, stop: CancellationToken) {
        let mut current = None;
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.send_all(&mut items, &mut current) => return,
        }
        items.close();
        if timeout(FLUSH, self.send_all(&mut items, &mut current)).await.is_err() {
            let mut left = u64::from(current.is_some());
            while items.recv().await.is_some() {
                left += 1;
            }
            self.counts.lose(left, &"it was not sent before the end");
            tracing::warn!(requests = left, "the last requests were not passed on in time");
        }
    }

    /// Sends what is in the queue until it is closed. Cancel safe: what is being sent is in `current`.
    async fn send_all(&self, items: &mut mpsc::Receiver<Item>, current: &mut Option<Item>) {
        loop {
            if current.is_none() {
                *current = items.recv().await;
            }
            let Some(item) = current else { return };
            self.send(item).await;
            *current = None;
        }
    }

    async fn send(&self, item: &Item) {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let Err(status) = self.try_send(item).await else { return self.counts.pass(1) };
            match again_after(&status, wait).filter(|_| attempt < ATTEMPTS) {
                Some(pause) => {
                    tracing::debug!(%status, attempt, "sent again later");
                    sleep(pause).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                None => return self.counts.lose(1, &status),
            }
        }
    }

    async fn try_send(&self, item: &Item) -> Result<(), Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        let sent = async {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let path = PathAndQuery::from_static(item.signal.grpc_path());
            grpc.unary(Request::new(item.bytes.clone()), path, Raw::default()).await.map(drop)
        };
        timeout(TIMEOUT, sent).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))
    }
}

/// Returns after which time a request may be sent again, if OTLP says that it may: no earlier than the receiver asks for,
/// and without being asked after `wait`.
///
/// Source: <https://opentelemetry.io/docs/specs/otlp/#failures>.
fn again_after(status: &Status, wait: Duration) -> Option<Duration> {
    let asked_for = status.get_details_retry_info().and_then(|info| info.retry_delay);
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Some(asked_for.unwrap_or(wait).clamp(wait, LONGEST_ASKED)),
        // Recovery is possible only if the receiver says so.
        Code::ResourceExhausted => asked_for.map(|delay| delay.clamp(wait, LONGEST_ASKED)),
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::Unauthenticated => None,
    }
}

// === impl Raw ===

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;
    use crate::{otlp::signal::Signal, outlet::Outlet};

    #[test]
    fn what_otlp_calls_retryable_is_sent_again() {
        let wait = Duration::from_secs(1);
        let asking = |code, delay| {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(delay)));
            again_after(&Status::with_error_details(code, "", details), wait).map(|pause| pause.as_secs())
        };
        assert_eq!(again_after(&Status::unavailable(""), wait), Some(wait));
        assert_eq!(asking(Code::Unavailable, 5), Some(5));
        assert_eq!(again_after(&Status::resource_exhausted(""), wait), None);
        assert_eq!((asking(Code::ResourceExhausted, 3), asking(Code::ResourceExhausted, 0)), (Some(3), Some(1)));
        assert_eq!(asking(Code::ResourceExhausted, 3600), Some(30));
        for code in [Code::InvalidArgument, Code::Internal, Code::Unimplemented, Code::Unauthenticated] {
            assert_eq!(asking(code, 1), None, "{code:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_at_the_end_is_counted() {
        let (outlet, items) = Outlet::new();
        // Nothing listens there.
        let forward = Forward::new("http://127.0.0.1:1", Arc::clone(outlet.counts())).unwrap();
        for _ in 0..3 {
            outlet.send(Signal::Traces, &Bytes::from_static(b"x"));
        }
        let stop = CancellationToken::new();
        stop.cancel();
        forward.run(items, stop).await;
        assert_eq!(outlet.counts().read(), (0, 3));
    }
}
