//! The messages of a request; and whether those of a generated client's request are one, which can be sent again.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::Body as _;
use parking_lot::Mutex;
use tonic::{Status, body::Body};

/// The messages of a request, each with gRPC's prefix of five bytes.
#[derive(Clone, Debug)]
pub(crate) enum RequestBody {
    /// All of them: they can be sent again.
    Whole(Bytes),
    /// They come from the caller. `None` once they are being sent.
    Stream(Arc<Mutex<Option<RequestStream>>>),
}

/// A request whose messages come from the caller one by one.
#[derive(Debug)]
pub(crate) struct RequestStream {
    /// What was read of it to find out that there is more.
    pub(crate) head: Option<Bytes>,
    pub(crate) rest: tonic::body::Body,
}

/// What is known of a request's body without waiting for it.
#[derive(Debug)]
pub(crate) enum Collected {
    /// One message, or none.
    Whole(Bytes),
    /// More may follow.
    Stream(RequestStream),
    /// It cannot be encoded.
    Failed(Status),
}

// === impl RequestBody ===

impl RequestBody {
    /// Returns whether the messages are still there to be sent.
    pub(crate) fn can_be_sent(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Stream(stream) => stream.lock().is_some(),
        }
    }

    pub(crate) fn stream(stream: RequestStream) -> Self {
        Self::Stream(Arc::new(Mutex::new(Some(stream))))
    }
}

/// Reads a request's body as far as its second message, without waiting. Reads nothing if `may_end` is false.
pub(crate) fn collect_now(mut body: Body, may_end: bool) -> Collected {
    if !may_end {
        return Collected::Stream(RequestStream { head: None, rest: body });
    }
    // Whoever reads on registers a waker of its own.
    let mut cx = Context::from_waker(Waker::noop());
    let mut head: Option<Bytes> = None;
    loop {
        if body.is_end_stream() {
            return Collected::Whole(head.unwrap_or_default());
        }
        match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Ready(None) => return Collected::Whole(head.unwrap_or_default()),
            Poll::Ready(Some(Err(status))) => return Collected::Failed(status),
            Poll::Pending => return Collected::Stream(RequestStream { head, rest: body }),
            Poll::Ready(Some(Ok(frame))) => match (frame.into_data(), head) {
                (Ok(data), None) => head = Some(data),
                (Ok(data), Some(first)) => {
                    let head = Some([first, data].concat().into());
                    return Collected::Stream(RequestStream { head, rest: body });
                }
                (Err(_), first) => head = first,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use http_body::Frame;

    use super::*;

    /// Returns a body of these chunks; it waits after them instead of ending if `is_open`.
    fn body(chunks: &'static [&'static str], is_open: bool) -> Body {
        let chunks =
            stream::iter(chunks).map(|chunk| Ok::<_, Status>(Frame::data(Bytes::from_static(chunk.as_bytes()))));
        let rest = if is_open { stream::pending().boxed() } else { stream::empty().boxed() };
        Body::new(StreamBody(chunks.chain(rest).boxed()))
    }

    struct StreamBody(stream::BoxStream<'static, Result<Frame<Bytes>, Status>>);

    impl http_body::Body for StreamBody {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            self.0.poll_next_unpin(cx)
        }
    }

    fn head(collected: Collected) -> (bool, Option<Bytes>) {
        match collected {
            Collected::Whole(frame) => (true, Some(frame)),
            Collected::Stream(stream) => (false, stream.head),
            Collected::Failed(status) => panic!("{status}"),
        }
    }

    #[test]
    fn one_message_is_whole_and_more_are_a_stream() {
        let some = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        assert_eq!(head(collect_now(body(&["one"], false), true)), (true, some("one")));
        assert_eq!(head(collect_now(body(&[], false), true)), (true, some("")));
        assert_eq!(head(collect_now(body(&["one"], true), true)), (false, some("one")));
        assert_eq!(head(collect_now(body(&[], true), true)), (false, None));
        assert_eq!(head(collect_now(body(&["one", "two", "three"], false), true)), (false, some("onetwo")));
        assert_eq!(head(collect_now(body(&["one"], false), false)), (false, None), "a stream is not looked into");
    }
}
