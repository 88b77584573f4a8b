//! What tells `fanout up` to stop.

use std::{fs, io};

use service_kit::signals::Signals;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives SIGTERM, SIGINT and SIGHUP, which is sent when the terminal is closed.
pub(super) struct StopSignals {
    signals: Signals,
    /// `None` if it is to be ignored, as `nohup` has it.
    hangup: Option<Signal>,
}

// === impl StopSignals ===

impl StopSignals {
    /// Installs the handlers.
    pub(super) fn new() -> io::Result<Self> {
        let ignored = fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status));
        let hangup = if ignored { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { signals: Signals::new()?, hangup })
    }

    /// Waits for the next signal. Cancel safe.
    pub(super) async fn recv(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => {
                    hangup.recv().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.signals.recv() => {}
            () = hangup => {}
        }
    }
}

/// Returns whether SIGHUP is ignored, from Linux's `/proc/self/status`, which has a bit for each signal.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sighup_is_the_first_bit() {
        assert!(ignores_hangup("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
