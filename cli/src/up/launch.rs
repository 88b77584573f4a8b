//! How each service is started: its listener and its arguments.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
};

use service_kit::settings::LogFormat;

use crate::{
    services::{Kind, LaunchContext, SERVICES, Service, ports::port_flag},
    up::{
        args::{LogView, UpArgs},
        error::UpError,
        tls::Tls,
        viewer::{Viewer, ViewerPlace},
    },
};

/// How to start a service.
pub(super) struct LaunchSpec {
    /// Its name, which is the subcommand too.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) address: SocketAddr,
    /// Its standard input: its listener, or what hands several over.
    pub(super) input: OwnedFd,
    /// The arguments after the service's name.
    pub(super) args: Vec<String>,
    /// The variables that it has in addition to those of this process.
    pub(super) environment: Vec<(&'static str, String)>,
}

/// How to start everything.
pub(super) struct Launch {
    /// In the order in which to start them.
    pub(super) specs: Vec<LaunchSpec>,
    /// The certificates, if everything is encrypted.
    pub(super) tls: Option<Tls>,
    /// Where the viewer is, if there is one.
    pub(super) viewer: Option<ViewerPlace>,
}

/// A service whose port is open.
struct Opened {
    service: &'static Service,
    listener: TcpListener,
    address: SocketAddr,
    args: Vec<String>,
}

/// Opens all ports, and returns how to start each service: the viewer first, then the backends, the gateway last. Makes
/// the certificates if everything is encrypted.
pub(super) fn prepare(args: &UpArgs) -> Result<Launch, UpError> {
    let mut opened = SERVICES.iter().map(|service| listen(service, args)).collect::<Result<Vec<_>, _>>()?;
    let viewer = Viewer::open(args)?;
    let place = viewer.as_ref().map(|viewer| viewer.place.clone());
    fs::create_dir_all(&args.data_dir).map_err(|source| UpError::DataDir { path: args.data_dir.clone(), source })?;
    let tls = args.tls.then(|| Tls::make(&args.data_dir)).transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let backends = opened.iter().filter(|opened| opened.service.kind == Kind::Backend);
    let backends: Vec<_> =
        backends.map(|opened| (opened.service.name, format!("{scheme}://{}", opened.address))).collect();
    let context = LaunchContext { delay: &args.delay, data_dir: &args.data_dir, backends: &backends };
    for opened in &mut opened {
        opened.args.extend(opened.service.args(&context));
        opened.args.extend(tls.iter().flat_map(|tls| tls.args(opened.service)));
    }
    opened.sort_by_key(|opened| opened.service.kind == Kind::Gateway);
    let gateway = opened.iter().find(|opened| opened.service.kind == Kind::Gateway).map(|opened| opened.address);
    let mut specs = Vec::new();
    if let (Some(viewer), Some(gateway)) = (viewer, gateway) {
        specs.push(viewer.spec(gateway, log_args(Kind::Viewer, args), tls.as_ref()));
    }
    specs.extend(opened.into_iter().map(|opened| opened.spec(place.as_ref())));
    Ok(Launch { specs, tls, viewer: place })
}

/// Opens the service's port.
fn listen(service: &'static Service, args: &UpArgs) -> Result<Opened, UpError> {
    let port = args.ports.get(service);
    let explain = |source| UpError::Port { port, service: service.name, flag: port_flag(service), source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(explain)?;
    let address = listener.local_addr().map_err(explain)?;
    Ok(Opened { service, listener, address, args: shared_args(service.kind, args) })
}

/// Returns the arguments that services of this kind get.
fn shared_args(kind: Kind, args: &UpArgs) -> Vec<String> {
    let drain = humantime::format_duration(args.drain).to_string();
    let own = ["--listen", "stdin", "--drain", &drain, "--reflection"];
    own.into_iter().map(str::to_owned).chain(log_args(kind, args)).collect()
}

/// Returns the arguments for the log.
fn log_args(kind: Kind, args: &UpArgs) -> Vec<String> {
    let (filter, format) = match args.log_view() {
        LogView::Short => (short_filter(kind).to_owned(), LogFormat::Json),
        LogView::Full { filter, format } => (filter, format),
    };
    let format = match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    ["--log", &filter, "--log-format", format].map(str::to_owned).to_vec()
}

/// Returns the filter of the lines that the short log needs: warnings, the requests of the gateway, and what a service
/// says of its drain and its metrics. Lines that nobody sees cost the services nothing.
fn short_filter(kind: Kind) -> &'static str {
    match kind {
        Kind::Gateway => "warn,service_kit=info,rpc_layers=info",
        Kind::Backend => "warn,service_kit=info",
        Kind::Viewer => "warn",
    }
}

// === impl Opened ===

impl Opened {
    fn spec(self, viewer: Option<&ViewerPlace>) -> LaunchSpec {
        LaunchSpec {
            name: self.service.name,
            kind: self.service.kind,
            address: self.address,
            input: self.listener.into(),
            args: self.args,
            environment: viewer.map(ViewerPlace::environment).unwrap_or_default(),
        }
    }
}
