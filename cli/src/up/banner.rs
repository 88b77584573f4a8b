//! What runs where, and which commands to try next.

use std::{fmt::Write as _, net::SocketAddr, path::Path, time::Duration};

use serde_json::json;

use crate::{
    gateway_client::address,
    services::Kind,
    terminal::{
        capabilities::Terminal,
        shell::{command_line, word},
        style::Role,
        text_layout::{cut, pad, width, wrap},
    },
    up::{
        args::{LogView, UpArgs},
        child::Running,
        viewer::ViewerPlace,
    },
};

/// The width of the first column: the longest name of a service, and its margins.
const NAME: usize = 18;

/// The user of the examples, unless the database does not have it.
const EXAMPLE_USER: &str = "ada";

/// The message that all services are up.
pub(super) struct Banner<'a> {
    pub(super) args: &'a UpArgs,
    /// The words with which this program was started: they can be typed again.
    pub(super) program: &'a str,
    pub(super) running: &'a [Running],
    /// Where the viewer is, if there is one.
    pub(super) viewer: Option<&'a ViewerPlace>,
    /// The ids of some users, if they are known.
    pub(super) users: &'a [String],
    /// Whether Prometheus can scrape the services.
    pub(super) has_metrics: bool,
    /// The file with the authority that callers have to trust, if everything is encrypted.
    pub(super) authority: Option<&'a Path>,
    pub(super) ready_after: Duration,
}

// === impl Banner ===

impl Banner<'_> {
    /// Returns the message as one line of JSON.
    pub(super) fn json(&self) -> String {
        let ready_ms = u64::try_from(self.ready_after.as_millis()).unwrap_or(u64::MAX);
        let mut line = json!({ "message": "up", "ready_ms": ready_ms, "services": self.running });
        if let Some(authority) = self.authority {
            line["tls_ca"] = json!(authority);
        }
        if let Some(viewer) = self.viewer {
            line["view"] = json!(viewer);
        }
        format!("{line}\n")
    }

    /// Returns the message for people.
    pub(super) fn text(&self, terminal: Terminal) -> String {
        let mut text = String::new();
        let up = format!("fanout is up after {}", terminal.style.duration(self.ready_after));
        // The first line says where to look.
        let heading = match self.viewer {
            Some(viewer) => format!("{up}: open {}", viewer.url),
            None => up,
        };
        let _ = writeln!(text, "{}\n", terminal.style.paint(Role::Heading, &heading));
        for running in self.running {
            let _ = writeln!(text, "{}", self.service(running, terminal));
        }
        if let Some(viewer) = self.viewer {
            text.push_str(&viewer_text(viewer, terminal));
        }
        let _ = writeln!(text, "\n  {}{}", pad("data", NAME), self.args.data_dir.join("users.db").display());
        if let Some(authority) = self.authority {
            let _ = writeln!(text, "  {}{}", pad("authority", NAME), authority.display());
        }
        if !self.users.is_empty() {
            let users = format!("  {}{}", pad("users", NAME), self.users.join(" "));
            let _ = writeln!(text, "{}", wrap(&users, terminal.width, 2 + NAME));
        }
        if self.has_metrics {
            text.push_str(&metrics_text(self.running));
        }
        if let Some(gateway) = self.running.iter().find(|running| running.kind == Kind::Gateway) {
            let _ = writeln!(text, "\n{}", terminal.style.paint(Role::Heading, "Try it in another terminal"));
            for command in self.commands(gateway.address) {
                let _ = writeln!(text, "{}", command_line(&command, terminal.width));
            }
        }
        let note = wrap(self.log_note(), terminal.width, 0);
        let _ = writeln!(text, "\n{}\n", terminal.style.paint(Role::Quiet, &note));
        text
    }

    /// Returns the line of a service.
    fn service(&self, Running { service, address, pid, kind, .. }: &Running, terminal: Terminal) -> String {
        let note = match kind {
            Kind::Gateway => "calls the others".to_owned(),
            Kind::Backend => format!("answers after {}", self.args.delay),
            Kind::Viewer => String::new(),
        };
        let place = format!("  {}{address:<17}", pad(service, NAME));
        let whole = format!("{note}, process {pid}");
        let room = terminal.width.saturating_sub(width(&place));
        let note = if width(&whole) <= room { whole } else { cut(&note, room, terminal.style) };
        format!("{place}{}", terminal.style.paint(Role::Quiet, &note))
    }

    /// Returns the commands to try, as their words.
    fn commands(&self, gateway: SocketAddr) -> [Vec<String>; 3] {
        let is_default = format!("http://{gateway}") == address::DEFAULT;
        let (flags, grpcurl_flag) = match self.authority {
            Some(authority) => {
                let authority = word(&authority.display().to_string());
                let flags = vec![format!("--gateway https://{gateway}"), format!("--tls-ca {authority}")];
                (flags, format!("-cacert {authority}"))
            }
            None if is_default => (vec![], "-plaintext".to_owned()),
            // A number is a port of this machine.
            None => (vec![format!("--gateway {}", gateway.port())], "-plaintext".to_owned()),
        };
        let has_example = self.users.is_empty() || self.users.iter().any(|user| user == EXAMPLE_USER);
        let user = if has_example { EXAMPLE_USER } else { &self.users[0] };
        let own = |words: &str| {
            let words = format!("{} {words}", self.program);
            [vec![words], flags.clone()].concat()
        };
        let grpcurl = [
            &format!("grpcurl {grpcurl_flag}"),
            &format!(r#"-d '{{"user_id": "{user}"}}'"#),
            &gateway.to_string(),
            "fanout.gateway.v1.GatewayService/GetProfile",
        ];
        [own("compare"), own(&format!("call profile {user}")), grpcurl.map(str::to_owned).to_vec()]
    }

    fn log_note(&self) -> &'static str {
        match self.args.log_view() {
            LogView::Short => "Ctrl-C stops them all. Each request is a line below (UTC); --log info shows all.",
            LogView::Full { .. } => "Ctrl-C stops them all. The log follows.",
        }
    }
}

/// Says where the viewer is, and where other programs can send their traces.
fn viewer_text(viewer: &ViewerPlace, terminal: Terminal) -> String {
    let ViewerPlace { url, otlp_grpc, otlp_http, taken, spans_follow } = viewer;
    let quiet = |note: &str| terminal.style.paint(Role::Quiet, note);
    let mut text = format!("\n  {}{url}\n", pad("view", NAME));
    let _ = writeln!(text, "  {}{otlp_grpc} (gRPC), {otlp_http} (HTTP)", pad("OTLP", NAME));
    let mut note = |words: &str| {
        let words = wrap(&format!("  {}{words}", pad("", NAME)), terminal.width, 2 + NAME);
        let _ = writeln!(text, "{}", quiet(&words));
    };
    if !taken.is_empty() {
        let taken: Vec<String> = taken.iter().map(u16::to_string).collect();
        note(&format!("in use: {}", taken.join(", ")));
    }
    if let Some(variable) = spans_follow {
        note(&format!("the services' traces go where {variable} says, not there"));
    }
    text
}

/// Lists the URLs of the metrics. Free ports are known to the services alone, which log them.
fn metrics_text(running: &[Running]) -> String {
    let mut text = String::from("\nMetrics\n");
    for Running { service, metrics, .. } in running {
        let Some(url) = metrics else { return "\nMetrics: on free ports, see the log\n".to_owned() };
        let _ = writeln!(text, "  {}{url}", pad(service, NAME));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{services::SERVICES, terminal::style::Style};

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: UpArgs,
    }

    fn text(flags: &[&str], gateway_port: u16, columns: usize) -> String {
        let args = Command::parse_from([&["up"], flags].concat()).args;
        let ports = (0..).map(|offset| if offset == 0 { gateway_port } else { 50051 + offset });
        let running: Vec<_> = SERVICES
            .iter()
            .zip(ports)
            .map(|(service, port)| Running {
                service: service.name,
                address: ([127, 0, 0, 1], port).into(),
                pid: 4_194_304,
                metrics: None,
                kind: service.kind,
            })
            .collect();
        let users = ["ada", "alan", "barbara", "donald", "edsger", "grace", "katherine", "konrad", "kristen"];
        let viewer = ViewerPlace {
            url: "http://127.0.0.1:8080".to_owned(),
            otlp_grpc: ([127, 0, 0, 1], 4317).into(),
            otlp_http: ([127, 0, 0, 1], 51234).into(),
            taken: vec![4318],
            spans_follow: Some("OTEL_EXPORTER_OTLP_ENDPOINT"),
        };
        let banner = Banner {
            args: &args,
            program: "target/release/fanout",
            running: &running,
            viewer: Some(&viewer),
            users: &users.map(str::to_owned),
            has_metrics: false,
            authority: args.tls.then_some(Path::new("fanout-data/tls/ca.pem")),
            ready_after: Duration::from_millis(312),
        };
        banner.text(Terminal { width: columns, style: Style::PLAIN })
    }

    #[test]
    fn it_names_what_there_is_and_what_to_try() {
        let text = text(&[], 50051, 120);
        for line in [
            "fanout is up after 312 ms: open http://127.0.0.1:8080",
            "  gateway           127.0.0.1:50051  calls the others, process 4194304",
            "  user-service      127.0.0.1:50052  answers after 3s, process 4194304",
            "  view              http://127.0.0.1:8080",
            "  OTLP              127.0.0.1:4317 (gRPC), 127.0.0.1:51234 (HTTP)",
            "                    in use: 4318",
            "                    the services' traces go where OTEL_EXPORTER_OTLP_ENDPOINT says, not there",
            "  data              fanout-data/users.db",
            "  users             ada alan barbara donald edsger grace katherine konrad kristen",
            "  target/release/fanout compare",
            "  target/release/fanout call profile ada",
            "Ctrl-C stops them all. Each request is a line below (UTC); --log info shows all.",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line:?} in:\n{text}");
        }
    }

    #[test]
    fn it_fits_in_80_columns() {
        let narrow = text(&["--delay", "p50=20ms,p99=200ms"], 50999, 80);
        assert!(narrow.lines().all(|line| width(line) <= 80), "{narrow}");
        assert!(narrow.contains("127.0.0.1:50052  answers after p50=20ms,p99=200ms\n"), "{narrow}");
        assert!(narrow.contains("fanout call profile ada --gateway 50999\n"), "{narrow}");
        let text = text(&[], 50999, 50);
        assert!(text.contains("fanout call profile ada \\\n    --gateway 50999\n"), "{text}");
        assert!(text.contains("127.0.0.1:50999 \\\n    fanout.gateway.v1.GatewayService/GetProfile\n"), "{text}");
    }

    #[test]
    fn with_tls_every_command_names_the_authority() {
        let text = text(&["--tls"], 50051, 120);
        for line in [
            "  authority         fanout-data/tls/ca.pem",
            "  target/release/fanout compare --gateway https://127.0.0.1:50051 --tls-ca fanout-data/tls/ca.pem",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line:?} in:\n{text}");
        }
        assert!(text.contains("  grpcurl -cacert fanout-data/tls/ca.pem -d "), "{text}");
        assert!(!text.contains("-plaintext"), "{text}");
    }
}
