//! Makes one request and measures it.

use std::time::Instant;

use fanout_proto::gateway::v1::{FanOutReport, gateway_service_client::GatewayServiceClient};
use tonic::{Response, Status, transport::Channel};

use crate::{
    compare::run::Run,
    gateway_client::{
        report::Report,
        request::{Method, RequestArgs, Strategy},
        rpc_error::RpcError,
    },
};

/// Makes the request once, with this strategy. A failed request is a run with an error.
pub async fn measure(channel: Channel, request: RequestArgs, strategy: Strategy) -> Run {
    let began = Instant::now();
    // tonic's timer does not cover the wait for the connection.
    let reply = tokio::time::timeout(request.options.timeout, call(channel, &request, strategy)).await;
    let waited = began.elapsed();
    let result = match reply {
        Ok(Ok(report)) => Ok(report.map(Report::from)),
        Ok(Err(status)) => Err(RpcError::new(&status)),
        Err(_) => Err(RpcError::deadline_exceeded()),
    };
    Run { strategy, waited, result }
}

async fn call(channel: Channel, request: &RequestArgs, strategy: Strategy) -> Result<Option<FanOutReport>, Status> {
    let mut client = GatewayServiceClient::new(channel);
    match request.method {
        Method::GetProfile => {
            let message = request.options.request(request.profile(Some(strategy)));
            client.get_profile(message).await.map(Response::into_inner).map(|reply| reply.report)
        }
        Method::GetHomeCountry => {
            let message = request.options.request(request.home_country(Some(strategy)));
            client.get_home_country(message).await.map(Response::into_inner).map(|reply| reply.report)
        }
    }
}
