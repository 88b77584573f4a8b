//! The channels that are compared.
//!
//! Each has the same means against silent peers: a probe every 500 ms that may take 500 ms.

use std::time::Duration;

use tonic::{
    Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{ServiceExt as _, util::BoxCloneService};

use crate::BoxError;

/// The descriptors of the greeter's contract.
const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// Any channel. The box costs each rival the same. The status is the one that tonic's generated
/// client would make of the channel's error.
pub(crate) type BoxChannel = BoxCloneService<http::Request<Body>, http::Response<Body>, Status>;

const PROBE_INTERVAL: Duration = Duration::from_millis(500);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A channel that tonic's generated clients run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Rival {
    /// This workspace's `grpc-channel`.
    GrpcChannel,
    /// tonic's `Channel` to one endpoint; it cannot use the others.
    Channel,
    /// tonic's `Channel::balance_list`.
    BalanceList,
    /// The crate `warm_channels`.
    #[cfg(feature = "rivals")]
    WarmChannels,
}

// === impl Rival ===

impl Rival {
    /// What the table calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GrpcChannel => "grpc-channel",
            Self::Channel => "tonic Channel",
            Self::BalanceList => "tonic balance_list",
            #[cfg(feature = "rivals")]
            Self::WarmChannels => "warm_channels",
        }
    }

    /// Returns a channel to these endpoints.
    ///
    /// # Errors
    ///
    /// Returns an error if an endpoint is not a URI of the form `http://ADDRESS:PORT`.
    pub(crate) fn connect(self, endpoints: &[String]) -> Result<BoxChannel, BoxError> {
        match self {
            Self::GrpcChannel => grpc_channel(endpoints),
            Self::Channel => Ok(boxed(endpoint(&endpoints[0])?.connect_lazy())),
            Self::BalanceList => {
                let endpoints = endpoints.iter().map(|uri| endpoint(uri)).collect::<Result<Vec<_>, _>>()?;
                Ok(boxed(Channel::balance_list(endpoints.into_iter())))
            }
            #[cfg(feature = "rivals")]
            Self::WarmChannels => warm_channels(endpoints),
        }
    }
}

/// Hedges calls that take longer than 95 % of the latest, which no other rival can.
fn grpc_channel(endpoints: &[String]) -> Result<BoxChannel, BoxError> {
    let config = grpc_channel::Config {
        connect_timeout: CONNECT_TIMEOUT,
        keepalive: PROBE_INTERVAL,
        keepalive_timeout: PROBE_TIMEOUT,
        hedge: grpc_channel::HedgeAfter::Percentile(95.0),
        ..grpc_channel::Config::default()
    };
    let descriptors = grpc_channel::Descriptors::decode(FILE_DESCRIPTOR_SET)?;
    let channel = grpc_channel::Channel::builder("greeter", endpoints.iter().map(String::as_str))?
        .config(config)
        .descriptors(descriptors)
        .connect();
    Ok(BoxCloneService::new(channel.map_response(|response: http::Response<_>| response.map(Body::new))))
}

fn boxed(channel: Channel) -> BoxChannel {
    BoxCloneService::new(channel.map_err(|error| Status::from_error(error.into())))
}

fn endpoint(uri: &str) -> Result<Endpoint, BoxError> {
    Ok(Endpoint::from_shared(uri.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PROBE_INTERVAL)
        .keep_alive_timeout(PROBE_TIMEOUT))
}

#[cfg(feature = "rivals")]
fn warm_channels(endpoints: &[String]) -> Result<BoxChannel, BoxError> {
    use std::{convert::Infallible, net::SocketAddr};

    use futures::{StreamExt as _, stream};
    use warm_channels::grpc::{GRPCChannelConfig, GRPCHealthCheckConfig};

    let addresses = endpoints
        .iter()
        .map(|uri| uri.trim_start_matches("http://").parse::<SocketAddr>())
        .collect::<Result<Vec<_>, _>>()?;
    let health_checking =
        GRPCHealthCheckConfig { interval: PROBE_INTERVAL, timeout: PROBE_TIMEOUT, ..GRPCHealthCheckConfig::default() };
    let (channel, worker) = warm_channels::grpc_channel(
        endpoints[0].parse()?,
        GRPCChannelConfig { health_checking, ..GRPCChannelConfig::default() },
        "side-by-side",
        warm_channels::stream::TCPConnector,
        // A resolver that never ends: the addresses stay.
        stream::iter([Ok::<_, Infallible>(addresses)]).chain(stream::pending()),
        |_| {},
    );
    tokio::spawn(worker);
    // It leaves the URI's scheme and authority to the client.
    let origin: http::Uri = endpoints[0].parse()?;
    let channel = channel
        .map_request(move |mut request: http::Request<Body>| {
            let mut parts = origin.clone().into_parts();
            parts.path_and_query = request.uri().path_and_query().cloned();
            *request.uri_mut() = http::Uri::from_parts(parts).expect("the parts of two valid URIs");
            request
        })
        .map_response(|response: http::Response<_>| response.map(Body::new))
        .map_err(Status::from_error);
    Ok(BoxCloneService::new(channel))
}
