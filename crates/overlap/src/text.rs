//! Findings in plain English.

use std::time::Duration;

use crate::{
    analysis::{Analysis, Certainty, FOLLOWED, FanOut, Reason, Sequence},
    operations::{Finding, Operation},
    trace::{SpanIndex, Trace},
};

/// So many findings of one trace are told; the rest is a number.
const TOLD: usize = 10;
/// So many names of calls are told.
const NAMED: usize = 4;
/// Which part of the whole has to be saved to be worth a word: tasks that are started together never start at the same
/// instant.
const WORTH: u32 = 100;

/// What a sentence is about: a [`Sequence`] or a [`Finding`].
struct Facts<'a> {
    calls: usize,
    took: Duration,
    together: Duration,
    certainty: Certainty,
    because: Reason,
    repeated: Option<(&'a str, usize)>,
}

/// Says what was found in a trace: first what joining would save in all, then the sequences that would save something,
/// from the one that saves most.
pub fn verdict(trace: &Trace, analysis: &Analysis) -> Vec<String> {
    let Some(root) = trace.root() else { return vec!["The trace is empty.".to_owned()] };
    let (took, avoidable) = (trace.span(root).duration(), analysis.avoidable());
    let mut found: Vec<(Duration, String)> = Vec::new();
    for fan_out in analysis.fan_outs() {
        let place = format!("{}: {}", trace.span(fan_out.parent).service, trace.span(fan_out.parent).name);
        if let Some(sentence) = limited(trace, fan_out) {
            found.push((fan_out.avoidable, format!("{place}: {sentence}")));
            continue;
        }
        for sequence in fan_out.sequences.iter().filter(|sequence| is_worth(sequence.saves, took)) {
            let sentence = format!("{place}: {}: {}", names(trace, &sequence.calls), self::sequence(trace, sequence));
            found.push((sequence.saves, sentence));
        }
    }
    found.sort_by(|(one, _), (other, _)| other.cmp(one));
    let saved = match (analysis.saved(), found.is_empty() && !is_worth(avoidable, took)) {
        (Duration::ZERO, true) => "Nothing waited that could have run together.".to_owned(),
        (saved, true) => format!("Overlapping saved {}; nothing is left to join.", duration(saved)),
        _ if avoidable.is_zero() => {
            format!("It took {}; joining calls would make parts of it shorter, but not the whole.", duration(took))
        }
        _ => format!("It took {}; joining calls would save up to {}.", duration(took), duration(avoidable)),
    };
    let left_out = found.len().saturating_sub(TOLD);
    let mut sentences = vec![saved];
    sentences.extend(found.into_iter().take(TOLD).map(|(_, sentence)| sentence));
    if left_out > 0 {
        sentences.push(format!("{} more such sequences save less.", number(left_out as u64)));
    }
    if analysis.ignored_steps() > 0 {
        sentences.push(format!(
            "{} steps of fanout.chains were not read: a call may follow calls of at most {FOLLOWED} names. \
             What joining would save may be less.",
            number(analysis.ignored_steps() as u64)
        ));
    }
    sentences
}

/// Returns whether it is worth a word that joining would save so much of a time.
fn is_worth(saved: Duration, took: Duration) -> bool {
    !saved.is_zero() && saved >= took / WORTH
}

/// Says what a sequence took and what it would take together, with what shows it or as a condition.
pub fn sequence(trace: &Trace, sequence: &Sequence) -> String {
    let repeated = sequence.repeated.map(|repeated| (&*trace.span(repeated.call).name, repeated.times));
    let Sequence { took, together, certainty, because, .. } = *sequence;
    Facts { calls: sequence.calls.len(), took, together, certainty, because, repeated }.sentence()
}

/// Says what a finding of many traces took on average and what it would take together.
pub fn finding(finding: &Finding) -> String {
    let Finding { took, together, certainty, because, .. } = *finding;
    let repeated = finding.repeated.as_ref().map(|(name, times)| (&**name, *times));
    let facts = Facts { calls: finding.most, took, together, certainty, because, repeated };
    let names = list(finding.calls.iter().map(|name| &**name), finding.calls.len());
    let often = if finding.count == 1 {
        "seen once".to_owned()
    } else {
        format!("seen {} times, the averages", number(finding.count))
    };
    format!("{}: {names} ({often}): {}", finding.parent, facts.sentence())
}

/// Says how long an operation takes, and what joining would save of it.
pub fn operation(operation: &Operation) -> String {
    let Operation { service, name, wall, avoidable, saved_per_day, .. } = operation;
    let count = number(operation.count);
    let requests = if operation.count == 1 { "request" } else { "requests" };
    let took =
        format!("{service}: {name}: {count} {requests} took {} (p95 {})", duration(wall.p50), duration(wall.p95));
    if !is_worth(avoidable.p50, wall.p50) && !is_worth(avoidable.p95, wall.p95) {
        return format!("{took}; nothing is to be saved by joining.");
    }
    let saves = format!("joining would save {} (p95 {})", duration(avoidable.p50), duration(avoidable.p95));
    let a_day =
        if saved_per_day.is_zero() { String::new() } else { format!(", {} a day at this rate", long(*saved_per_day)) };
    let sure = match operation.certainty {
        Certainty::Independent => String::new(),
        Certainty::Dependent | Certainty::Unknown => ", if the calls do not need one another".to_owned(),
    };
    format!("{took}; {saves}{a_day}{sure}.")
}

/// Says how the calls of a span overlapped.
pub fn fan_out(fan_out: &FanOut) -> String {
    let calls = fan_out.calls.len();
    let calls = if calls == 1 { "1 call".to_owned() } else { format!("{} calls", number(calls as u64)) };
    format!(
        "{calls} in {}, {} one by one: {} saved, {} avoidable",
        duration(fan_out.wall),
        duration(fan_out.sum),
        duration(fan_out.saved),
        duration(fan_out.avoidable)
    )
}

/// Names a sequence's calls in the order in which they ran, each once.
pub fn names(trace: &Trace, calls: &[SpanIndex]) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for call in calls {
        let name = &*trace.span(*call).name;
        if !seen.contains(&name) {
            seen.push(name);
            if seen.len() > NAMED {
                break;
            }
        }
    }
    let len = if seen.len() > NAMED { calls.len() } else { seen.len() };
    list(seen.into_iter(), len)
}

fn list<'a>(names: impl Iterator<Item = &'a str>, len: usize) -> String {
    let mut names: Vec<_> = names.take(NAMED).collect();
    if len > NAMED {
        names.push("…");
    }
    names.join(", ")
}

/// Says that calls of one kind ran so many at a time, if that is what the sequences are.
fn limited(trace: &Trace, fan_out: &FanOut) -> Option<String> {
    let lanes = fan_out.sequences.len();
    let name = &trace.span(*fan_out.calls.first()?).name;
    let alike = fan_out.calls.iter().all(|call| trace.span(*call).name == *name);
    if lanes < 2 || !alike || fan_out.avoidable.is_zero() {
        return None;
    }
    let at_once = fan_out.overlaps().iter().map(|overlap| overlap.calls).max()?;
    let (wall, calls) = (fan_out.wall, number(fan_out.calls.len() as u64));
    Some(format!(
        "{calls} calls of {name} ran at most {} at a time and took {}; all at once they would take {}, if what they call bears it.",
        number(at_once as u64),
        duration(wall),
        duration(wall.saturating_sub(fan_out.avoidable))
    ))
}

// === impl Facts ===

impl Facts<'_> {
    fn sentence(&self) -> String {
        let (took, together) = (duration(self.took), duration(self.together));
        let two = self.calls == 2;
        let one_after = if two { "one after the other" } else { "one after another" };
        let calls = number(self.calls as u64);
        let what = match self.repeated {
            Some((name, times)) if times == self.calls => format!("{calls} calls of {name} {one_after}"),
            Some((name, times)) => format!("{calls} calls {one_after}, {} of them {name},", number(times as u64)),
            None => format!("{calls} calls {one_after}"),
        };
        let needs = if two { "the second needs the first" } else { "each needs the one before" };
        let why = match (self.certainty, self.because) {
            (Certainty::Dependent, because) => {
                let shown = if because == Reason::Link { "a link shows it" } else { "the program says so" };
                return format!("{what} took {took}; {needs} ({shown}), so joining saves nothing.");
            }
            (Certainty::Independent, Reason::Overlapped { traces }) => {
                let often =
                    if traces == 1 { "once".to_owned() } else { format!("in {} traces", number(traces.into())) };
                let so = if two { "neither needs the other" } else { "none needs another" };
                format!(": they have run at the same time {often}, so {so}.")
            }
            (Certainty::Independent, _) if two => {
                ": the second reads without parameters, so it does not need the first.".to_owned()
            }
            (Certainty::Independent, _) => {
                ": the later ones read without parameters, so they need no earlier one.".to_owned()
            }
            (Certainty::Unknown, because) => {
                let condition =
                    if two { "if the second does not need the first" } else { "if none needs an earlier one" };
                let always = match because {
                    Reason::AwaitedInTurn { traces } => {
                        let traces = number(traces.into());
                        format!(" In all of {traces} traces each started as soon as the one before had ended.")
                    }
                    _ => String::new(),
                };
                format!(", {condition}.{always}")
            }
        };
        format!("{what} took {took}; together they would take {together}{why}")
    }
}

/// Writes a duration of minutes and more with its two largest units: "2 d 3 h", "1 h 5 min", "3 min 20 s". Shorter ones
/// are written as by [`duration`].
pub fn long(long: Duration) -> String {
    const UNITS: [(u64, &str, u64, &str); 3] = [(86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")];
    let seconds = long.as_secs();
    let Some((size, unit, smaller_size, smaller)) = UNITS.into_iter().find(|(size, ..)| seconds >= *size) else {
        return duration(long);
    };
    let (whole, rest) = (number(seconds / size), seconds % size / smaller_size);
    if rest == 0 { format!("{whole} {unit}") } else { format!("{whole} {unit} {rest} {smaller}") }
}

/// Writes a duration with three digits and its unit: "3.00 s", "250 ms", "1.20 ms", "80 µs".
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    // The unit in which the rounded number has at most three digits before the point.
    let (value, unit) = match seconds {
        0.0 => return "0 s".to_owned(),
        s if s >= 0.9995 => (s, "s"),
        s if s >= 0.999_5e-3 => (s * 1e3, "ms"),
        s if s >= 0.999_5e-6 => (s * 1e6, "µs"),
        s => (s * 1e9, "ns"),
    };
    let digits = if value >= 99.95 || unit == "ns" {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

/// Writes a number with a comma between thousands: "100,000".
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        let cases = [
            (0, "0 s"),
            (7, "7 ns"),
            (999, "999 ns"),
            (1_500, "1.50 µs"),
            (999_960, "1.00 ms"),
            (12_345_678, "12.3 ms"),
            (250_000_000, "250 ms"),
            (999_700_000, "1.00 s"),
            (6_000_000_000, "6.00 s"),
            (3_725_000_000_000, "3725 s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn long_durations_have_two_units() {
        let cases = [(59, "59.0 s"), (60, "1 min"), (200, "3 min 20 s"), (3900, "1 h 5 min"), (183_599, "2 d 2 h")];
        for (seconds, text) in cases {
            assert_eq!(long(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
    }
}
