//! The signals that ask a process to stop, or to read its files again.

use std::io;

use futures::{StreamExt as _, stream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::serve::Shutdown;

/// Calls `reload` at each SIGHUP, which ends the process no more, until the runtime ends.
///
/// # Errors
///
/// Returns an error if the operating system refuses the handler.
///
/// # Panics
///
/// Panics outside of a tokio runtime.
pub fn on_hangup(reload: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload();
        }
    });
    Ok(())
}

/// Receives SIGTERM and SIGINT, which end the process no more.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

// === impl Signals ===

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system refuses the handlers.
    pub fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal. Signals of one kind that arrive before it is called are one. Cancel safe.
    pub async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Returns a stream of the signals, for a server.
    pub fn into_shutdown(self) -> Shutdown {
        let next = |mut signals: Self| async {
            signals.recv().await;
            Some(((), signals))
        };
        stream::unfold(self, next).boxed()
    }
}
