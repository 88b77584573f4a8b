//! Counts and latencies of requests.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tonic::Code;

use crate::load::{
    caller::{ReportTimes, Sample},
    latencies::Latencies,
};

/// The number of gRPC status codes.
const CODES: usize = 17;
/// Shorter delays are noise of the operating system's scheduler.
const LATE: Duration = Duration::from_millis(1);

/// The requests that ended with a code.
#[derive(Clone, Debug, Default)]
pub struct CodeCount {
    /// How many.
    pub count: u64,
    /// The message of the first one.
    pub message: Option<String>,
}

/// Sums over the gateway's reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overlap {
    /// The number of reports.
    pub reports: u32,
    /// The time that the calls take one after another.
    pub total: Duration,
    /// The time that callers waited.
    pub wall: Duration,
    /// The time that overlapping saved.
    pub saved: Duration,
}

/// Counts and latencies of requests.
#[derive(Clone, Debug)]
pub struct Tally {
    /// The latencies of successful requests.
    pub ok: Latencies,
    /// The latencies of failed requests.
    pub failed: Latencies,
    /// The sum of all latencies.
    pub sum: Duration,
    /// The number of requests that were sent after they were due, in an open loop.
    pub late: u64,
    /// The longest such delay.
    pub latest: Duration,
    /// The number of requests that were never sent because their timeout had passed, in an open loop.
    pub unsent: u64,
    /// The number of requests that were abandoned when the test was ended early.
    pub abandoned: u64,
    /// The sums over the reports.
    pub overlap: Overlap,
    codes: [CodeCount; CODES],
}

/// The progress that is shown during the test. Requests count without a lock.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    failed: AtomicU64,
}

// === impl Tally ===

impl Tally {
    /// Creates an empty tally.
    #[allow(clippy::new_without_default, reason = "two histograms are expensive")]
    pub fn new() -> Self {
        Self {
            ok: Latencies::new(),
            failed: Latencies::new(),
            sum: Duration::ZERO,
            late: 0,
            latest: Duration::ZERO,
            unsent: 0,
            abandoned: 0,
            overlap: Overlap::default(),
            codes: Default::default(),
        }
    }

    /// Counts a request.
    pub fn record(&mut self, sample: &Sample) {
        let latency = sample.ended.duration_since(sample.due);
        self.sum = self.sum.saturating_add(latency);
        match sample.sent.map(|sent| sent.duration_since(sample.due)) {
            None => self.unsent += 1,
            Some(lateness) if lateness > LATE => {
                self.late += 1;
                self.latest = self.latest.max(lateness);
            }
            Some(_) => {}
        }
        match &sample.result {
            Ok(times) => {
                self.ok.record(latency);
                self.codes[index(Code::Ok)].count += 1;
                self.overlap.record(times.as_ref());
            }
            Err((code, message)) => {
                self.failed.record(latency);
                let entry = &mut self.codes[index(*code)];
                entry.count += 1;
                entry.message.get_or_insert_with(|| message.clone());
            }
        }
    }

    /// Counts abandoned requests.
    pub fn abandon(&mut self, requests: usize) {
        self.abandoned += requests as u64;
    }

    /// Adds the counts of another tally.
    pub fn merge(&mut self, other: &Self) {
        self.ok.merge(&other.ok);
        self.failed.merge(&other.failed);
        self.sum = self.sum.saturating_add(other.sum);
        self.late += other.late;
        self.latest = self.latest.max(other.latest);
        self.unsent += other.unsent;
        self.abandoned += other.abandoned;
        self.overlap.merge(&other.overlap);
        for (mine, theirs) in self.codes.iter_mut().zip(&other.codes) {
            mine.count += theirs.count;
            if mine.message.is_none() {
                mine.message.clone_from(&theirs.message);
            }
        }
    }

    /// Returns the number of completed requests.
    pub fn done(&self) -> u64 {
        self.ok.len() + self.failed.len()
    }

    /// Returns the number of successful requests.
    pub fn succeeded(&self) -> u64 {
        self.ok.len()
    }

    /// Returns the codes that occurred: OK first, then by frequency.
    pub fn codes(&self) -> Vec<(Code, &CodeCount)> {
        let all = self.codes.iter().zip(0..).map(|(count, number)| (Code::from_i32(number), count));
        let mut codes: Vec<_> = all.filter(|(_, entry)| entry.count > 0).collect();
        codes.sort_by_key(|(code, entry)| (*code != Code::Ok, std::cmp::Reverse(entry.count)));
        codes
    }
}

fn index(code: Code) -> usize {
    usize::try_from(i32::from(code)).expect("codes are 0 to 16")
}

// === impl Overlap ===

impl Overlap {
    fn record(&mut self, times: Option<&ReportTimes>) {
        let Some(times) = times else { return };
        let duration = |duration: Option<prost_types::Duration>| {
            duration.and_then(|duration| Duration::try_from(duration).ok()).unwrap_or_default()
        };
        self.merge(&Self {
            reports: 1,
            total: duration(times.total_time),
            wall: duration(times.wall_time),
            saved: duration(times.saved_time),
        });
    }

    fn merge(&mut self, other: &Self) {
        self.reports = self.reports.saturating_add(other.reports);
        self.total = self.total.saturating_add(other.total);
        self.wall = self.wall.saturating_add(other.wall);
        self.saved = self.saved.saturating_add(other.saved);
    }

    /// Returns the means of total, wall and saved, or `None` without reports.
    pub fn means(&self) -> Option<[Duration; 3]> {
        (self.reports > 0).then(|| [self.total, self.wall, self.saved].map(|sum| sum / self.reports))
    }
}

// === impl Progress ===

impl Progress {
    /// Counts a completed request.
    pub fn count(&self, ok: bool) {
        self.done.fetch_add(1, Ordering::Relaxed);
        if !ok {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of completed and of failed requests.
    pub fn read(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}
