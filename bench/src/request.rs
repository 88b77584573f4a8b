//! The requests that are made, as they are on the wire.

use bytes::{BufMut as _, Bytes, BytesMut};
use fanout_proto::{
    country::v1::ListCountriesRequest,
    gateway::v1::{GetProfileRequest, Strategy, StreamUsersRequest},
    user::v1::GetUserRequest,
};
use prost::Message;

use crate::reply::{Lengths, Shape};

/// The user that all requests are for.
pub(crate) const USER: &str = "ada";

/// What callers allow a request: a header that the aggregator passes on as the time that is left.
pub(crate) const TIMEOUT: &str = "10S";

/// A request, and what its reply has to be.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The path of a gRPC method, or that of an HTTP resource.
    pub(crate) path: &'static str,
    /// The length-prefixed message; none for HTTP.
    pub(crate) body: Option<Bytes>,
    pub(crate) shape: Shape,
}

// === impl Request ===

impl Request {
    /// A user and all countries, together.
    pub(crate) fn profile(lengths: Lengths) -> Self {
        let message = GetProfileRequest {
            user_id: USER.into(),
            strategy: Strategy::Concurrent.into(),
            ..GetProfileRequest::default()
        };
        let path = "/fanout.gateway.v1.GatewayService/GetProfile";
        Self::grpc(path, &message, Shape::Profile(lengths))
    }

    /// The same over HTTP and JSON.
    pub(crate) fn profile_as_json(lengths: Lengths) -> Self {
        Self { path: "/profile/ada", body: None, shape: Shape::ProfileAsJson(lengths) }
    }

    /// A stream of as many users, as many of them at once as the gateway allows.
    pub(crate) fn users(lengths: Lengths, width: usize) -> Self {
        let message = StreamUsersRequest {
            user_ids: vec![USER.into(); width],
            max_in_flight: u32::try_from(width.min(256)).unwrap_or(u32::MAX),
            strategy: Strategy::Concurrent.into(),
            ..StreamUsersRequest::default()
        };
        let shape = Shape::Users { number: width, length: lengths.user };
        Self::grpc("/fanout.gateway.v1.GatewayService/StreamUsers", &message, shape)
    }

    /// One call to the country service.
    pub(crate) fn countries(shape: Shape) -> Self {
        let path = "/fanout.country.v1.CountryService/ListCountries";
        Self::grpc(path, &ListCountriesRequest::default(), shape)
    }

    /// One call to the user service.
    pub(crate) fn user(shape: Shape) -> Self {
        let path = "/fanout.user.v1.UserService/GetUser";
        Self::grpc(path, &GetUserRequest { user_id: USER.into() }, shape)
    }

    /// The health of the whole server, and each change of it: a reply without an end.
    pub(crate) fn watch_health() -> Self {
        // A name of a service that is empty is not on the wire.
        Self::grpc("/grpc.health.v1.Health/Watch", &(), Shape::Any)
    }

    fn grpc(path: &'static str, message: &impl Message, shape: Shape) -> Self {
        let length = message.encoded_len();
        let mut body = BytesMut::with_capacity(5 + length);
        body.put_u8(0);
        body.put_u32(u32::try_from(length).expect("a request is short"));
        message.encode(&mut body).expect("there is room");
        Self { path, body: Some(body.freeze()), shape }
    }
}
