//! The cases of gRPC's interop test descriptions that need neither compression nor credentials.

mod cancel;
mod metadata;
mod status;
mod streaming;
mod unary;

use std::{error::Error, fmt, time::Duration};

use crate::{
    channel::{self, Channel},
    server::Server,
    testing::{
        Payload, ResponseParameters, SimpleRequest, StreamingOutputCallRequest, test_service_client::TestServiceClient,
    },
};

/// What a case ends with: why it failed, in words.
pub type Verdict = Result<(), Box<dyn Error + Send + Sync>>;

/// Longer than any case takes, so that one that hangs fails.
const CASE_TIMEOUT: Duration = Duration::from_secs(10);

/// Payload sizes of the request and the reply that the unary cases use.
const LARGE_REQUEST: usize = 271_828;
const LARGE_REPLY: i32 = 314_159;

/// A case of gRPC's interop test descriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are gRPC's; its descriptions say what each one checks")]
pub enum Case {
    EmptyUnary,
    LargeUnary,
    ClientStreaming,
    ServerStreaming,
    PingPong,
    EmptyStream,
    CustomMetadata,
    StatusCodeAndMessage,
    SpecialStatusMessage,
    UnimplementedMethod,
    UnimplementedService,
    CancelAfterBegin,
    CancelAfterFirstResponse,
    TimeoutOnSleepingServer,
}

/// The server that a case runs against, and a channel to it.
struct Target<'a> {
    server: &'a Server,
    channel: Channel,
}

// === impl Case ===

impl Case {
    /// All cases, in the order of the table.
    pub const ALL: [Self; 14] = [
        Self::EmptyUnary,
        Self::LargeUnary,
        Self::ClientStreaming,
        Self::ServerStreaming,
        Self::PingPong,
        Self::EmptyStream,
        Self::CustomMetadata,
        Self::StatusCodeAndMessage,
        Self::SpecialStatusMessage,
        Self::UnimplementedMethod,
        Self::UnimplementedService,
        Self::CancelAfterBegin,
        Self::CancelAfterFirstResponse,
        Self::TimeoutOnSleepingServer,
    ];

    /// gRPC's name of the case.
    pub fn name(self) -> &'static str {
        match self {
            Self::EmptyUnary => "empty_unary",
            Self::LargeUnary => "large_unary",
            Self::ClientStreaming => "client_streaming",
            Self::ServerStreaming => "server_streaming",
            Self::PingPong => "ping_pong",
            Self::EmptyStream => "empty_stream",
            Self::CustomMetadata => "custom_metadata",
            Self::StatusCodeAndMessage => "status_code_and_message",
            Self::SpecialStatusMessage => "special_status_message",
            Self::UnimplementedMethod => "unimplemented_method",
            Self::UnimplementedService => "unimplemented_service",
            Self::CancelAfterBegin => "cancel_after_begin",
            Self::CancelAfterFirstResponse => "cancel_after_first_response",
            Self::TimeoutOnSleepingServer => "timeout_on_sleeping_server",
        }
    }

    /// Runs the case on a channel of its own.
    ///
    /// # Errors
    ///
    /// Returns an error if a call does not end as gRPC's description says, or if the case takes
    /// longer than 10 s.
    pub async fn run(self, server: &Server) -> Verdict {
        let target = Target { server, channel: channel::connect(server.port()) };
        tokio::time::timeout(CASE_TIMEOUT, self.run_on(&target)).await.map_err(|_| "it did not end within 10 s")?
    }

    async fn run_on(self, target: &Target<'_>) -> Verdict {
        match self {
            Self::EmptyUnary => unary::empty_unary(target).await,
            Self::LargeUnary => unary::large_unary(target).await,
            Self::ClientStreaming => streaming::client_streaming(target).await,
            Self::ServerStreaming => streaming::server_streaming(target).await,
            Self::PingPong => streaming::ping_pong(target).await,
            Self::EmptyStream => streaming::empty_stream(target).await,
            Self::CustomMetadata => metadata::custom_metadata(target).await,
            Self::StatusCodeAndMessage => status::status_code_and_message(target).await,
            Self::SpecialStatusMessage => status::special_status_message(target).await,
            Self::UnimplementedMethod => status::unimplemented_method(target).await,
            Self::UnimplementedService => status::unimplemented_service(target).await,
            Self::CancelAfterBegin => cancel::cancel_after_begin(target).await,
            Self::CancelAfterFirstResponse => cancel::cancel_after_first_response(target).await,
            Self::TimeoutOnSleepingServer => cancel::timeout_on_sleeping_server(target).await,
        }
    }
}

// === impl Target ===

impl Target<'_> {
    fn client(&self) -> TestServiceClient<Channel> {
        TestServiceClient::new(self.channel.clone())
    }
}

/// A payload of this many zeros.
#[allow(clippy::unnecessary_wraps, reason = "the fields of messages are optional")]
fn zeros(size: usize) -> Option<Payload> {
    Some(Payload { body: vec![0; size], ..Payload::default() })
}

fn large_request() -> SimpleRequest {
    SimpleRequest { response_size: LARGE_REPLY, payload: zeros(LARGE_REQUEST), ..SimpleRequest::default() }
}

/// A request with a payload that asks for one reply.
fn exchange(request: usize, reply: i32) -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        response_parameters: vec![ResponseParameters { size: reply, interval_us: 0 }],
        payload: zeros(request),
        ..StreamingOutputCallRequest::default()
    }
}

/// Checks that a value is what the description says.
#[allow(clippy::needless_pass_by_value, reason = "the callers read better with values")]
fn expect<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Verdict {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?}, not {expected:?}").into()) }
}

/// Checks that a payload consists of this many zeros.
fn expect_zeros(payload: Option<Payload>, size: i32) -> Verdict {
    let body = payload.unwrap_or_default().body;
    expect("the payload's size", i32::try_from(body.len())?, size)?;
    expect("the payload is zeros", body.iter().all(|byte| *byte == 0), true)
}
