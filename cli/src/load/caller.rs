//! Makes one request of a load test.
//!
//! The load generator must not be the bottleneck. The message is encoded once, and only the status and three durations
//! of a reply are decoded: decoding the 249 countries of each profile would take longer than all the rest of a request.

use std::time::{Duration, Instant};

use fanout_proto::Encoded;
use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::watch;
use tonic::{Code, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::gateway_client::{
    request::{Method, RequestArgs, RequestMetadata, Strategy},
    rpc_error::{self, RpcError},
};

/// Makes the same request many times.
#[derive(Debug)]
pub struct Caller {
    channels: Vec<Channel>,
    path: PathAndQuery,
    /// The encoded request; its type is of no importance here.
    message: Encoded<()>,
    metadata: RequestMetadata,
    timeout: Duration,
    /// Gets the reason if the gateway rejects the request before it makes a call.
    reject: watch::Sender<Option<String>>,
}

/// The result of one request.
#[derive(Debug)]
pub struct Sample {
    /// The number of the caller.
    pub slot: usize,
    /// The instant from which its latency counts.
    pub due: Instant,
    /// When it was sent, or `None` if its timeout had passed before.
    pub sent: Option<Instant>,
    /// When the reply or the error arrived.
    pub ended: Instant,
    /// The times in the gateway's report, or the error.
    pub result: Result<Option<ReportTimes>, (Code, String)>,
}

/// The part of a reply that is decoded: the report is field 3 of the reply of each method.
#[derive(Clone, PartialEq, Message)]
struct ReplyTimes {
    #[prost(message, optional, tag = "3")]
    report: Option<ReportTimes>,
}

/// The part of a report that is decoded.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ReportTimes {
    /// See `FanOutReport.wall_time`.
    #[prost(message, optional, tag = "3")]
    pub wall_time: Option<prost_types::Duration>,
    /// See `FanOutReport.total_time`.
    #[prost(message, optional, tag = "4")]
    pub total_time: Option<prost_types::Duration>,
    /// See `FanOutReport.saved_time`.
    #[prost(message, optional, tag = "5")]
    pub saved_time: Option<prost_types::Duration>,
}

// === impl Caller ===

impl Caller {
    /// Encodes the request, which is spread over these connections. Passes the reason to `reject` if the gateway rejects
    /// it before it makes a call.
    pub(crate) fn new(
        request: &RequestArgs,
        strategy: Option<Strategy>,
        channels: Vec<Channel>,
        reject: watch::Sender<Option<String>>,
    ) -> Self {
        let (path, message) = match request.method {
            Method::GetProfile => {
                ("/fanout.gateway.v1.GatewayService/GetProfile", request.profile(strategy).encode_to_vec())
            }
            Method::GetHomeCountry => {
                ("/fanout.gateway.v1.GatewayService/GetHomeCountry", request.home_country(strategy).encode_to_vec())
            }
        };
        Self {
            channels,
            path: PathAndQuery::from_static(path),
            message: Encoded::from_bytes(message.into()).expect("what was just encoded is a message"),
            metadata: request.options.metadata(),
            timeout: request.options.timeout,
            reject,
        }
    }

    /// Makes the request that was due at an instant, from which its timeout counts too.
    pub async fn call(&self, slot: usize, due: Instant) -> Sample {
        let left = self.timeout.saturating_sub(due.elapsed());
        let deadline = || (Code::DeadlineExceeded, RpcError::deadline_exceeded().message);
        if left.is_zero() {
            return Sample { slot, due, sent: None, ended: Instant::now(), result: Err(deadline()) };
        }
        let sent = Instant::now();
        // tonic's timer does not cover the wait for the connection.
        let result = match tokio::time::timeout(left, self.send(slot, left)).await {
            Ok(Ok(times)) => Ok(times),
            Ok(Err(status)) => Err(self.failure(&status)),
            Err(_) => Err(deadline()),
        };
        Sample { slot, due, sent: Some(sent), ended: Instant::now(), result }
    }

    fn failure(&self, status: &Status) -> (Code, String) {
        // Only then is the report decoded.
        if rpc_error::may_be_rejection(status.code()) {
            let error = RpcError::new(status);
            if error.is_rejection() {
                self.reject.send_replace(Some(error.message));
            }
        }
        rpc_error::read(status)
    }

    /// Sends the request, and reads the reply up to the status in its trailers.
    async fn send(&self, slot: usize, timeout: Duration) -> Result<Option<ReportTimes>, Status> {
        let channel = self.channels[slot % self.channels.len()].clone();
        let mut client = Grpc::new(channel);
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = self.metadata.request(self.message.clone(), timeout);
        let codec = ProstCodec::<Encoded<()>, ReplyTimes>::default();
        let reply = client.unary(request, self.path.clone(), codec).await?;
        Ok(reply.into_inner().report)
    }
}
