//! Stops all services: what is waited for, and the end of waiting.

use std::{io, time::Duration};

use rustix::process::Signal;
use service_kit::process::EX_TEMPFAIL;
use tokio::time::{Instant, timeout};

use crate::{
    services::Kind,
    terminal::{duration_format::short, style::Style, text_layout::counted},
    up::{args::UpArgs, child::Child, console::Console, stop_signals::StopSignals},
};

/// How long a service may take to end after its drain: its last spans, and some margin.
const MARGIN: Duration = Duration::from_secs(4);

/// How long a service may take to end when it is to end at once: its last spans.
const AT_ONCE: Duration = Duration::from_secs(3);

/// How long a service that has no requests in flight, or whose log does not say it, may take to end before it is said
/// that something holds it. One that has nothing to wait for ends much faster, also on a busy machine.
const PROMPT: Duration = Duration::from_secs(2);

/// What the end of the drain has cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CutOff {
    /// How many requests, if the log says it.
    pub(super) requests: Option<u64>,
    /// Whether a second signal has ended the drain.
    pub(super) at_once: bool,
}

/// How a service ended: `None` if it has cut off nothing, otherwise how many requests it has, if its log says it.
type End = Option<Option<u64>>;

/// What a stopping service waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitsFor {
    /// This many requests, at least one.
    Requests(u64),
    /// Connections that their clients keep open, without a request.
    Connections,
    /// Its log does not say it.
    Unknown,
}

/// How the services are stopped.
pub(super) struct Stop<'a> {
    drain: Duration,
    /// Whether anything but JSON may be printed.
    prints_text: bool,
    style: Style,
    console: &'a Console,
}

// === impl Stop ===

impl<'a> Stop<'a> {
    /// Returns how the services are stopped with these settings.
    pub(super) fn new(args: &UpArgs, console: &'a Console) -> Self {
        let (prints_text, style) = (args.prints_text(), args.output.terminal().style);
        Self { drain: args.drain, prints_text, style, console }
    }

    /// Stops all services, and waits for what they have in flight. Another signal ends them at once. Returns what was
    /// cut off.
    pub(super) async fn run(&self, children: &mut [Child], signals: &mut StopSignals) -> io::Result<Option<CutOff>> {
        let ended = tokio::select! {
            drained = self.drain(children) => drained,
            () = signals.recv() => self.end_at_once(children).await,
        };
        self.console.hide_live().await;
        ended
    }

    /// Stops all services: the gateway first, so that its calls in flight still reach the backends.
    /// Returns what was cut off by the end of a drain.
    async fn drain(&self, children: &mut [Child]) -> io::Result<Option<CutOff>> {
        if self.prints_text {
            let ellipsis = self.style.glyph("…", "...");
            self.console.show_live(move |_| format!("stopping {ellipsis}")).await;
        }
        let mut ends = Vec::new();
        // The viewer last: the others send their last spans to it.
        for kind in [Kind::Gateway, Kind::Backend, Kind::Viewer] {
            let stage = children.iter_mut().filter(|child| child.running().kind == kind);
            ends.extend(futures::future::try_join_all(stage.map(|child| self.drain_one(child))).await?);
        }
        Ok(cut_off(ends, false))
    }

    /// Ends a service with SIGTERM, and with SIGKILL if it still runs long after its drain.
    async fn drain_one(&self, child: &mut Child) -> io::Result<End> {
        child.signal(&[Signal::TERM]);
        let begun = Instant::now();
        let mut status = child.drain();
        let (service, pid, kind) = (child.running().service, child.running().pid, child.running().kind);
        let report = async {
            let first = timeout(PROMPT, status.wait_for(|status| status.in_flight.is_some())).await;
            let waits_for = match first.map(|first| first.map(|status| status.in_flight)) {
                // Its log has ended, and so will it.
                Ok(Err(_)) => std::future::pending().await,
                Ok(Ok(Some(requests @ 1..))) => WaitsFor::Requests(requests),
                Ok(Ok(_)) => {
                    tokio::time::sleep(PROMPT).await;
                    WaitsFor::Connections
                }
                Err(_) => WaitsFor::Unknown,
            };
            let of = if kind == Kind::Gateway { None } else { Some(service) };
            self.console.print(format!("{}\n", stopping(waits_for, of, self.drain))).await;
            let (drain, ellipsis) = (self.drain, self.style.glyph("…", "..."));
            self.console
                .show_live(move |_| {
                    let left = status.borrow().in_flight.filter(|left| *left > 0);
                    waiting(left, begun.elapsed(), drain, ellipsis)
                })
                .await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = timeout(self.drain + MARGIN, child.wait()) => {
                if let Ok(ended) = ended {
                    let has_cut_off = ended?.status.code() == Some(EX_TEMPFAIL.into());
                    return Ok(has_cut_off.then(|| child.drain().borrow().cut_off));
                }
            }
            () = report, if self.prints_text => {}
        }
        self.console.print_error(format!("fanout: the {service} (process {pid}) does not end; it is killed\n")).await;
        child.kill().await?;
        Ok(Some(None))
    }

    /// Ends all services at once, and returns what was cut off.
    async fn end_at_once(&self, children: &mut [Child]) -> io::Result<Option<CutOff>> {
        let ends = children.iter_mut().map(|child| async {
            // One of the two is the second signal, whether or not the service has got one before.
            child.signal(&[Signal::TERM, Signal::INT]);
            let (exit, was_killed) = match timeout(AT_ONCE, child.wait()).await {
                Ok(exit) => (exit?, false),
                Err(_) => (child.kill().await?, true),
            };
            let has_cut_off = was_killed || exit.status.code() == Some(EX_TEMPFAIL.into());
            Ok::<End, io::Error>(has_cut_off.then(|| child.drain().borrow().cut_off))
        });
        Ok(cut_off(futures::future::try_join_all(ends).await?, true))
    }
}

/// Returns what the services together have cut off.
fn cut_off(ends: Vec<End>, at_once: bool) -> Option<CutOff> {
    let cut_off: Vec<_> = ends.into_iter().flatten().collect();
    // The requests of the backends are those of the gateway: the most that one of them has is all that there were.
    let requests = cut_off.iter().copied().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    (!cut_off.is_empty()).then_some(CutOff { requests, at_once })
}

/// Says what is waited for, and how to wait no longer. `of` is the service, unless it is the gateway.
fn stopping(waits_for: WaitsFor, of: Option<&str>, drain: Duration) -> String {
    let of = of.map(|service| format!(" of the {service}")).unwrap_or_default();
    let what = match waits_for {
        WaitsFor::Requests(requests) => format!("{} in flight{of}", counted(requests, "request")),
        WaitsFor::Connections => format!("open connections{of}"),
        WaitsFor::Unknown => format!("requests in flight{of}"),
    };
    format!("stopping: {what}, at most {}; Ctrl-C again ends it now", short(drain))
}

/// Says how long it was waited, and for how many requests still.
fn waiting(left: Option<u64>, elapsed: Duration, drain: Duration, ellipsis: &str) -> String {
    let seconds = format!("{:.1} of {}", elapsed.as_secs_f64(), short(drain));
    match left {
        Some(left) => format!("waiting {ellipsis} {seconds}, {} in flight", counted(left, "request")),
        None => format!("waiting {ellipsis} {seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAIN: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_waited_for_is_one_line_of_80_columns() {
        assert_eq!(
            stopping(WaitsFor::Requests(1), None, DRAIN),
            "stopping: 1 request in flight, at most 10 s; Ctrl-C again ends it now"
        );
        let of_a_backend = stopping(WaitsFor::Requests(2), Some("user-service"), Duration::from_millis(1500));
        assert_eq!(
            of_a_backend,
            "stopping: 2 requests in flight of the user-service, at most 1.5 s; Ctrl-C again ends it now"
        );
        assert!(stopping(WaitsFor::Requests(16_384), None, DRAIN).len() < 80);
        assert!(stopping(WaitsFor::Connections, None, DRAIN).contains("open connections, at most 10 s"));
    }

    #[test]
    fn the_live_line_counts_seconds_and_requests() {
        let elapsed = Duration::from_millis(3240);
        assert_eq!(waiting(Some(2), elapsed, DRAIN, "…"), "waiting … 3.2 of 10 s, 2 requests in flight");
        assert_eq!(waiting(None, elapsed, DRAIN, "..."), "waiting ... 3.2 of 10 s");
    }
}
