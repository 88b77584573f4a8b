//! The attribute `fanout.chains`: which calls of a span follow which, by their names and times.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use crate::closeness::Interval;

/// A call may follow calls of so many different names: all are looked at for each call. Other steps are counted as
/// [ignored](Steps::ignored).
pub(crate) const FOLLOWED: usize = 64;

/// The steps of chains, while the calls are gone through by their start.
///
/// Names alone do not tell: several chains may have steps of one name. Each call is followed by one other at most, and a
/// call follows the one that ended last before it started, of those that have none yet.
#[derive(Debug, Default)]
pub(super) struct Steps<'a> {
    /// By the name of the later call: the names of earlier ones, each with the number of times that it is still to come.
    before: HashMap<&'a str, Vec<(&'a str, usize)>>,
    /// The calls of names that are before others.
    ran: HashMap<&'a str, Ran>,
    /// How many steps are not known, because too many different calls come before one.
    ignored: usize,
}

/// Calls of one name that no other call has followed.
#[derive(Debug, Default)]
struct Ran {
    /// From when on others may have waited for it, its end, and its place.
    running: BinaryHeap<Reverse<(u64, u64, usize)>>,
    /// The end and the place.
    ended: BinaryHeap<(u64, usize)>,
}

// === impl Steps ===

impl<'a> Steps<'a> {
    /// Reads the attribute: `a > b; c > d` for two chains.
    pub(super) fn of(chains: &'a str) -> Self {
        let mut steps = Self::default();
        for chain in chains.split("; ") {
            let mut names = chain.split(" > ").map(str::trim);
            let Some(mut earlier) = names.next() else { continue };
            for later in names {
                let before = steps.before.entry(later).or_default();
                if let Some((_, times)) = before.iter_mut().find(|(name, _)| *name == earlier) {
                    *times += 1;
                } else if before.len() < FOLLOWED {
                    before.push((earlier, 1));
                    steps.ran.entry(earlier).or_default();
                } else {
                    steps.ignored += 1;
                }
                earlier = later;
            }
        }
        steps
    }

    /// Returns how many steps were not read.
    pub(super) fn ignored(&self) -> usize {
        self.ignored
    }

    /// Takes the next call, and returns the place of the one that it follows.
    pub(super) fn next(&mut self, place: usize, name: &str, time: Interval) -> Option<usize> {
        let follows = self.follows(name, time.start);
        if let Some(ran) = self.ran.get_mut(name) {
            ran.running.push(Reverse((time.waited_until(), time.end, place)));
        }
        follows
    }

    fn follows(&mut self, name: &str, start: u64) -> Option<usize> {
        let before = self.before.get_mut(name)?;
        let mut last = None;
        for (at, (earlier, _)) in before.iter().enumerate().filter(|(_, (_, times))| *times > 0) {
            if let Some(call) = self.ran.get_mut(earlier).and_then(|ran| ran.last(start)) {
                last = last.max(Some((call, at)));
            }
        }
        let ((_, place), at) = last?;
        let (earlier, times) = &mut before[at];
        *times -= 1;
        self.ran.get_mut(earlier)?.ended.pop();
        Some(place)
    }
}

// === impl Ran ===

impl Ran {
    /// Returns the call that ended last before this time, with its end.
    fn last(&mut self, start: u64) -> Option<(u64, usize)> {
        while let Some(Reverse((until, end, place))) = self.running.peek().copied()
            && until <= start
        {
            self.running.pop();
            self.ended.push((end, place));
        }
        self.ended.peek().copied()
    }
}
