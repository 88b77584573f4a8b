//! How each service is started: its listener and its arguments.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use service_kit::settings::LogFormat;

use crate::{
    services::{Kind, LaunchContext, SERVICES, Service, ports::port_flag},
    up::{
        args::{LogView, UpArgs},
        error::UpError,
        tls::Tls,
    },
};

/// How to start a service.
pub(super) struct LaunchSpec {
    pub(super) service: &'static Service,
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
    /// The arguments after the service's name.
    pub(super) args: Vec<String>,
}

/// Opens all ports, and returns how to start each service: the backends first, the gateway last. Makes the certificates if
/// everything is encrypted, and returns them too.
pub(super) fn specs(args: &UpArgs) -> Result<(Vec<LaunchSpec>, Option<Tls>), UpError> {
    let mut specs = SERVICES.iter().map(|service| listen(service, args)).collect::<Result<Vec<_>, _>>()?;
    fs::create_dir_all(&args.data_dir).map_err(|source| UpError::DataDir { path: args.data_dir.clone(), source })?;
    let tls = args.tls.then(|| Tls::make(&args.data_dir)).transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let backends = specs.iter().filter(|spec| spec.service.kind == Kind::Backend);
    let backends: Vec<_> = backends.map(|spec| (spec.service.name, format!("{scheme}://{}", spec.address))).collect();
    let context = LaunchContext { delay: &args.delay, data_dir: &args.data_dir, backends: &backends };
    for spec in &mut specs {
        spec.args.extend(spec.service.args(&context));
        spec.args.extend(tls.iter().flat_map(|tls| tls.args(spec.service)));
    }
    specs.sort_by_key(|spec| spec.service.kind == Kind::Gateway);
    Ok((specs, tls))
}

/// Opens the service's port.
fn listen(service: &'static Service, args: &UpArgs) -> Result<LaunchSpec, UpError> {
    let port = args.ports.get(service);
    let explain = |source| UpError::Port { port, service: service.name, flag: port_flag(service), source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(explain)?;
    let address = listener.local_addr().map_err(explain)?;
    Ok(LaunchSpec { service, listener, address, args: shared_args(service.kind, args) })
}

/// Returns the arguments that services of this kind get.
fn shared_args(kind: Kind, args: &UpArgs) -> Vec<String> {
    let (filter, format) = match args.log_view() {
        LogView::Short => (short_filter(kind).to_owned(), LogFormat::Json),
        LogView::Full { filter, format } => (filter, format),
    };
    let format = match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let drain = humantime::format_duration(args.drain).to_string();
    ["--listen", "stdin", "--log", &filter, "--log-format", format, "--drain", &drain, "--reflection"]
        .map(str::to_owned)
        .to_vec()
}

/// Returns the filter of the lines that the short log needs: warnings, the requests of the gateway, and what a service
/// says of its drain and its metrics. Lines that nobody sees cost the services nothing.
fn short_filter(kind: Kind) -> &'static str {
    match kind {
        Kind::Gateway => "warn,service_kit=info,rpc_layers=info",
        Kind::Backend => "warn,service_kit=info",
    }
}
