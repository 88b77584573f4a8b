//! The wait for a deadline, set up no earlier than something really has to wait.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};

use super::Deadline;

pin_project! {
    /// Ends at a deadline. An answer that is there at once never touches the runtime's timers.
    #[derive(Debug)]
    pub(super) struct Timer {
        deadline: Deadline,
        #[pin]
        sleep: Option<Sleep>,
    }
}

// === impl Timer ===

impl Timer {
    pub(super) fn new(deadline: Deadline) -> Self {
        Self { deadline, sleep: None }
    }

    /// Ready once the deadline is past; otherwise the task is woken then. To be polled after the work has said it is not ready.
    pub(super) fn poll_expired(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep_until(this.deadline.instant())));
        }
        let fired = this.sleep.as_pin_mut().is_some_and(|sleep| sleep.poll(cx).is_ready());
        // The clock has the last word, and as late as can be: another timer of the same task, such as tonic's, may fire earlier in the
        // same tick, a task that has used up its budget is told that its timer is pending, and setting a timer may take its time.
        if fired || this.deadline.is_past() { Poll::Ready(()) } else { Poll::Pending }
    }
}
