//! The bounds on a request's size and time.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body};

use super::stream_pool::StreamPermit;

/// How many bytes a request may have: a client of reflection asks for dozens of symbols on one stream.
const MAX_BYTES: usize = 64 << 10;

/// How long a request may take to arrive. A second more than a call may take, so that its deadline answers first.
const TIMEOUT: Duration = Duration::from_secs(6);

pin_project! {
    /// The body of a request. Fails if it is too large or too slow.
    ///
    /// A reply's deadline alone does not end it: the service of reflection reads requests in a task of its own, which
    /// would wait for the next one as long as the caller's connection is open.
    pub(super) struct BoundedBody {
        #[pin]
        inner: Body,
        left: usize,
        #[pin]
        timer: Option<Sleep>,
        failed: bool,
        _permit: Option<StreamPermit>,
    }
}

// === impl BoundedBody ===

impl BoundedBody {
    pub(super) fn new(inner: Body, permit: Option<StreamPermit>) -> Self {
        Self { inner, left: MAX_BYTES, timer: None, failed: false, _permit: permit }
    }
}

impl http_body::Body for BoundedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut this = self.project();
        if *this.failed {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = this.inner.poll_frame(cx) else {
            // Most requests are there when they are read first, and need no timer.
            if this.timer.is_none() {
                this.timer.set(Some(sleep(TIMEOUT)));
            }
            let timer = this.timer.as_pin_mut().expect("it was set");
            return timer.poll(cx).map(|()| {
                *this.failed = true;
                Some(Err(Status::deadline_exceeded("the request did not arrive in time")))
            });
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let Some(left) = this.left.checked_sub(data.len()) else {
                *this.failed = true;
                let message = format!("the request is larger than {MAX_BYTES} bytes");
                return Poll::Ready(Some(Err(Status::resource_exhausted(message))));
            };
            *this.left = left;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::poll_fn, pin::pin};

    use futures::stream::{self, Stream, StreamExt as _};
    use tokio::time::Instant;
    use tonic::Code;

    use super::*;

    /// A body of parts that arrive as the stream has them.
    struct Parts<S>(S);

    impl<S: Stream<Item = usize> + Unpin> http_body::Body for Parts<S> {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let part = self.0.poll_next_unpin(cx);
            part.map(|part| part.map(|length| Ok(Frame::data(Bytes::from(vec![0; length])))))
        }
    }

    /// Reads a body of these parts to its end. Returns how many bytes it has, and its error.
    async fn read(parts: impl Stream<Item = usize> + Send + Unpin + 'static) -> (usize, Option<Code>) {
        let mut body = pin!(BoundedBody::new(Body::new(Parts(parts)), None));
        let mut bytes = 0;
        loop {
            match poll_fn(|cx| http_body::Body::poll_frame(body.as_mut(), cx)).await {
                Some(Ok(frame)) => bytes += frame.into_data().unwrap().len(),
                Some(Err(status)) => {
                    assert!(poll_fn(|cx| http_body::Body::poll_frame(body.as_mut(), cx)).await.is_none());
                    return (bytes, Some(status.code()));
                }
                None => return (bytes, None),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_has_a_size_and_a_time() {
        let begun = Instant::now();
        assert_eq!(read(stream::iter([MAX_BYTES / 2; 2])).await, (MAX_BYTES, None));
        let endless = stream::repeat(MAX_BYTES / 4 + 1);
        assert_eq!(read(endless).await, (3 * (MAX_BYTES / 4 + 1), Some(Code::ResourceExhausted)));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // One byte a second, for ever.
        let slow = stream::unfold((), |()| async {
            sleep(Duration::from_secs(1)).await;
            Some((1, ()))
        });
        let (bytes, failed) = read(Box::pin(slow)).await;
        assert_eq!((failed, begun.elapsed()), (Some(Code::DeadlineExceeded), TIMEOUT), "after {bytes} bytes");
    }
}
