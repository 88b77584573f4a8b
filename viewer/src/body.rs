//! Bodies of requests and responses.
//!
//! All requests together hold at most [`IN_FLIGHT`] bytes: a body that does not fit is refused at once, and its sender
//! may try again. A compressed body counts with what it becomes.

use std::{convert::Infallible, io::Read, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The body of a response.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How many bytes the bodies of all requests may have together.
pub(crate) const IN_FLIGHT: usize = 48 << 20;

/// How long a peer may take to send a body.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a compressed body is decompressed before the next look at the limits.
const STEP: usize = 64 << 10;

/// Counts the bytes of all requests' bodies.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

/// A body that was read, and its share of the [`Budget`] until it is dropped.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    share: Option<OwnedSemaphorePermit>,
    budget: Budget,
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It has more bytes than are allowed.
    #[error("the body has more than {limit} bytes{}", if *.unpacked { " when decompressed" } else { "" })]
    TooLarge {
        /// How many are allowed.
        limit: usize,
        /// Whether that was seen only after it was decompressed.
        unpacked: bool,
    },
    /// The bodies of other requests take all the memory that there is for them.
    #[error("too many bytes in flight (limit {IN_FLIGHT}); try again")]
    Busy,
    /// The peer took too long.
    #[error("the body has not arrived within {} s", TIMEOUT.as_secs())]
    Slow,
    /// The connection ended.
    #[error("the body ended early")]
    Cut,
    /// It is no gzip.
    #[error("the body is not valid gzip: {0}")]
    Gzip(std::io::Error),
}

/// Returns a body with these bytes.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

// === impl Budget ===

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(IN_FLIGHT)))
    }
}

impl Budget {
    /// Reads a body of at most `limit` bytes.
    pub(crate) async fn read(&self, body: Incoming, limit: usize) -> Result<Received, BodyError> {
        timeout(TIMEOUT, self.read_all(body, limit)).await.unwrap_or(Err(BodyError::Slow))
    }

    async fn read_all(&self, mut body: Incoming, limit: usize) -> Result<Received, BodyError> {
        let too_large = || BodyError::TooLarge { limit, unpacked: false };
        if hyper::body::Body::size_hint(&body).lower() > limit as u64 {
            return Err(too_large());
        }
        let (mut bytes, mut received) = (BytesMut::new(), self.empty());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Cut)?.into_data() else { continue };
            if bytes.len() + data.len() > limit {
                return Err(too_large());
            }
            received.grow(data.len())?;
            bytes.extend_from_slice(&data);
        }
        received.bytes = bytes.freeze();
        Ok(received)
    }

    fn empty(&self) -> Received {
        Received { bytes: Bytes::new(), share: None, budget: self.clone() }
    }
}

// === impl Received ===

impl Received {
    /// Returns the decompressed body, of at most `limit` bytes. Blocks while it works.
    pub(crate) fn gunzip(self, limit: usize) -> Result<Self, BodyError> {
        let (mut unpacked, mut result) = (Vec::new(), self.budget.empty());
        let mut decoder = MultiGzDecoder::new(&*self.bytes);
        loop {
            let before = unpacked.len();
            let read = (&mut decoder).take(STEP as u64).read_to_end(&mut unpacked).map_err(BodyError::Gzip)?;
            if read == 0 {
                break;
            }
            if unpacked.len() > limit {
                return Err(BodyError::TooLarge { limit, unpacked: true });
            }
            result.grow(unpacked.len() - before)?;
        }
        result.bytes = unpacked.into();
        Ok(result)
    }

    /// Keeps the share of the budget, with other bytes.
    pub(crate) fn map(mut self, bytes: impl FnOnce(Bytes) -> Bytes) -> Self {
        self.bytes = bytes(self.bytes);
        self
    }

    fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        let bytes = u32::try_from(bytes).map_err(|_| BodyError::Busy)?;
        let more = Arc::clone(&self.budget.0).try_acquire_many_owned(bytes).map_err(|_| BodyError::Busy)?;
        match &mut self.share {
            Some(share) => share.merge(more),
            None => self.share = Some(more),
        }
        Ok(())
    }
}
