//! The faults, their load and what happens to the replicas.

use std::{io, time::Duration};

use rustix::process::Signal;

use crate::{
    BoxError,
    load::{self, Call, Outcomes},
    replica::Replica,
    rival::BoxChannel,
};

/// The calls of most faults: 10 ms each, 500 in a second.
const CALL: Call = Call { delay_ms: 10, padding_bytes: 0 };
const RATE: u32 = 500;
const CALLS: usize = 3_000;

/// 64 KiB replies, and connections that end in the middle of one.
const LARGE_CALL: Call = Call { delay_ms: 10, padding_bytes: 65_536 };
const RESET_AFTER: usize = 1_000_000;

const BURST: usize = 10_000;
const BURST_CALL: Call = Call { delay_ms: 500, padding_bytes: 0 };

const CANCELLATIONS: usize = 50_000;
const CANCELLED_CALL: Call = Call { delay_ms: 1_000, padding_bytes: 0 };
const CANCEL_WAVE: usize = 200;
const CANCEL_AFTER: Duration = Duration::from_millis(10);
const CALLS_BESIDE: usize = 400;
const RATE_BESIDE: u32 = 100;
const CALLS_AFTER: usize = 1_000;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// The first of three replicas is killed.
    Killed,
    /// The first of three replicas is stopped, and continued later.
    Stopped,
    /// The first of three replicas resets its connections in the middle of a reply.
    Reset,
    /// 1 % of the calls take 100 times as long.
    Tail,
    /// 10,000 calls at once, 500 ms each.
    Burst,
    /// 50,000 cancelled calls to one replica. Counted are 400 calls beside them and 1,000 after.
    Cancellations,
}

// === impl Fault ===

impl Fault {
    /// What the table calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Killed => "one of three killed",
            Self::Stopped => "one of three stopped",
            Self::Reset => "connections reset in mid-reply",
            Self::Tail => "1 % of calls 100 × slower",
            Self::Burst => "burst of calls at once",
            Self::Cancellations => "cancellations on one connection",
        }
    }

    /// Starts the replicas.
    ///
    /// # Errors
    ///
    /// Returns an error if a server does not start.
    pub(crate) fn replicas(self) -> io::Result<Vec<Replica>> {
        let count = if self == Self::Cancellations { 1 } else { 3 };
        (0..count).map(|index| Replica::start(&self.server_args(index))).collect()
    }

    fn server_args(self, index: usize) -> Vec<String> {
        match self {
            Self::Reset if index == 0 => vec!["--reset-after".to_owned(), RESET_AFTER.to_string()],
            Self::Tail => vec!["--tail".to_owned(), index.to_string()],
            _ => Vec::new(),
        }
    }

    /// Puts the load on the channel while the fault happens.
    ///
    /// # Errors
    ///
    /// Returns an error if a signal cannot be sent.
    pub(crate) async fn run(
        self,
        channel: &BoxChannel,
        replicas: &[Replica],
        quick: bool,
    ) -> Result<Outcomes, BoxError> {
        let count = |full: usize, share: usize| if quick { full / share } else { full };
        let calls = count(CALLS, 5);
        Ok(match self {
            Self::Killed => under_load(channel, calls, &[(&replicas[0], Signal::KILL)]).await?,
            Self::Stopped => {
                under_load(channel, calls, &[(&replicas[0], Signal::STOP), (&replicas[0], Signal::CONT)]).await?
            }
            Self::Reset => load::at_rate(channel, LARGE_CALL, calls, RATE).await,
            Self::Tail => load::at_rate(channel, CALL, calls, RATE).await,
            Self::Burst => load::at_once(channel, BURST_CALL, count(BURST, 10)).await,
            Self::Cancellations => {
                let cancellations = count(CANCELLATIONS, 25);
                let (mut outcomes, ()) = tokio::join!(
                    load::at_rate(channel, CALL, count(CALLS_BESIDE, 5), RATE_BESIDE),
                    load::cancelled(channel, CANCELLED_CALL, cancellations, CANCEL_WAVE, CANCEL_AFTER),
                );
                outcomes.merge(load::at_rate(channel, CALL, count(CALLS_AFTER, 5), RATE).await);
                outcomes
            }
        })
    }
}

/// Sends the signals after one third and two thirds of the calls.
async fn under_load(channel: &BoxChannel, calls: usize, signals: &[(&Replica, Signal)]) -> Result<Outcomes, BoxError> {
    let third = Duration::from_secs(1) / RATE * u32::try_from(calls / 3)?;
    let faults = async {
        for (replica, signal) in signals {
            tokio::time::sleep(third).await;
            replica.signal(*signal)?;
        }
        Ok::<_, io::Error>(())
    };
    let (outcomes, signalled) = tokio::join!(load::at_rate(channel, CALL, calls, RATE), faults);
    signalled?;
    Ok(outcomes)
}
