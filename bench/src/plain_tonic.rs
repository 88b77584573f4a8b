//! An aggregator as tonic's documentation shows one: the generated clients, a channel for each, and `join!`. No report, no
//! deadline of its own, no retries, no limits, no spans, no log.

use std::net::SocketAddr;

use clap::Args;
use fanout_proto::{
    country::v1::{ListCountriesRequest, country_service_client::CountryServiceClient},
    gateway::v1::{
        GetHomeCountryRequest, GetHomeCountryResponse, GetProfileRequest, GetProfileResponse, StreamUsersRequest,
        StreamUsersResponse,
        gateway_service_server::{GatewayService, GatewayServiceServer},
    },
    user::v1::{GetUserRequest, user_service_client::UserServiceClient},
};
use tokio_stream::Empty;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Server},
};

use crate::BoxError;

/// Where it listens, and where its backends are.
#[derive(Args, Debug)]
pub(crate) struct PlainTonicArgs {
    /// An address with a port.
    #[arg(long)]
    listen: SocketAddr,
    /// The URL of a backend.
    #[arg(long)]
    user_service: String,
    /// The URL of a backend.
    #[arg(long)]
    country_service: String,
}

struct Gateway {
    users: UserServiceClient<Channel>,
    countries: CountryServiceClient<Channel>,
}

/// Serves until it is killed.
pub(crate) async fn serve(args: PlainTonicArgs) -> Result<(), BoxError> {
    let gateway = Gateway {
        users: UserServiceClient::connect(args.user_service).await?,
        countries: CountryServiceClient::connect(args.country_service).await?,
    };
    Server::builder().add_service(GatewayServiceServer::new(gateway)).serve(args.listen).await?;
    Ok(())
}

#[tonic::async_trait]
impl GatewayService for Gateway {
    async fn get_profile(&self, request: Request<GetProfileRequest>) -> Result<Response<GetProfileResponse>, Status> {
        let (mut users, mut countries) = (self.users.clone(), self.countries.clone());
        let (user, country_list) = tokio::join!(
            users.get_user(GetUserRequest { user_id: request.into_inner().user_id }),
            countries.list_countries(ListCountriesRequest {}),
        );
        let (user, country_list) = (Some(user?.into_inner()), Some(country_list?.into_inner()));
        Ok(Response::new(GetProfileResponse { user, country_list, report: None }))
    }

    async fn get_home_country(
        &self,
        _: Request<GetHomeCountryRequest>,
    ) -> Result<Response<GetHomeCountryResponse>, Status> {
        Err(Status::unimplemented("only GetProfile is measured"))
    }

    type StreamUsersStream = Empty<Result<StreamUsersResponse, Status>>;

    async fn stream_users(&self, _: Request<StreamUsersRequest>) -> Result<Response<Self::StreamUsersStream>, Status> {
        Err(Status::unimplemented("only GetProfile is measured"))
    }
}
