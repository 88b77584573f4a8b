//! What runs where, and which commands to try next.

use std::{fmt::Write as _, time::Duration};

use fault_injection::Distribution;
use serde_json::json;

use crate::{
    gateway_client::address,
    services::Kind,
    terminal::style::{Role, Style},
    up::child::Running,
};

/// The message that all services are up.
pub(super) struct Banner<'a> {
    pub(super) running: &'a [Running],
    /// How long the backends take to reply.
    pub(super) delay: &'a Distribution,
    /// Whether Prometheus can scrape the services.
    pub(super) has_metrics: bool,
    pub(super) ready_after: Duration,
}

// === impl Banner ===

impl Banner<'_> {
    /// Returns the message as one line of JSON.
    pub(super) fn json(&self) -> String {
        let ready_ms = u64::try_from(self.ready_after.as_millis()).unwrap_or(u64::MAX);
        let line = json!({ "message": "up", "ready_ms": ready_ms, "services": self.running });
        format!("{line}\n")
    }

    /// Returns the message for people.
    pub(super) fn text(&self, style: Style) -> String {
        let mut text = String::new();
        let heading = format!("fanout is up after {}", style.duration(self.ready_after));
        let _ = writeln!(text, "\n{}\n", style.paint(Role::Heading, &heading));
        for Running { service, address, pid, kind, .. } in self.running {
            let note = match kind {
                Kind::Gateway => "calls the others".to_owned(),
                Kind::Backend => format!("answers after {}", self.delay),
            };
            let note = style.paint(Role::Quiet, &format!("process {pid}, {note}"));
            let _ = writeln!(text, "  {service:<16} {address:<16}  {note}");
        }
        if self.has_metrics {
            text.push_str(&metrics_text(self.running));
        }
        let Some(gateway) = self.running.iter().find(|running| running.kind == Kind::Gateway) else { return text };
        let gateway = gateway.address;
        let url = format!("http://{gateway}");
        let flag = if url == address::DEFAULT { String::new() } else { format!(" --gateway {url}") };
        let _ = writeln!(text, "\nSee it:");
        let _ = writeln!(text, "  {} compare{flag}", program());
        let _ = writeln!(text, "\nCall it:");
        let _ = writeln!(
            text,
            "  grpcurl -plaintext -d '{{\"user_id\": \"ada\", \"strategy\": \"STRATEGY_CONCURRENT\"}}' \\\n    \
             {gateway} fanout.gateway.v1.GatewayService/GetProfile"
        );
        let _ = writeln!(text, "\n{}\n", style.paint(Role::Quiet, "Ctrl-C stops them all. The log follows."));
        text
    }
}

/// Returns the words with which this program was started: they can be typed again.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "fanout".to_owned())
}

/// Lists the URLs of the metrics. Free ports are known to the services alone, which log them.
fn metrics_text(running: &[Running]) -> String {
    let mut text = String::from("\nMetrics:\n");
    for Running { service, metrics, .. } in running {
        let Some(url) = metrics else { return "\nMetrics: on free ports, see the log\n".to_owned() };
        let _ = writeln!(text, "  {service:<16} {url}");
    }
    text
}
