//! How many requests a second are shown one by one: a flooded terminal shows nothing, and slows down what it shows.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// How many requests are shown in a second. Under load, when a second has more, those that follow have a count each.
const SHOWN: u64 = 10;

/// How long requests are counted for one line.
const WINDOW: Duration = Duration::from_secs(1);

/// Decides which requests are shown, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    window: Option<Window>,
    /// The end of the last second that had more requests than are shown.
    flooded: Option<Instant>,
}

#[derive(Debug)]
struct Window {
    ends: Instant,
    /// How many more requests are shown.
    left: u64,
    hidden: BTreeMap<String, u64>,
    /// Whether some requests of this second were shown.
    has_shown: bool,
}

/// The requests of a second that were not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// How many requests ended with each code, the most frequent code first.
    pub(crate) codes: Vec<(String, u64)>,
    /// Whether other requests of the same second were shown.
    pub(crate) has_shown: bool,
}

// === impl Sample ===

impl Sample {
    /// Returns whether a request that ends now with this code is shown. Others are counted.
    pub(crate) fn is_shown(&mut self, now: Instant, code: &str) -> bool {
        let window = self.window.get_or_insert_with(|| {
            let is_flooded = self.flooded.is_some_and(|end| now < end + WINDOW);
            let left = if is_flooded { 0 } else { SHOWN };
            Window { ends: now + WINDOW, left, hidden: BTreeMap::new(), has_shown: false }
        });
        if window.left > 0 {
            window.left -= 1;
            window.has_shown = true;
            return true;
        }
        if let Some(count) = window.hidden.get_mut(code) {
            *count += 1;
        } else {
            window.hidden.insert(code.to_owned(), 1);
        }
        false
    }

    /// Returns whether a second is being counted: [`end`](Self::end) has to be called at its end.
    pub(crate) fn is_open(&self) -> bool {
        self.window.is_some()
    }

    /// Ends the second if it is over, and returns what it counted, if anything.
    pub(crate) fn end(&mut self, now: Instant) -> Option<Summary> {
        let window = self.window.take_if(|window| now >= window.ends)?;
        self.summarize(window)
    }

    /// Ends the second although it is not over.
    pub(crate) fn end_early(&mut self) -> Option<Summary> {
        let window = self.window.take()?;
        self.summarize(window)
    }

    fn summarize(&mut self, Window { ends, hidden, has_shown, .. }: Window) -> Option<Summary> {
        if hidden.values().sum::<u64>() > if has_shown { 0 } else { SHOWN } {
            self.flooded = Some(ends);
        }
        let mut codes: Vec<_> = hidden.into_iter().collect();
        codes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        (!codes.is_empty()).then_some(Summary { codes, has_shown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends `count` requests at once, and returns how many are shown.
    fn requests(sample: &mut Sample, now: Instant, count: u64) -> u64 {
        (0..count).map(|_| u64::from(sample.is_shown(now, "OK"))).sum()
    }

    #[test]
    fn ten_in_a_second_are_shown_and_the_others_counted() {
        let (mut sample, start) = (Sample::default(), Instant::now());
        assert_eq!(requests(&mut sample, start, 10), 10);
        assert_eq!(sample.end(start + WINDOW), None, "nothing was hidden");
        assert!(!sample.is_open());

        let later = start + WINDOW;
        assert_eq!(requests(&mut sample, later, 4812), 10);
        assert!(!sample.is_shown(later, "UNAVAILABLE"));
        assert_eq!(sample.end(later), None, "the second is not over");
        let codes = vec![("OK".to_owned(), 4802), ("UNAVAILABLE".to_owned(), 1)];
        assert_eq!(sample.end(later + WINDOW), Some(Summary { codes, has_shown: true }));
    }

    #[test]
    fn under_load_every_second_is_one_count_until_there_are_few_again() {
        let (mut sample, start) = (Sample::default(), Instant::now());
        let at = |second: u32| start + WINDOW * second;
        let mut second = |number: u32, count| {
            let shown = requests(&mut sample, at(number), count);
            (shown, sample.end(at(number + 1)).map(|summary| summary.codes[0].1))
        };
        assert_eq!(second(0, 50), (10, Some(40)));
        assert_eq!(second(1, 50), (0, Some(50)));
        assert_eq!(second(2, 3), (0, Some(3)), "the second before it had many");
        assert_eq!(second(3, 3), (3, None));
        assert_eq!(second(4, 11), (10, Some(1)));
        assert_eq!(second(9, 1), (1, None), "the load was long ago");
    }

    #[test]
    fn the_end_of_the_program_ends_the_second() {
        let (mut sample, start) = (Sample::default(), Instant::now());
        requests(&mut sample, start, 11);
        assert_eq!(sample.end_early().unwrap().codes, [("OK".to_owned(), 1)]);
        assert_eq!(sample.end_early(), None);
    }
}
