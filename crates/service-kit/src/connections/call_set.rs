//! The calls of a connection that are in flight, and are polled in its task.

use std::{
    sync::Arc,
    task::{Context, Wake as _, Waker},
};

use super::wakeups::{CallWaker, Wakeups};

/// How many places are kept when there is no call in flight. A burst of more leaves nothing behind.
const KEPT: usize = 64;

/// Calls in flight. Each has a place, which the next one has after it: a call costs no allocation of its own.
///
/// A call may be woken that ended long ago. Then its place is polled for nothing, if there is another call in it.
#[derive(Debug)]
pub(super) struct CallSet<C> {
    places: Vec<Place<C>>,
    free: Vec<usize>,
    wakeups: Arc<Wakeups>,
}

#[derive(Debug)]
struct Place<C> {
    call: Option<C>,
    waker: Arc<CallWaker>,
    /// The same.
    context: Waker,
}

// === impl CallSet ===

impl<C: Future<Output = ()> + Unpin> CallSet<C> {
    pub(super) fn new(wakeups: Arc<Wakeups>) -> Self {
        Self { places: Vec::new(), free: Vec::new(), wakeups }
    }

    /// Adds a call, which is polled soon.
    pub(super) fn push(&mut self, call: C) {
        let number = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::new(self.places.len(), Arc::clone(&self.wakeups)));
            self.places.len() - 1
        });
        if let Some(place) = self.places.get_mut(number) {
            place.call = Some(call);
            place.waker.wake_by_ref();
        }
    }

    /// Polls a call that has something to do. Returns whether there was any.
    pub(super) fn poll_one(&mut self) -> bool {
        while let Some(number) = self.wakeups.take_call() {
            let Some(place) = self.places.get_mut(number) else { continue };
            place.waker.begin();
            let Some(call) = &mut place.call else { continue };
            if std::pin::Pin::new(call).poll(&mut Context::from_waker(&place.context)).is_ready() {
                place.call = None;
                self.free.push(number);
                self.shrink();
            }
            return true;
        }
        false
    }

    fn shrink(&mut self) {
        if self.places.len() > KEPT && self.free.len() == self.places.len() {
            (self.places, self.free) = (Vec::new(), Vec::new());
            self.wakeups.shrink();
        }
    }
}

// === impl Place ===

impl<C> Place<C> {
    fn new(number: usize, wakeups: Arc<Wakeups>) -> Self {
        let waker = Arc::new(CallWaker::new(number, wakeups));
        Self { call: None, context: Waker::from(Arc::clone(&waker)), waker }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::Poll,
    };

    use futures::channel::oneshot;

    use super::*;

    /// Waits, and counts how often it is polled.
    struct Waits(oneshot::Receiver<()>, Arc<AtomicUsize>);

    impl Future for Waits {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll(cx).map(|_| ())
        }
    }

    #[test]
    fn only_calls_that_are_woken_are_polled_and_places_are_used_again() {
        let (mut calls, polls) = (CallSet::new(Arc::default()), Arc::<AtomicUsize>::default());
        let polled = |calls: &mut CallSet<Waits>| {
            while calls.poll_one() {}
            polls.swap(0, Ordering::Relaxed)
        };
        let mut senders = Vec::new();
        for _ in 0..=KEPT {
            let (send, wait) = oneshot::channel();
            calls.push(Waits(wait, Arc::clone(&polls)));
            senders.push(send);
        }
        assert_eq!(polled(&mut calls), KEPT + 1);
        assert_eq!(polled(&mut calls), 0);
        senders.remove(7).send(()).unwrap();
        assert_eq!((polled(&mut calls), &*calls.free), (1, &[7][..]));
        let (send, wait) = oneshot::channel();
        calls.push(Waits(wait, Arc::clone(&polls)));
        senders.push(send);
        assert_eq!((polled(&mut calls), calls.places.len()), (1, KEPT + 1));
        drop(senders);
        assert_eq!((polled(&mut calls), calls.places.len()), (KEPT + 1, 0));
    }
}
