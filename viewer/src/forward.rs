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

use crate::outlet::{Item, OutletCounts};

/// How long the other may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a request is sent again while the other is not there, and how long that waits at first, and at most.
const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(8);

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

    /// Sends what comes until `stop`, and then what is left, for at most two seconds.
    pub(crate) async fn run(self, mut items: mpsc::Receiver<Item>, stop: CancellationToken) {
        loop {
            let item = tokio::select! {
                () = stop.cancelled() => break,
                item = items.recv() => item,
            };
            let Some(item) = item else { return };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.send(&item) => {}
            }
        }
        items.close();
        let flushed = timeout(FLUSH, async {
            while let Some(item) = items.recv().await {
                self.send(&item).await;
            }
        });
        if flushed.await.is_err() {
            tracing::warn!("the last requests were not passed on in time");
        }
    }

    async fn send(&self, item: &Item) {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            match self.try_send(item).await {
                Ok(()) => return self.counts.pass(1),
                Err(status) if attempt < ATTEMPTS && may_be_sent_again(&status) => {
                    tracing::debug!(%status, attempt, "sent again later");
                    sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                Err(status) => return self.counts.drop_one(&status),
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

/// Returns whether OTLP says that a request may be sent again after this.
fn may_be_sent_again(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted
    )
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
