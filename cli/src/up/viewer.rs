//! The viewer beside the services: its ports, and what the services are told of it.
//!
//! The services come first: if a port of the viewer is in use, it takes another one and says so, unless the port was
//! asked for.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
};

use serde::Serialize;

use crate::{
    services::Kind,
    up::{args::UpArgs, error::UpError, launch::LaunchSpec, tls::Tls},
    view::listeners::hand_over,
};

/// The subcommand that runs it, and its name.
pub(super) const NAME: &str = "view";

/// The ports that browsers, and programs with OpenTelemetry, use unless told otherwise.
const PAGE: u16 = 8080;
const OTLP_GRPC: u16 = 4317;
const OTLP_HTTP: u16 = 4318;

/// The variable with how often services send what they have, and that in milliseconds: a person watches.
const EVERY: &str = "OTEL_BSP_SCHEDULE_DELAY";
const SEND_EVERY: &str = "500";

/// The variables with which a user sends the services' spans elsewhere, or nowhere.
const USERS_OWN: [&str; 4] =
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", TRACES_EXPORTER, SDK_DISABLED];
const TRACES_EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";

/// Where the viewer runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ViewerPlace {
    /// The URL of its page.
    pub(super) url: String,
    pub(super) otlp_grpc: SocketAddr,
    pub(super) otlp_http: SocketAddr,
    /// The ports that it was to have, and which are in use.
    #[serde(skip)]
    pub(super) taken: Vec<u16>,
    /// The variable because of which the services do not send to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spans_follow: Option<&'static str>,
}

/// The viewer's listeners, until its process has them.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) place: ViewerPlace,
    input: OwnedFd,
}

// === impl Viewer ===

impl Viewer {
    /// Opens its ports, unless it is left out.
    pub(super) fn open(args: &UpArgs) -> Result<Option<Self>, UpError> {
        if args.no_view {
            return Ok(None);
        }
        let free = args.ports.are_all_free();
        let mut taken = Vec::new();
        let page = match args.view_port {
            Some(port) => bind(port).map_err(|source| UpError::Port {
                port,
                service: NAME,
                flag: "view-port".to_owned(),
                source,
            })?,
            None => bind_or_other(PAGE, free, &mut taken)?,
        };
        let otlp_grpc = bind_or_other(OTLP_GRPC, free, &mut taken)?;
        let otlp_http = bind_or_other(OTLP_HTTP, free, &mut taken)?;
        let place = ViewerPlace {
            url: format!("http://{}", page.local_addr()?),
            otlp_grpc: otlp_grpc.local_addr()?,
            otlp_http: otlp_http.local_addr()?,
            taken,
            spans_follow: spans_follow(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned())),
        };
        Ok(Some(Self { input: hand_over(&[page, otlp_grpc, otlp_http])?, place }))
    }

    /// Returns how to start it, for the gateway at this address.
    pub(super) fn spec(self, gateway: SocketAddr, log: Vec<String>, tls: Option<&Tls>) -> LaunchSpec {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut args = ["--listen", "stdin", "--gateway"].map(str::to_owned).to_vec();
        args.push(format!("{scheme}://{gateway}"));
        args.extend(tls.into_iter().flat_map(|tls| ["--tls-ca".to_owned(), tls.authority().display().to_string()]));
        args.extend(log);
        LaunchSpec {
            name: NAME,
            kind: Kind::Viewer,
            address: self.place.otlp_grpc,
            input: self.input,
            args,
            environment: Vec::new(),
        }
    }
}

// === impl ViewerPlace ===

impl ViewerPlace {
    /// Returns the variables with which a service sends its spans here.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        if self.spans_follow.is_some() {
            return Vec::new();
        }
        let own = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{}", self.otlp_grpc)),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc".to_owned()),
        ];
        let every = std::env::var_os(EVERY).is_none().then(|| (EVERY, SEND_EVERY.to_owned()));
        own.into_iter().chain(every).collect()
    }
}

/// Returns the first variable with which the user sends spans elsewhere, or nowhere. A value that asks for what a service
/// does anyway is none.
fn spans_follow(value: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    USERS_OWN.into_iter().find(|name| match (*name, value(name).unwrap_or_default().trim()) {
        (_, "") | (TRACES_EXPORTER, "otlp") => false,
        (SDK_DISABLED, value) => value.eq_ignore_ascii_case("true"),
        _ => true,
    })
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Listens on a port, or on a free one if that is wanted, or the port is in use.
fn bind_or_other(port: u16, free: bool, taken: &mut Vec<u16>) -> io::Result<TcpListener> {
    if free {
        return bind(0);
    }
    bind(port).or_else(|error| {
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(error);
        }
        taken.push(port);
        bind(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_come_here_unless_a_variable_sends_them_elsewhere_or_nowhere() {
        for (name, value, follows) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317", true),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "", false),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4317", true),
            ("OTEL_TRACES_EXPORTER", "none", true),
            ("OTEL_TRACES_EXPORTER", "otlp", false),
            ("OTEL_SDK_DISABLED", "TRUE", true),
            ("OTEL_SDK_DISABLED", "false", false),
            ("OTEL_SDK_DISABLED", "0", false),
            ("OTEL_SERVICE_NAME", "mine", false),
        ] {
            let found = spans_follow(|asked| (asked == name).then(|| value.to_owned()));
            assert_eq!(found, follows.then_some(name), "{name}={value}");
        }
    }
}
