//! The flags that limit the rate of requests.

use std::{num::NonZeroU32, str::FromStr};

use rpc_layers::rate_limit::RateLimit;

/// The largest rate and burst: more than a process serves.
const MAX: u32 = 1_000_000;

/// The flags that limit how many requests a caller makes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct RateArgs {
    /// How many requests an identity or, without one, an IP address (of IPv6: a /64 network) may make, such as 100/s; off
    /// for no limit
    #[arg(long, default_value = "off", value_name = "RATE")]
    pub rate_limit: Rate,
    /// How many of them may come at once after a pause; as many as in a second by default
    #[arg(long, value_parser = burst, value_name = "N")]
    pub rate_limit_burst: Option<NonZeroU32>,
}

/// Requests in a second, such as `100/s`; `off` is without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(Option<NonZeroU32>);

// === impl RateArgs ===

impl RateArgs {
    /// Returns the limit, `None` if there is none.
    pub fn limit(&self) -> Option<RateLimit> {
        let Rate(per_second) = self.rate_limit;
        per_second.map(|per_second| RateLimit { per_second, burst: self.rate_limit_burst.unwrap_or(per_second) })
    }
}

fn burst(text: &str) -> Result<NonZeroU32, String> {
    number(text).ok_or_else(|| format!("expected a whole number from 1 to {MAX}"))
}

fn number(text: &str) -> Option<NonZeroU32> {
    text.parse().ok().filter(|number: &NonZeroU32| number.get() <= MAX)
}

// === impl Rate ===

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let rate = text.strip_suffix("/s").and_then(number);
        rate.map(|rate| Self(Some(rate))).ok_or_else(|| format!("expected 1/s to {MAX}/s, such as 100/s, or off"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_its_unit() {
        assert_eq!("off".parse(), Ok(Rate(None)));
        assert_eq!("100/s".parse(), Ok(Rate(NonZeroU32::new(100))));
        for bad in ["100", "0/s", "1000001/s", "100/m", "-1/s", "/s", "on", ""] {
            assert_eq!(
                bad.parse::<Rate>(),
                Err("expected 1/s to 1000000/s, such as 100/s, or off".to_owned()),
                "{bad:?}"
            );
        }
        assert_eq!(burst("0"), Err("expected a whole number from 1 to 1000000".to_owned()));
    }

    #[test]
    fn a_burst_is_a_second_unless_it_is_set() {
        let limit = |rate: &str, burst| RateArgs { rate_limit: rate.parse().unwrap(), rate_limit_burst: burst }.limit();
        let number = |number| NonZeroU32::new(number).unwrap();
        assert_eq!(limit("off", Some(number(7))), None);
        assert_eq!(limit("9/s", None), Some(RateLimit { per_second: number(9), burst: number(9) }));
        assert_eq!(limit("9/s", Some(number(7))), Some(RateLimit { per_second: number(9), burst: number(7) }));
    }
}
