//! The user service and the country service, which the handler calls. Each reply takes `DELAY` seconds, 3 if it is not set.

use std::{env, error::Error, net::SocketAddr, time::Duration};

use question::{
    contract::{
        Country, GetCountryRequest, GetUserRequest, ListCountriesRequest, ListCountriesResponse, User,
        country_service_server::{CountryService, CountryServiceServer},
        user_service_server::{UserService, UserServiceServer},
    },
    telemetry,
};
use tokio::time::sleep;
use tonic::{Request, Response, Status, transport::Server};

const COUNTRIES: [(&str, &str); 3] = [("GB", "United Kingdom"), ("NO", "Norway"), ("US", "United States")];

struct Users {
    delay: Duration,
}

struct Countries {
    delay: Duration,
}

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        sleep(self.delay).await;
        let id = request.into_inner().id;
        Ok(Response::new(User { id, name: "Ada Lovelace".to_owned(), country: "GB".to_owned() }))
    }
}

#[tonic::async_trait]
impl CountryService for Countries {
    async fn list_countries(
        &self,
        _: Request<ListCountriesRequest>,
    ) -> Result<Response<ListCountriesResponse>, Status> {
        sleep(self.delay).await;
        Ok(Response::new(ListCountriesResponse { countries: COUNTRIES.map(country).to_vec() }))
    }

    async fn get_country(&self, request: Request<GetCountryRequest>) -> Result<Response<Country>, Status> {
        sleep(self.delay).await;
        let code = request.into_inner().code;
        let found = COUNTRIES.into_iter().find(|(of, _)| *of == code);
        found.map(|found| Response::new(country(found))).ok_or_else(|| Status::not_found("no such country"))
    }
}

fn country((code, name): (&str, &str)) -> Country {
    Country { code: code.to_owned(), name: name.to_owned() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let traces = telemetry::init()?;
    let delay = Duration::from_secs_f64(env::var("DELAY").as_deref().unwrap_or("3").parse()?);
    let address: SocketAddr = format!("127.0.0.1:{}", env::var("PORT")?).parse()?;
    Server::builder()
        .trace_fn(telemetry::server_span)
        .add_service(UserServiceServer::new(Users { delay }))
        .add_service(CountryServiceServer::new(Countries { delay }))
        .serve_with_shutdown(address, ctrl_c())
        .await?;
    traces.shutdown()?;
    Ok(())
}

async fn ctrl_c() {
    tokio::signal::ctrl_c().await.expect("Ctrl-C can be waited for");
}
