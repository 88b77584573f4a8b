//! The services behind the gateway.
//!
//! # Layout
//!
//! * this file: the table of them, [`BACKENDS`], and what follows from it: the flags for their URLs, and [`Backends`], a
//!   channel to each. A new backend is one constant and its name in the table.
//! * `method`: [`Method`], a typed method of a backend.
//! * `args`: [`BackendArgs`], the flags for how calls to all of them are treated.

mod args;
mod method;

use std::{net::IpAddr, sync::Arc, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use fan_out::{Attempts, Call, Step, call, step};
use fanout_proto::{Encoded, FILE_DESCRIPTOR_SET, encoded::check};
use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use grpc_channel::{Channel, ClientTls, Config, Descriptors, Target};
use opentelemetry::metrics::Meter;
use prost::Message;
use rpc_layers::CallContext;

pub use self::{args::BackendArgs, method::Method};
use crate::error::BackendError;

/// The user service.
pub const USER: Backend = Backend { index: 0, name: "user", port: 50052 };

/// The country service.
pub const COUNTRY: Backend = Backend { index: 1, name: "country", port: 50053 };

/// All services behind the gateway.
pub const BACKENDS: [Backend; 2] = [USER, COUNTRY];

const _: () = {
    let mut index = 0;
    while index < BACKENDS.len() {
        assert!(BACKENDS[index].index == index, "the index of a backend is its index in BACKENDS");
        index += 1;
    }
};

/// A service behind the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Backend {
    /// Its index in [`BACKENDS`].
    index: usize,
    /// Its name in reports, errors and metrics; `--NAME-service` and `NAME_SERVICE_URL` set its URLs.
    pub name: &'static str,
    /// The port at which it listens by default.
    pub port: u16,
}

/// The URLs of each backend, in the order of [`BACKENDS`].
#[derive(Clone, Debug)]
pub struct BackendUrls(Vec<Vec<Target>>);

/// Channels to all backends. Clones share them.
#[derive(Clone, Debug)]
pub struct Backends(Arc<[Channel]>);

/// The future reply of a backend: its bytes, or an error.
pub type Reply<R> = BoxFuture<'static, Result<Encoded<R>, BackendError>>;

// === impl Backend ===

impl Backend {
    fn flag(self) -> String {
        format!("{}-service", self.name)
    }

    fn arg(self) -> Arg {
        let Self { name, port, .. } = self;
        let help = "listens: one or more URLs, separated by commas; a name may resolve to several replicas";
        Arg::new(self.flag())
            .long(self.flag())
            .env(format!("{}_SERVICE_URL", name.to_uppercase()))
            .default_value(format!("http://127.0.0.1:{port}"))
            .value_delimiter(',')
            .value_name("URL")
            .value_parser(str::parse::<Target>)
            .action(ArgAction::Append)
            .help(format!("Where the {name} service {help}"))
    }
}

// === impl BackendUrls ===

impl BackendUrls {
    /// Returns whether a backend is called with TLS.
    pub(crate) fn any_https(&self) -> bool {
        self.0.iter().flatten().any(Target::is_https)
    }

    /// Logs a warning for each backend that is called without TLS over a network.
    pub(crate) fn warn_of_plaintext(&self) {
        for (backend, targets) in BACKENDS.into_iter().zip(&self.0) {
            if let Some(url) = targets.iter().find(|target| is_plaintext(target)) {
                tracing::warn!(backend = backend.name, %url, "calls are not encrypted: --insecure says that this is meant");
            }
        }
    }
}

/// Returns whether calls to this target leave the machine without TLS, as far as its URL shows.
fn is_plaintext(target: &Target) -> bool {
    let is_loopback = |host: &str| match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    };
    !target.is_https() && !is_loopback(target.host())
}

impl clap::Args for BackendUrls {
    fn augment_args(command: Command) -> Command {
        command.args(BACKENDS.map(Backend::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for BackendUrls {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let urls = |backend: Backend| {
            matches.get_many(&backend.flag()).map(|urls| urls.cloned().collect()).unwrap_or_default()
        };
        Ok(Self(BACKENDS.map(urls).into()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

// === impl Backends ===

impl Backends {
    /// Connects to all backends in the background, to those with an https:// URL with `tls`. `deadline` limits calls whose reply several requests share.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn connect(
        urls: &BackendUrls,
        args: &BackendArgs,
        tls: Option<&ClientTls>,
        deadline: Duration,
        meter: Option<&Meter>,
    ) -> Self {
        let descriptors = Descriptors::decode(FILE_DESCRIPTOR_SET).expect("the contract was compiled with this crate");
        let connect = |(Backend { name, .. }, targets): (Backend, &Vec<Target>)| {
            let config = Config { reply_check: |bytes| Ok(check(bytes)?), ..args.config(name, deadline) };
            Channel::builder(name, targets.iter().cloned())
                .expect("a flag has at least one value")
                .config(config)
                .service_config(args.service_config.clone().unwrap_or_default())
                .descriptors(descriptors.clone())
                .tls(tls.cloned())
                .meter(meter.cloned())
                .connect()
        };
        Self(BACKENDS.into_iter().zip(&urls.0).map(connect).collect())
    }

    /// Waits until every backend has an endpoint that is connected and serving. Cancel safe.
    pub async fn ready(&self) {
        for channel in &*self.0 {
            channel.ready().await;
        }
    }

    /// Returns a call of this method that has not started.
    pub(crate) fn start<Q, R>(&self, method: &Method<Q, R>, request: &Q, ctx: &CallContext) -> Call<Reply<R>>
    where
        Q: Message + 'static,
        R: 'static,
    {
        let attempts = Attempts::default();
        let reply = self.send(method, request, ctx, &attempts);
        call(method.backend().name, reply).method(method.name()).attempts(&attempts)
    }

    /// Returns a call of this method that follows another call, from whose reply `request` makes its request.
    pub(crate) fn after<T, Q, R, F>(
        &self,
        method: &'static Method<Q, R>,
        request: F,
        ctx: &CallContext,
    ) -> Step<impl FnOnce(&T) -> Reply<R> + Send + use<T, Q, R, F>>
    where
        Q: Message + 'static,
        R: 'static,
        F: FnOnce(&T) -> Result<Q, BackendError> + Send + 'static,
    {
        let attempts = Attempts::default();
        let (backends, ctx, counter) = (self.clone(), ctx.clone(), attempts.clone());
        let send = move |before: &T| match request(before) {
            Ok(request) => backends.send(method, &request, &ctx, &counter),
            Err(error) => ready(Err(error)).boxed(),
        };
        step(method.backend().name, send).method(method.name()).attempts(&attempts)
    }

    /// Sends a call, and returns the reply as the bytes that were received. Dropping the future cancels the call at the
    /// backend.
    fn send<Q, R>(&self, method: &Method<Q, R>, request: &Q, ctx: &CallContext, attempts: &Attempts) -> Reply<R>
    where
        Q: Message + 'static,
        R: 'static,
    {
        let (channels, index) = (Arc::clone(&self.0), method.backend().index);
        let channel = &channels[index];
        let reply = channel.unary(&channel.method(method.path()), request, ctx, attempts);
        let reply = reply.map(move |result| match result {
            // The channel has checked the bytes (`reply_check`).
            Ok(bytes) => Ok(Encoded::from_checked(bytes)),
            Err(failure) => {
                let channel = &channels[index];
                Err(BackendError::new(channel.name(), channel.targets(), &failure))
            }
        });
        reply.boxed()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use http::uri::PathAndQuery;

    use super::*;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        urls: BackendUrls,
        #[command(flatten)]
        args: BackendArgs,
    }

    /// Returns whether a backend's channel may send a call of this method twice.
    fn is_idempotent(backends: &Backends, backend: Backend, path: &'static str) -> bool {
        backends.0[backend.index].method(&PathAndQuery::from_static(path)).is_idempotent()
    }

    #[test]
    fn calls_leave_the_machine_in_plaintext_unless_their_url_says_otherwise() {
        let is_plaintext = |url: &str| is_plaintext(&url.parse().unwrap());
        assert!(is_plaintext("http://user-service:50052") && is_plaintext("http://10.0.0.1:50052"));
        for fine in ["https://user-service:50052", "http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"] {
            assert!(!is_plaintext(fine), "{fine}");
        }
    }

    #[tokio::test]
    async fn the_contract_allows_reads_to_be_sent_twice_and_creations_only_once() {
        let Flags { urls, args } = Flags::parse_from(["gateway"]);
        let backends = Backends::connect(&urls, &args, None, Duration::from_secs(1), None);
        for (backend, read) in [
            (USER, "/fanout.user.v1.UserService/GetUser"),
            (USER, "/fanout.user.v1.UserService/ListUsers"),
            (COUNTRY, "/fanout.country.v1.CountryService/GetCountry"),
            (COUNTRY, "/fanout.country.v1.CountryService/ListCountries"),
        ] {
            assert!(is_idempotent(&backends, backend, read), "{read}");
        }
        for create in ["/fanout.user.v1.UserService/CreateUser", "/fanout.user.v1.UserService/NotInTheContract"] {
            assert!(!is_idempotent(&backends, USER, create), "{create}");
        }
    }
}
