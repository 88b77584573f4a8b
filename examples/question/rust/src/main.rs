//! A handler that needs two replies, each of which takes a while. Does its caller wait for the sum, or for the slower one?

use std::{env, error::Error};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use question::{
    contract::{
        Country, GetCountryRequest, GetUserRequest, ListCountriesRequest, ListCountriesResponse, User,
        country_service_client::CountryServiceClient, user_service_client::UserServiceClient,
    },
    telemetry::{self, with_trace},
};
use tokio::net::TcpListener;
use tonic::{Status, transport::Channel};
use tracing::{Instrument as _, instrument};

/// The services that the handler calls.
#[derive(Clone)]
struct Backends {
    users: UserServiceClient<Channel>,
    countries: CountryServiceClient<Channel>,
}

/// A call that failed.
struct Failed(String);

#[instrument(name = "question.v1.UserService/GetUser", skip_all, fields(otel.kind = "client"))]
async fn get_user(mut backends: Backends) -> Result<User, Status> {
    let request = with_trace(GetUserRequest { id: "ada".to_owned() });
    Ok(backends.users.get_user(request).await?.into_inner())
}

#[instrument(name = "question.v1.CountryService/ListCountries", skip_all, fields(otel.kind = "client"))]
async fn get_countries(mut backends: Backends) -> Result<ListCountriesResponse, Status> {
    let request = with_trace(ListCountriesRequest {});
    Ok(backends.countries.list_countries(request).await?.into_inner())
}

#[instrument(name = "question.v1.CountryService/GetCountry", skip_all, fields(otel.kind = "client"))]
async fn get_country(mut backends: Backends, code: String) -> Result<Country, Status> {
    let request = with_trace(GetCountryRequest { code });
    Ok(backends.countries.get_country(request).await?.into_inner())
}

#[instrument(name = "GET /in-turn", skip_all, fields(otel.kind = "server"))]
async fn in_turn(State(backends): State<Backends>) -> Result<String, Failed> {
    let user = get_user(backends.clone()).await?;
    let countries = get_countries(backends).await?;
    Ok(page(&user, &countries))
}

#[instrument(name = "GET /together", skip_all, fields(otel.kind = "server"))]
async fn together(State(backends): State<Backends>) -> Result<String, Failed> {
    let (user, countries) = tokio::try_join!(get_user(backends.clone()), get_countries(backends))?;
    Ok(page(&user, &countries))
}

#[instrument(name = "GET /tasks", skip_all, fields(otel.kind = "server"))]
async fn tasks(State(backends): State<Backends>) -> Result<String, Failed> {
    let user = tokio::spawn(get_user(backends.clone()).in_current_span());
    let countries = tokio::spawn(get_countries(backends).in_current_span());
    let (user, countries) = (user.await??, countries.await??);
    Ok(page(&user, &countries))
}

#[instrument(name = "GET /chain", skip_all, fields(otel.kind = "server"))]
async fn chain(State(backends): State<Backends>) -> Result<String, Failed> {
    let user = get_user(backends.clone()).await?;
    let country = get_country(backends, user.country).await?;
    Ok(format!("{} lives in {}\n", user.name, country.name))
}

fn page(user: &User, countries: &ListCountriesResponse) -> String {
    format!("{} and {} countries\n", user.name, countries.countries.len())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let traces = telemetry::init()?;
    let users = Channel::from_shared(setting("USER_SERVICE", "http://localhost:8001"))?.connect_lazy();
    let countries = Channel::from_shared(setting("COUNTRY_SERVICE", "http://localhost:8002"))?.connect_lazy();
    let backends = Backends { users: UserServiceClient::new(users), countries: CountryServiceClient::new(countries) };
    let routes = Router::new()
        .route("/in-turn", get(in_turn))
        .route("/together", get(together))
        .route("/tasks", get(tasks))
        .route("/chain", get(chain))
        .with_state(backends);
    let listener = TcpListener::bind(format!("127.0.0.1:{}", setting("PORT", "8000"))).await?;
    axum::serve(listener, routes).with_graceful_shutdown(ctrl_c()).await?;
    traces.shutdown()?;
    Ok(())
}

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

async fn ctrl_c() {
    tokio::signal::ctrl_c().await.expect("Ctrl-C can be waited for");
}

// === impl Failed ===

impl<E: Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::BAD_GATEWAY, self.0).into_response()
    }
}
