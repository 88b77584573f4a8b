//! How each service is started: its listener and its arguments.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use service_kit::settings::LogFormat;

use crate::{
    services::{Kind, LaunchContext, SERVICES, Service, ports::port_flag},
    up::{args::UpArgs, error::UpError},
};

/// How to start a service.
pub(super) struct LaunchSpec {
    pub(super) service: &'static Service,
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
    /// The arguments after the service's name.
    pub(super) args: Vec<String>,
}

/// Opens all ports, and returns how to start each service: the backends first, the gateway last.
pub(super) fn specs(args: &UpArgs) -> Result<Vec<LaunchSpec>, UpError> {
    let mut specs = SERVICES.iter().map(|service| listen(service, args)).collect::<Result<Vec<_>, _>>()?;
    fs::create_dir_all(&args.data_dir).map_err(|source| UpError::DataDir { path: args.data_dir.clone(), source })?;
    let backends = specs.iter().filter(|spec| spec.service.kind == Kind::Backend);
    let backends: Vec<_> = backends.map(|spec| (spec.service.name, format!("http://{}", spec.address))).collect();
    let context = LaunchContext { delay: &args.delay, data_dir: &args.data_dir, backends: &backends };
    for spec in &mut specs {
        spec.args.extend(spec.service.args(&context));
    }
    specs.sort_by_key(|spec| spec.service.kind == Kind::Gateway);
    Ok(specs)
}

/// Opens the service's port.
fn listen(service: &'static Service, args: &UpArgs) -> Result<LaunchSpec, UpError> {
    let port = args.ports.get(service);
    let explain = |source| UpError::Port { port, service: service.name, flag: port_flag(service), source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(explain)?;
    let address = listener.local_addr().map_err(explain)?;
    Ok(LaunchSpec { service, listener, address, args: shared_args(args) })
}

/// Returns the arguments that all services get.
fn shared_args(args: &UpArgs) -> Vec<String> {
    let format = if args.output.json { LogFormat::Json } else { args.log.log_format };
    let format = match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    ["--listen", "stdin", "--log", &args.log.log, "--log-format", format].map(str::to_owned).to_vec()
}
