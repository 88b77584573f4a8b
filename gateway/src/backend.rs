//! The services behind the gateway, and what a call to each goes through.
//!
//! # Layout
//!
//! * `backend`: [`Backend`], one service and the tower stack in front of its channel.
//! * `users`, `countries`: a typed client for each service.

mod countries;
mod users;

use std::{sync::Arc, time::Duration};

use fan_out::Attempts;
use fanout_proto::Encoded;
use futures::future::BoxFuture;
use http::{Request, Uri, uri::PathAndQuery};
use prost::Message;
use service_kit::{
    HandedOn,
    deadline::{ClientDeadline, ClientDeadlineLayer},
    trace::{ClientTrace, ClientTraceLayer},
};
use tonic::{
    body::Body,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use tower::{ServiceBuilder, util::MapRequest};

pub use self::{countries::Countries, users::Users};
use crate::error::BackendError;

/// How long connecting may take. A deadline that is shorter holds as well.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be silent before the gateway asks whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// What a call goes through on its way out: see [`stack`].
type Stack = ClientTrace<ClientDeadline<MapRequest<Channel, fn(Request<Body>) -> Request<Body>>>>;

/// A service behind the gateway.
///
/// Clones share one connection.
#[derive(Clone, Debug)]
pub struct Backend {
    name: &'static str,
    url: Arc<Uri>,
    stack: Stack,
}

/// The reply to come of a backend: its bytes, or why there are none.
pub type Reply<R> = BoxFuture<'static, Result<Encoded<R>, BackendError>>;

/// A method of a backend: `fanout.user.v1.UserService/GetUser` with a slash before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method(&'static str);

// === impl Backend ===

impl Backend {
    /// The service of this name at `url`. Connects when it is first called, and again
    /// whenever the connection is lost.
    pub fn connect_lazy(name: &'static str, url: Uri) -> Self {
        let channel = Endpoint::from(url.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .connect_lazy();
        let stack = stack(&url, channel);
        Self { name, url: Arc::new(url), stack }
    }

    /// Its name in reports and errors, such as `user`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where it listens, as it was given but for a slash at the end.
    pub fn url(&self) -> String {
        shown(&self.url)
    }

    /// Calls a method, and leaves the reply as the bytes it came as.
    ///
    /// Dropping the future resets the call at the backend.
    fn call<Q, R>(&self, method: Method, message: Q, handed_on: &HandedOn, attempts: &Attempts) -> Reply<R>
    where
        Q: Message + 'static,
        R: 'static,
    {
        let mut request = tonic::Request::new(message);
        handed_on.put_into(request.extensions_mut());
        request.extensions_mut().insert(attempts.clone());
        let (backend, codec) = (self.clone(), ProstCodec::<Q, Encoded<R>>::default());
        let path = PathAndQuery::from_static(method.0);
        // Boxed, because it is moved through several layers on its way, and each would make
        // room for its kilobytes.
        Box::pin(async move {
            // The stack is always ready: it waits for the channel within the deadline.
            let Self { name, url, stack } = backend;
            match Grpc::new(stack).unary(request, path, codec).await {
                Ok(reply) => Ok(reply.into_inner()),
                Err(status) => Err(BackendError::new(name, &shown(&url), &status)),
            }
        })
    }
}

/// What a call goes through, in this order:
///
/// 1. trace, outermost, so that the span has everything that happens to the call;
/// 2. deadline, so that every wait below counts against it;
/// 3. attempts, next to the channel, so that only what goes out is counted;
/// 4. the channel, which connects and holds the one connection.
fn stack(url: &Uri, channel: Channel) -> Stack {
    ServiceBuilder::new()
        .layer(ClientTraceLayer::new(url))
        .layer(ClientDeadlineLayer::new())
        .map_request(count_attempt as fn(_) -> _)
        .service(channel)
}

fn shown(url: &Uri) -> String {
    url.to_string().trim_end_matches('/').to_owned()
}

fn count_attempt(request: Request<Body>) -> Request<Body> {
    if let Some(attempts) = request.extensions().get::<Attempts>() {
        attempts.add();
    }
    request
}

// === impl Method ===

impl Method {
    /// The method as reports and spans name it.
    pub(crate) fn name(self) -> &'static str {
        self.0.trim_start_matches('/')
    }
}
