//! The method and the message of a request, by the descriptors of the contract.

use std::sync::LazyLock;

use bytes::Bytes;
use fanout_proto::{Encoded, FILE_DESCRIPTOR_SET, gateway::v1 as proto};
use http::uri::PathAndQuery;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, SerializeOptions};
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use serde_json::Value;

use crate::{
    call::{
        args::{CallArgs, CallMethod},
        error_details,
    },
    gateway_client::request::{FailurePolicy, Method, RequestArgs, Strategy},
};

/// The name of the gateway's service.
const SERVICE: &str = proto::gateway_service_server::SERVICE_NAME;

/// The contract, and the details of errors that it does not import: they travel as `google.protobuf.Any`.
static CONTRACT: LazyLock<DescriptorPool> = LazyLock::new(|| {
    const MADE: &str = "the descriptors were made by the build of this program";
    let mut pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect(MADE);
    let details = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).expect(MADE);
    // The contract has some of these messages, from files of other names.
    let is_new = |file: &FileDescriptorProto| {
        let names = file.message_type.iter().map(|message| format!("{}.{}", file.package(), message.name()));
        names.into_iter().all(|name| pool.get_message_by_name(&name).is_none())
    };
    let details: Vec<_> = details.file.into_iter().filter(is_new).collect();
    pool.add_file_descriptor_protos(details).expect(MADE);
    pool
});

/// Returns the descriptors of the contract and of the details of errors.
pub(super) fn contract() -> &'static DescriptorPool {
    &CONTRACT
}

/// A method of the gateway, and the message to send to it.
#[derive(Clone, Debug)]
pub(super) struct Rpc {
    method: MethodDescriptor,
    message: Bytes,
}

// === impl Rpc ===

impl Rpc {
    pub(super) fn new(args: &CallArgs) -> Self {
        let strategy = Strategy::number(args.strategy);
        let failure_policy = FailurePolicy::number(args.failure_policy());
        let mut user_ids = args.users.iter().map(ToString::to_string);
        let mut user_id = || user_ids.next().unwrap_or_default();
        let (name, message) = match args.method {
            CallMethod::Profile => {
                let request = proto::GetProfileRequest { user_id: user_id(), strategy, failure_policy };
                ("GetProfile", request.encode_to_vec())
            }
            CallMethod::HomeCountry => {
                let request = proto::GetHomeCountryRequest { user_id: user_id(), strategy, failure_policy };
                ("GetHomeCountry", request.encode_to_vec())
            }
            CallMethod::Users => {
                let max_in_flight = args.max_in_flight.unwrap_or_default();
                let user_ids = user_ids.collect();
                let request = proto::StreamUsersRequest { user_ids, max_in_flight, strategy, failure_policy };
                ("StreamUsers", request.encode_to_vec())
            }
        };
        Self::of(name, message.into())
    }

    /// Returns the method of a request with this strategy, and its message.
    pub(super) fn of_request(request: &RequestArgs, strategy: Option<Strategy>) -> Self {
        let message = match request.method {
            Method::GetProfile => request.profile(strategy).encode_to_vec(),
            Method::GetHomeCountry => request.home_country(strategy).encode_to_vec(),
        };
        Self::of(request.method.rpc(), message.into())
    }

    fn of(name: &str, message: Bytes) -> Self {
        let service = contract().get_service_by_name(SERVICE);
        let method = service.and_then(|service| service.methods().find(|method| method.name() == name));
        Self { method: method.expect("the contract has the method"), message }
    }

    /// Returns the name of the method, such as `GetProfile`.
    pub(super) fn name(&self) -> &str {
        self.method.name()
    }

    /// Returns the method with its service, such as `fanout.gateway.v1.GatewayService/GetProfile`.
    pub(super) fn full_name(&self) -> String {
        format!("{SERVICE}/{}", self.name())
    }

    pub(super) fn path(&self) -> PathAndQuery {
        format!("/{}", self.full_name()).parse().expect("names of the contract are a path")
    }

    /// Returns the request's message; its type is of no importance to a client.
    pub(super) fn message(&self) -> Encoded<()> {
        Encoded::from_bytes(self.message.clone()).expect("what was just encoded is a message")
    }

    /// Returns whether the reply is a stream of messages.
    pub(super) fn is_stream(&self) -> bool {
        self.method.is_server_streaming()
    }

    /// Returns the request's message as JSON.
    pub(super) fn request_json(&self) -> Value {
        let message = DynamicMessage::decode(self.method.input(), self.message.clone());
        json(&message.expect("what was just encoded is the method's message"))
    }

    /// Decodes a message of the reply.
    pub(super) fn reply(&self, bytes: &Bytes) -> Result<Reply, prost::DecodeError> {
        let mut message = DynamicMessage::decode(self.method.output(), bytes.clone())?;
        error_details::remove_unknown(&mut message, contract());
        Ok(Reply(message))
    }
}

/// A message of the reply.
pub(super) struct Reply(DynamicMessage);

// === impl Reply ===

impl Reply {
    /// Returns the message as JSON, as protobuf defines it.
    pub(super) fn json(&self) -> Value {
        json(&self.0)
    }

    /// Returns the gateway's report if this message contains it.
    pub(super) fn report(&self) -> Option<proto::FanOutReport> {
        if !self.0.has_field_by_name("report") {
            return None;
        }
        self.0.get_field_by_name("report")?.as_message()?.transcode_to().ok()
    }
}

fn json(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().stringify_64_bit_integers(true);
    let value = message.serialize_with_options(serde_json::value::Serializer, &options);
    value.expect("a message of the contract has a form in JSON")
}
