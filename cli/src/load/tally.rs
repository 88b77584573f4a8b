//! What is counted of the requests.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tonic::Code;

use crate::load::{
    caller::{ReportTimes, Sample},
    latencies::Latencies,
};

/// How many gRPC status codes there are.
const CODES: usize = 17;
/// Below this, "late" would be the noise of the operating system's scheduler.
const LATE: Duration = Duration::from_millis(1);

/// How many requests ended with one code.
#[derive(Clone, Debug, Default)]
pub struct CodeCount {
    /// How many.
    pub count: u64,
    /// What the first of them said.
    pub message: Option<String>,
}

/// Sums of what the gateway's reports say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overlap {
    /// Of how many reports.
    pub reports: u32,
    /// What awaiting the calls in turn costs.
    pub total: Duration,
    /// What was waited.
    pub wall: Duration,
    /// What overlapping saved.
    pub saved: Duration,
}

/// What is counted of the requests.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Of requests that were answered with OK.
    pub ok: Latencies,
    /// Of those that failed.
    pub failed: Latencies,
    /// The sum of all latencies.
    pub sum: Duration,
    /// Of an open loop: sent after they were due.
    pub late: u64,
    /// By how much at most.
    pub latest: Duration,
    /// Of an open loop: never sent, because their time had run out before there was room.
    pub unsent: u64,
    /// Given up when it was ended early.
    pub abandoned: u64,
    /// What the reports say.
    pub overlap: Overlap,
    codes: [CodeCount; CODES],
}

/// What is shown while requests are made. Each request adds to it once, without a lock.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    failed: AtomicU64,
}

// === impl Tally ===

impl Tally {
    /// Nothing counted yet.
    #[allow(clippy::new_without_default, reason = "two histograms are no default")]
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

    /// Counts what came of a request.
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
        match &sample.outcome {
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

    /// Counts requests that are given up.
    pub fn abandon(&mut self, requests: usize) {
        self.abandoned += requests as u64;
    }

    /// Adds what another has counted.
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

    /// How many were answered, or failed.
    pub fn done(&self) -> u64 {
        self.ok.len() + self.failed.len()
    }

    /// How many were answered with OK.
    pub fn succeeded(&self) -> u64 {
        self.ok.len()
    }

    /// The codes that occurred: OK first, then the most frequent.
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

    /// The means of total, wall and saved, where there are reports.
    pub fn means(&self) -> Option<[Duration; 3]> {
        (self.reports > 0).then(|| [self.total, self.wall, self.saved].map(|sum| sum / self.reports))
    }
}

// === impl Progress ===

impl Progress {
    /// Counts a request that is over.
    pub fn count(&self, ok: bool) {
        self.done.fetch_add(1, Ordering::Relaxed);
        if !ok {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many are over, and how many of them failed.
    pub fn read(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}
