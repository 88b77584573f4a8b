//! Spans that wait for their export.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::otlp;

/// `ScopeSpans.spans`.
const SPANS: u32 = 2;

/// A batch of so many bytes is whole, however few spans it has: collectors take messages of 4 MiB by default, and callers
/// have a say in how long a span is.
const MAX_BATCH_BYTES: usize = 2 << 20;

/// The settings of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueSettings {
    /// How many spans it takes at most. More are lost.
    pub(super) max_spans: usize,
    /// How many spans are exported together at most.
    pub(super) max_batch: usize,
    /// How long a span waits at most for others.
    pub(super) delay: Duration,
}

/// Spans that have ended and are not exported yet, encoded as fields of `ScopeSpans`, in batches.
#[derive(Debug)]
pub(super) struct Queue {
    settings: QueueSettings,
    waiting: Mutex<Waiting>,
    /// There is a whole batch, or no more spans come.
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    spans: usize,
    lost: u64,
    /// The size of the last batch: what the next one will need.
    size: usize,
    closed: bool,
}

/// Spans that are exported together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) encoded: Vec<u8>,
    pub(super) spans: usize,
}

// === impl Batch ===

impl Batch {
    fn is_whole(&self, max_batch: usize) -> bool {
        self.spans >= max_batch || self.encoded.len() >= MAX_BATCH_BYTES
    }
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(settings: QueueSettings) -> Self {
        Self { settings, waiting: Mutex::default(), wake: Notify::new() }
    }

    /// Adds an encoded span. It is lost, and counted, if the queue is full; a closed one takes none.
    pub(super) fn push(&self, span: &[u8]) {
        let QueueSettings { max_spans, max_batch, .. } = self.settings;
        let is_whole = {
            let mut waiting = self.waiting.lock();
            if waiting.closed {
                return;
            }
            if waiting.spans >= max_spans {
                waiting.lost += 1;
                return;
            }
            waiting.spans += 1;
            if waiting.batches.back().is_none_or(|batch| batch.is_whole(max_batch)) {
                let encoded = Vec::with_capacity(waiting.size);
                waiting.batches.push_back(Batch { encoded, spans: 0 });
            }
            let batch = waiting.batches.back_mut().expect("there is one now");
            otlp::put_bytes(&mut batch.encoded, SPANS, span);
            batch.spans += 1;
            let (is_whole, size) = (batch.is_whole(max_batch), batch.encoded.len());
            if is_whole {
                waiting.size = size;
            }
            is_whole
        };
        if is_whole {
            self.wake.notify_one();
        }
    }

    /// Waits until there is a whole batch, or for the delay. Returns whether more spans may come.
    pub(super) async fn wait(&self) -> bool {
        if self.waiting.lock().closed {
            return false;
        }
        let _ = tokio::time::timeout(self.settings.delay, self.wake.notified()).await;
        !self.waiting.lock().closed
    }

    /// Takes the oldest spans.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut waiting = self.waiting.lock();
        let batch = waiting.batches.pop_front()?;
        waiting.spans -= batch.spans;
        Some(batch)
    }

    /// Returns how many spans wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.lock().spans
    }

    /// Returns how many spans were lost because the queue was full.
    pub(super) fn lost(&self) -> u64 {
        self.waiting.lock().lost
    }

    /// Takes no more spans.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.wake.notify_one();
    }
}
