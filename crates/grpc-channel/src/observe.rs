//! Tells those who judge calls how each ended, a reply that streams included.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use crate::{error::Failure, observer::Observer, reply::Reply};

pin_project! {
    /// A call under way, of which an [`Observer`] learns how it ends.
    #[derive(Debug)]
    pub(crate) struct Observed<F, O> {
        #[pin]
        call: F,
        observer: Option<O>,
    }
}

/// Tells `observer` how `call` ends: at once for a whole reply, and for one that streams when its body has ended.
pub(crate) fn observe<F, O>(call: F, observer: O) -> Observed<F, O> {
    Observed { call, observer: Some(observer) }
}

impl<F, O> Future for Observed<F, O>
where
    F: Future<Output = Result<Reply, Failure>>,
    O: Observer + 'static,
{
    type Output = Result<Reply, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.call.poll(cx));
        if let Some(mut observer) = this.observer.take() {
            match &mut result {
                Ok(Reply::Stream(reply)) => reply.body_mut().observe(observer),
                Ok(Reply::Whole(_)) => observer.ended(Ok(())),
                Err(failure) => observer.ended(Err(failure)),
            }
        }
        Poll::Ready(result)
    }
}
