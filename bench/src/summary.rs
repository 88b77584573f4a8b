//! Medians, spreads and ratios of samples.

use serde::Serialize;

use crate::sample::Sample;

/// A subject at a point of a scenario.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) subject: &'static str,
    /// The subject that the ratios are of. It may have been skipped; then there are none.
    pub(crate) reference: &'static str,
    pub(crate) in_flight: usize,
    pub(crate) width: usize,
    pub(crate) requests: u64,
    /// How many requests had no answer.
    pub(crate) failed: u64,
    /// Microseconds for each answer.
    pub(crate) processor: Spread,
    pub(crate) kernel_share: Spread,
    pub(crate) per_second: Spread,
    /// Microseconds.
    pub(crate) p50: Spread,
    pub(crate) p99: Spread,
    /// The processor time, compared round by round with that of the reference at the same point. None for the reference
    /// itself.
    pub(crate) processor_ratio: Option<Spread>,
    pub(crate) per_second_ratio: Option<Spread>,
    pub(crate) p50_ratio: Option<Spread>,
}

/// The median of all rounds, the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// Returns a row for each subject and point, in the order of the samples.
pub(crate) fn summarize(samples: &[Sample]) -> Vec<Row> {
    let mut groups: Vec<Vec<&Sample>> = Vec::new();
    for sample in samples {
        match groups.iter_mut().find(|group| is_alike(group[0], sample) && group[0].subject == sample.subject) {
            Some(group) => group.push(sample),
            None => groups.push(vec![sample]),
        }
    }
    groups.iter().map(|group| row(group, samples)).collect()
}

fn row(group: &[&Sample], samples: &[Sample]) -> Row {
    let first = group[0];
    let of = |value: fn(&Sample) -> f64| Spread::of(group.iter().map(|sample| value(sample)));
    let ratio = |value: fn(&Sample) -> f64| {
        let in_round = |sample: &Sample| {
            let other = samples.iter().find(|other| {
                is_alike(other, sample) && other.subject == sample.reference && other.round == sample.round
            })?;
            Some(value(sample) / value(other))
        };
        let mut ratios = group.iter().filter_map(|sample| in_round(sample)).peekable();
        ratios.peek()?;
        (first.subject != first.reference).then(|| Spread::of(ratios))
    };
    Row {
        scenario: first.scenario.clone(),
        subject: first.subject,
        reference: first.reference,
        in_flight: first.in_flight,
        width: first.width,
        requests: group.iter().map(|sample| sample.requests).sum(),
        failed: group.iter().flat_map(|sample| sample.failures.values()).sum(),
        processor: of(|sample| sample.processor),
        kernel_share: of(|sample| sample.kernel_share),
        per_second: of(|sample| sample.per_second),
        p50: of(|sample| sample.p50),
        p99: of(|sample| sample.p99),
        processor_ratio: ratio(|sample| sample.processor),
        per_second_ratio: ratio(|sample| sample.per_second),
        p50_ratio: ratio(|sample| sample.p50),
    }
}

/// Returns whether two samples are of the same point of the same scenario.
fn is_alike(one: &Sample, other: &Sample) -> bool {
    let point = |sample: &Sample| (sample.in_flight, sample.width);
    one.scenario == other.scenario && point(one) == point(other)
}

/// How much figures of the same thing differ from round to round: greatest less least, as a part of the median. Of all rows
/// the median. None for a single round.
pub(crate) fn noise(rows: &[&Row], figure: fn(&Row) -> Option<Spread>) -> Option<f64> {
    let widths = rows.iter().filter_map(|row| figure(row)).map(|spread| (spread.max - spread.min) / spread.median);
    let width = Spread::of(widths).median;
    (width > 0.0).then_some(width)
}

// === impl Spread ===

impl Spread {
    /// Returns that of at least one value.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (values.first().copied(), values.last().copied()) else {
            return Self { median: f64::NAN, min: f64::NAN, max: f64::NAN };
        };
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Self { median, min, max }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sample(subject: &'static str, in_flight: usize, round: usize, processor: f64) -> Sample {
        Sample {
            scenario: "peers".into(),
            subject,
            reference: "plain",
            in_flight,
            width: 2,
            round,
            requests: 10,
            failures: BTreeMap::from([("refused".into(), 1)]),
            reply_bytes: 1,
            processor,
            kernel_share: 0.5,
            per_second: 1.0,
            p50: 1.0,
            p99: 1.0,
        }
    }

    #[test]
    fn ratios_are_of_the_same_round_and_point() {
        // The machine is half as fast in the second round.
        let samples = [
            sample("plain", 1, 0, 10.0),
            sample("ours", 1, 0, 5.0),
            sample("ours", 1, 1, 12.0),
            sample("plain", 1, 1, 20.0),
            sample("plain", 1, 2, 10.0),
            sample("ours", 1, 2, 4.0),
            sample("plain", 8, 0, 1.0),
        ];
        let rows = summarize(&samples);
        let names: Vec<_> = rows.iter().map(|row| (row.subject, row.in_flight, row.requests, row.failed)).collect();
        assert_eq!(names, [("plain", 1, 30, 3), ("ours", 1, 30, 3), ("plain", 8, 10, 1)]);
        assert_eq!(rows[0].processor_ratio, None);
        assert_eq!(rows[1].processor_ratio, Some(Spread { median: 0.5, min: 0.4, max: 0.6 }));
        assert_eq!(rows[1].processor, Spread { median: 5.0, min: 4.0, max: 12.0 });
    }

    #[test]
    fn without_the_reference_there_are_no_ratios() {
        let rows = summarize(&[sample("ours", 1, 0, 5.0), sample("other", 1, 0, 10.0)]);
        assert_eq!(rows.iter().map(|row| row.processor_ratio).collect::<Vec<_>>(), [None, None]);
        // In one round of two it is there.
        let rows = summarize(&[sample("ours", 1, 0, 5.0), sample("plain", 1, 1, 10.0), sample("ours", 1, 1, 6.0)]);
        assert_eq!(rows[0].processor_ratio, Some(Spread { median: 0.6, min: 0.6, max: 0.6 }));
    }

    #[test]
    fn noise_is_how_wide_the_usual_row_is() {
        let samples = [
            sample("plain", 1, 0, 10.0),
            sample("plain", 1, 1, 12.0),
            sample("plain", 1, 2, 9.0),
            sample("ours", 1, 0, 5.0),
            sample("ours", 1, 1, 5.0),
            sample("ours", 1, 2, 10.0),
        ];
        let rows = summarize(&samples);
        let rows: Vec<_> = rows.iter().collect();
        assert_eq!(noise(&rows, |row| Some(row.processor)), Some(0.65));
        assert_eq!(noise(&rows[..1], |row| row.processor_ratio), None);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_two() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0].into_iter()), Spread { median: 3.0, min: 1.0, max: 9.0 });
    }
}
