//! The wait for a deadline, registered only when something has to wait.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};

use super::instant::Deadline;

pin_project! {
    /// Fires at a deadline. Replies that are ready at once never touch the runtime's timers.
    #[derive(Debug)]
    pub(super) struct Timer {
        deadline: Deadline,
        #[pin]
        sleep: Option<Sleep>,
    }
}

// === impl Timer ===

impl Timer {
    /// Creates a timer for a deadline.
    pub(super) fn new(deadline: Deadline) -> Self {
        Self { deadline, sleep: None }
    }

    /// Returns `Ready` if the deadline has passed, and otherwise registers the task to be woken then. Poll it after the
    /// work has returned `Pending`.
    pub(super) fn poll_expired(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep_until(this.deadline.instant())));
        }
        let fired = this.sleep.as_pin_mut().is_some_and(|sleep| sleep.poll(cx).is_ready());
        // Read the clock as late as possible, whatever the timer says: another timer of the same task, such as tonic's,
        // may fire earlier in the same tick, a task without budget gets `Pending` from its timer, and registering a
        // timer takes time.
        if fired || this.deadline.is_past() { Poll::Ready(()) } else { Poll::Pending }
    }
}
