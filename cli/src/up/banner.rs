//! What runs where, and what to type next.

use std::{fmt::Write as _, io, time::Duration};

use serde_json::json;

use super::{MetricsPorts, Running, UpArgs};
use crate::terminal::{
    stdout,
    style::{Role, Style},
};

/// Says on standard output that all is up: for eyes, or as one line of JSON.
pub(super) fn print(
    args: &UpArgs,
    metrics: Option<&MetricsPorts>,
    running: &[Running],
    after: Duration,
) -> io::Result<()> {
    if args.output.json {
        let ready_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        let line = json!({ "message": "up", "ready_ms": ready_ms, "services": running });
        return stdout::print(&format!("{line}\n"));
    }
    let style = args.output.terminal().style;
    stdout::print(&text(style, args, metrics, running, after))
}

/// This program, by the words that it was started with: they work again.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "fanout".to_owned())
}

fn text(style: Style, args: &UpArgs, metrics: Option<&MetricsPorts>, running: &[Running], after: Duration) -> String {
    let mut text = String::new();
    let heading = format!("fanout is up after {}", style.duration(after));
    let _ = writeln!(text, "\n{}\n", style.paint(Role::Heading, &heading));
    for Running { service, address, pid, .. } in running {
        let note =
            if *service == "gateway" { "calls the others".to_owned() } else { format!("answers after {}", args.delay) };
        let note = style.paint(Role::Quiet, &format!("process {pid}, {note}"));
        let _ = writeln!(text, "  {service:<16} {address:<16}  {note}");
    }
    if metrics.is_some() {
        text.push_str(&metrics_text(running));
    }
    let gateway = running.iter().find(|running| running.service == "gateway").map(|running| running.address);
    let Some(gateway) = gateway else { return text };
    let flag = if gateway.port() == 50051 { String::new() } else { format!(" --gateway http://{gateway}") };
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

/// Where the metrics are. Only the services know which port they were given where any would do.
fn metrics_text(running: &[Running]) -> String {
    let mut text = String::from("\nMetrics:\n");
    for Running { service, metrics, .. } in running {
        let Some(url) = metrics else { return "\nMetrics: on free ports, which the log says\n".to_owned() };
        let _ = writeln!(text, "  {service:<16} {url}");
    }
    text
}
