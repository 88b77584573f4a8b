//! The services that are attacked, and how each is called.

use std::time::Duration;

use e2e::{
    backends::{Backends, NO_REQUEST_LINES},
    connect,
};
use fanout_cli::services::{LaunchContext, SERVICES};
use fanout_proto::{
    country::v1::{GetCountryRequest, country_service_client::CountryServiceClient},
    gateway::v1::{GetProfileRequest, gateway_service_client::GatewayServiceClient},
    user::v1::{GetUserRequest, user_service_client::UserServiceClient},
};
use tempfile::TempDir;
use tonic::{Request, Status, transport::Channel};

use crate::exclusive::shared;

/// A service that is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Gateway,
    UserService,
    CountryService,
}

/// An honest caller's connection to it.
#[derive(Clone)]
pub(crate) enum Client {
    Gateway(GatewayServiceClient<Channel>),
    User(UserServiceClient<Channel>),
    Country(CountryServiceClient<Channel>),
}

/// What a target needs to run: its arguments, its files, and its backends. They are gone when this is dropped.
pub(crate) struct Needs {
    pub(crate) args: Vec<String>,
    pub(crate) backends: Option<Backends>,
    _data: TempDir,
}

// === impl Target ===

impl Target {
    pub(crate) const ALL: [Self; 3] = [Self::Gateway, Self::UserService, Self::CountryService];

    /// Returns the service's name in commands and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::UserService => "user-service",
            Self::CountryService => "country-service",
        }
    }

    /// Returns a method that takes [`message`](Self::message), and answers after the delay.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Gateway => "/fanout.gateway.v1.GatewayService/GetProfile",
            Self::UserService => "/fanout.user.v1.UserService/GetUser",
            Self::CountryService => "/fanout.country.v1.CountryService/GetCountry",
        }
    }

    /// Returns a message that the method serves: field 1 is the id of a user, or the code of a country.
    pub(crate) const fn message(self) -> &'static [u8] {
        match self {
            Self::Gateway | Self::UserService => b"\x0a\x03ada",
            Self::CountryService => b"\x0a\x02GB",
        }
    }

    /// Returns what it needs, with this delay of its own or of its backends, and these arguments.
    pub(crate) fn needs(self, delay: &str, args: &[&str]) -> Needs {
        let service = SERVICES.iter().find(|service| service.name == self.name()).unwrap();
        let (data, distribution) = (tempfile::tempdir().unwrap(), delay.parse().unwrap());
        let context = LaunchContext { delay: &distribution, data_dir: data.path(), backends: &[] };
        let backends = (self == Self::Gateway).then(|| Backends::start_with_delay(delay, &[]));
        let mut all = service.args(&context);
        all.extend(backends.iter().flat_map(Backends::gateway_args));
        // Longer than a busy machine takes for what is left of an attack.
        let drain = ["--drain", "25s"];
        all.extend(args.iter().chain(&drain).chain(&NO_REQUEST_LINES).map(|&arg| arg.to_owned()));
        Needs { args: all, backends, _data: data }
    }

    /// Returns how many calls a burst has: a fifth for services whose calls are more work, in a build that is not optimized.
    pub(crate) const fn burst(self, calls: usize) -> usize {
        match self {
            Self::CountryService => calls,
            Self::Gateway | Self::UserService => calls / 5,
        }
    }

    /// Connects to it.
    pub(crate) async fn client(self, url: &str) -> Client {
        self.client_of(connect(url).await)
    }

    /// Returns a caller on this connection to it.
    pub(crate) fn client_of(self, channel: Channel) -> Client {
        match self {
            Self::Gateway => Client::Gateway(GatewayServiceClient::new(channel)),
            Self::UserService => Client::User(UserServiceClient::new(channel)),
            Self::CountryService => Client::Country(CountryServiceClient::new(channel)),
        }
    }
}

// === impl Client ===

impl Client {
    /// Makes a call.
    pub(crate) async fn call(&mut self) -> Result<(), Status> {
        self.call_within(None).await
    }

    /// Makes a call with this deadline.
    pub(crate) async fn call_within(&mut self, deadline: Option<Duration>) -> Result<(), Status> {
        let (user_id, code) = ("ada".to_owned(), "GB".to_owned());
        match self {
            Self::Gateway(client) => {
                let message = GetProfileRequest { user_id, ..GetProfileRequest::default() };
                client.get_profile(request(message, deadline)).await.map(drop)
            }
            Self::User(client) => client.get_user(request(GetUserRequest { user_id }, deadline)).await.map(drop),
            Self::Country(client) => client.get_country(request(GetCountryRequest { code }, deadline)).await.map(drop),
        }
    }
}

fn request<T>(message: T, deadline: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    request
}

/// Defines one test for each target of an attack.
macro_rules! against_each {
    ($($(#[$attribute:meta])* $attack:ident),+ $(,)?) => {$(
        mod $attack {
            use crate::target::Target;

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn gateway() {
                let _shared = crate::exclusive::shared().await;
                super::$attack(Target::Gateway).await;
            }

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn user_service() {
                let _shared = crate::exclusive::shared().await;
                super::$attack(Target::UserService).await;
            }

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn country_service() {
                let _shared = crate::exclusive::shared().await;
                super::$attack(Target::CountryService).await;
            }
        }
    )+};
}
pub(crate) use against_each;

/// Runs an attack on all targets at the same time: for those that mostly wait.
pub(crate) async fn against_all(attack: impl AsyncFn(Target)) {
    let _shared = shared().await;
    futures::future::join_all(Target::ALL.map(|target| attack(target))).await;
}
