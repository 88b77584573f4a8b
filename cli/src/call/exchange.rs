//! Sends a request, and receives the messages of its reply one by one.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fanout_proto::Encoded;
use tonic::{Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    call::rpc::{Reply, Rpc},
    gateway_client::{report::Report, request::RequestOptions, rpc_error::RpcError},
    terminal::live_line::LiveLine,
};

/// What is told of a reply as it arrives.
pub(super) trait Reader {
    /// Takes a message that arrived this long after the request was sent.
    fn message(&mut self, reply: &Reply, waited: Duration) -> io::Result<()>;

    /// Takes the end of the reply, or its failure.
    fn end(&mut self, ended: Ended) -> io::Result<()>;
}

/// How a request ended.
pub(super) struct Ended {
    /// How long the caller waited, by its own clock.
    pub(super) waited: Duration,
    /// The report of the reply, if it has one, or the error.
    pub(super) result: Result<Option<Report>, RpcError>,
}

// === impl Ended ===

impl Ended {
    /// Returns why the gateway rejected the request before it made a call.
    pub(super) fn rejection(&self) -> Option<&str> {
        let error = self.result.as_ref().err()?;
        error.is_rejection().then_some(&error.message)
    }
}

/// Makes the request. The reply to a unary request is one message.
///
/// # Errors
///
/// Returns an error if `reader` does. A request that fails has [`Ended`] too.
pub(super) async fn run(
    channel: Channel,
    rpc: &Rpc,
    options: &RequestOptions,
    reader: &mut dyn Reader,
) -> io::Result<Ended> {
    let began = Instant::now();
    // tonic's timer does not cover the wait for the connection.
    let received = tokio::time::timeout(options.timeout, receive(channel, rpc, options, reader, began)).await;
    let result = match received {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(Failure::Status(status))) => Err(RpcError::new(&status)),
        Ok(Err(Failure::Output(error))) => return Err(error),
        Err(_) => Err(RpcError::deadline_exceeded()),
    };
    Ok(Ended { waited: began.elapsed(), result })
}

/// Why receiving ended early.
enum Failure {
    Status(Box<Status>),
    Output(io::Error),
}

async fn receive(
    channel: Channel,
    rpc: &Rpc,
    options: &RequestOptions,
    reader: &mut dyn Reader,
    began: Instant,
) -> Result<Option<Report>, Failure> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
    let codec = ProstCodec::<Encoded<()>, Encoded<()>>::default();
    let live = wait(rpc);
    // On the wire a unary call is a call with a stream of one message.
    let stream = client.server_streaming(options.request(rpc.message()), rpc.path(), codec).await;
    let mut stream = match stream {
        Ok(response) => response.into_inner(),
        Err(status) => {
            live.finish().await;
            return Err(status.into());
        }
    };
    let (mut live, mut report) = (Some(live), None);
    loop {
        let message = stream.message().await;
        if let Some(live) = live.take() {
            live.finish().await;
        }
        let Some(message) = message? else { return Ok(report) };
        let reply = decode(rpc, message.as_bytes())?;
        report = reply.report().map(Report::from).or(report);
        reader.message(&reply, began.elapsed()).map_err(Failure::Output)?;
        live = Some(wait(rpc));
    }
}

fn decode(rpc: &Rpc, bytes: &Bytes) -> Result<Reply, Status> {
    rpc.reply(bytes).map_err(|error| Status::internal(format!("the reply cannot be decoded: {error}")))
}

/// Shows how long the wait for the next message has taken.
fn wait(rpc: &Rpc) -> LiveLine {
    let name = rpc.name().to_owned();
    LiveLine::start(move |elapsed| format!("{name} ... {:.1} s", elapsed.as_secs_f64()))
}

// === impl Failure ===

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}
