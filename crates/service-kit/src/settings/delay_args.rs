//! Simulated latency and faults as command-line flags.

use fault_injection::{Capacity, DelaySettings, Distribution, ErrorRate};

/// Simulated latency and faults: the flags of [`DelaySettings`].
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Simulated latency and faults")]
pub struct DelayArgs {
    /// How long each request takes: 0, 300ms, 300ms±30ms (or 300ms+-30ms: mean and standard deviation)
    /// or p50=20ms,p99=200ms (a long tail); at most 60s
    #[arg(long, value_name = "DELAY", default_value = "3s", allow_hyphen_values = true)]
    pub delay: Distribution,

    /// The share of the requests that fail with UNAVAILABLE, 0 to 1 or 0% to 100%
    #[arg(long, value_name = "RATE", default_value = "0", allow_hyphen_values = true)]
    pub error_rate: ErrorRate,

    /// How many requests are handled at a time, 1 to 1000000; more wait in a queue [default: no limit]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub capacity: Option<Capacity>,

    /// Let a request change its own delay and error rate through W3C baggage, as in
    /// `baggage: user.delay=500ms,user.error-rate=0.5`
    #[arg(long)]
    pub allow_overrides: bool,
}

// === impl DelayArgs ===

impl DelayArgs {
    /// Returns the settings of the service with this name in the keys of overrides, such as `user` in `user.delay`.
    pub fn for_service(self, service: &'static str) -> DelaySettings {
        let Self { delay, error_rate, capacity, allow_overrides } = self;
        DelaySettings { service, delay, error_rate, capacity, allow_overrides }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        delay: DelayArgs,
    }

    fn settings(args: &[&str]) -> Result<DelaySettings, clap::Error> {
        let program = Program::try_parse_from([&["program"], args].concat())?;
        Ok(program.delay.for_service("user"))
    }

    #[test]
    fn defaults_are_three_seconds_and_no_faults() {
        let expected = DelaySettings {
            service: "user",
            delay: Distribution::constant(Duration::from_secs(3)),
            error_rate: ErrorRate::ZERO,
            capacity: None,
            allow_overrides: false,
        };
        assert_eq!(settings(&[]).unwrap(), expected);
    }

    #[test]
    fn every_flag_is_read() {
        let args = ["--delay", "300ms±30ms", "--error-rate", "5%", "--capacity", "8", "--allow-overrides"];
        let settings = settings(&args).unwrap();
        assert_eq!(settings.delay.to_string(), "300ms±30ms");
        assert_eq!(settings.error_rate.to_string(), "0.05");
        assert_eq!(settings.capacity.map(Capacity::get), Some(8));
        assert!(settings.allow_overrides);
    }

    #[test]
    fn an_invalid_value_is_rejected_with_what_is_allowed() {
        for (flag, value) in [("--delay", "61s"), ("--delay", "-3s"), ("--error-rate", "-1"), ("--capacity", "0")] {
            let error = settings(&[flag, value]).expect_err(value).to_string();
            assert!(error.contains(flag) && error.contains("expected"), "{error}");
        }
    }
}
