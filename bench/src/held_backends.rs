//! Both backends in one process, with the replies of the real ones. They can hold every call until they are told to answer,
//! so that it is known when all calls wait; and they can have a thousand addresses. A real one has no health stream for so
//! many connections.

use std::sync::Arc;

use clap::Args;
use fanout_proto::{
    country::v1::{
        Country, GetCountryRequest, ListCountriesRequest, ListCountriesResponse,
        country_service_server::{CountryService, CountryServiceServer},
    },
    user::v1::{
        CreateUserRequest, GetUserRequest, ListUsersRequest, ListUsersResponse, User,
        user_service_server::{UserService, UserServiceServer},
    },
};
use prost::Message as _;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use crate::{BoxError, client::Client, reply::Shape, request as wire, subject::replica_address};

/// What `service-kit` allows a connection.
pub(crate) const MAX_STREAMS: u32 = 1024;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The backends. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct HeldBackends {
    state: Arc<State>,
    /// Where both listen.
    pub(crate) address: String,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

#[derive(Debug)]
struct State {
    user: User,
    countries: ListCountriesResponse,
    is_open: watch::Sender<bool>,
    /// How many calls there are of each.
    users_waiting: watch::Sender<usize>,
    countries_waiting: watch::Sender<usize>,
}

struct Held(Arc<State>);

/// What they answer.
pub(crate) type Replies = (User, ListCountriesResponse);

/// How many replicas there are, and where the real backends are.
#[derive(Args, Debug)]
pub(crate) struct ReplicasArgs {
    /// How many addresses of this machine they have, from 127.0.0.1 on
    #[arg(long)]
    replicas: usize,
    /// The port of all
    #[arg(long)]
    port: u16,
    /// An address with a port
    #[arg(long)]
    user_service: String,
    /// An address with a port
    #[arg(long)]
    country_service: String,
}

/// A call that is counted until it is dropped.
struct Counted<'a>(&'a watch::Sender<usize>);

/// Serves as replicas until it is killed.
pub(crate) async fn serve_replicas(args: ReplicasArgs) -> Result<(), BoxError> {
    let (user, countries) = replies(&args.user_service, &args.country_service).await?;
    let state = State::new(user, countries);
    let mut servers = JoinSet::new();
    // The first is bound last: when it accepts connections, all do.
    for nth in (0..args.replicas).rev() {
        let listener = TcpListener::bind((replica_address(nth), args.port)).await?;
        servers.spawn(serve(Arc::clone(&state), listener));
    }
    while let Some(ended) = servers.join_next().await {
        ended??;
    }
    Ok(())
}

/// Returns the replies of the real backends.
///
/// # Errors
///
/// Returns an error if one of them has none.
pub(crate) async fn replies(user_service: &str, country_service: &str) -> Result<Replies, BoxError> {
    let message = async |address: &str, request: wire::Request| {
        Client::connect(address, &request).await?.message(&request, address).await
    };
    let user = message(user_service, wire::Request::user(Shape::Any)).await?;
    let countries = message(country_service, wire::Request::countries(Shape::Any)).await?;
    Ok((User::decode(user)?, ListCountriesResponse::decode(countries)?))
}

async fn serve(state: Arc<State>, listener: TcpListener) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_service(UserServiceServer::new(Held(Arc::clone(&state))))
        .add_service(CountryServiceServer::new(Held(state)))
        // Without it a reply of several frames waits 40 ms for the acknowledgement of its first.
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await
}

// === impl HeldBackends ===

impl HeldBackends {
    /// Starts them. They answer at once until [`hold`](Self::hold).
    ///
    /// # Errors
    ///
    /// Returns an error if there is no port.
    pub(crate) async fn start((user, countries): Replies) -> Result<Self, BoxError> {
        let state = State::new(user, countries);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let server = tokio::spawn(serve(Arc::clone(&state), listener));
        Ok(Self { state, address, server })
    }

    /// Lets calls wait from now on.
    pub(crate) fn hold(&self) {
        self.state.is_open.send_replace(false);
    }

    /// Answers all calls that wait, and those that come.
    pub(crate) fn release(&self) {
        self.state.is_open.send_replace(true);
    }

    /// Waits until so many calls wait at each.
    pub(crate) async fn until_waiting(&self, calls: usize) {
        for waiting in [&self.state.users_waiting, &self.state.countries_waiting] {
            // It is an error only if the sender is gone, which is in the state.
            let _ = waiting.subscribe().wait_for(|waiting| *waiting >= calls).await;
        }
    }

    /// Returns how many calls wait at both together.
    pub(crate) fn waiting(&self) -> usize {
        *self.state.users_waiting.borrow() + *self.state.countries_waiting.borrow()
    }
}

impl Drop for HeldBackends {
    fn drop(&mut self) {
        self.server.abort();
    }
}

// === impl State ===

impl State {
    fn new(user: User, countries: ListCountriesResponse) -> Arc<Self> {
        Arc::new(Self {
            user,
            countries,
            is_open: watch::Sender::new(true),
            users_waiting: watch::Sender::new(0),
            countries_waiting: watch::Sender::new(0),
        })
    }

    async fn wait(&self, waiting: &watch::Sender<usize>) {
        let _counted = Counted::new(waiting);
        let _ = self.is_open.subscribe().wait_for(|is_open| *is_open).await;
    }
}

// === impl Counted ===

impl<'a> Counted<'a> {
    fn new(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

// === impl Held ===

#[tonic::async_trait]
impl UserService for Held {
    async fn get_user(&self, _: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        self.0.wait(&self.0.users_waiting).await;
        Ok(Response::new(self.0.user.clone()))
    }

    async fn list_users(&self, _: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        Err(Status::unimplemented("only GetUser is measured"))
    }

    async fn create_user(&self, _: Request<CreateUserRequest>) -> Result<Response<User>, Status> {
        Err(Status::unimplemented("only GetUser is measured"))
    }
}

#[tonic::async_trait]
impl CountryService for Held {
    async fn list_countries(
        &self,
        _: Request<ListCountriesRequest>,
    ) -> Result<Response<ListCountriesResponse>, Status> {
        self.0.wait(&self.0.countries_waiting).await;
        Ok(Response::new(self.0.countries.clone()))
    }

    async fn get_country(&self, _: Request<GetCountryRequest>) -> Result<Response<Country>, Status> {
        Err(Status::unimplemented("only ListCountries is measured"))
    }
}
