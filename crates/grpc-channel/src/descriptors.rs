//! What protobuf's descriptors say about methods.

use prost::Message as _;
use prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};

/// The methods of a contract: how each streams, and whether it is idempotent.
///
/// Read from the descriptors that protobuf's compiler writes, so that the contract alone says what may be sent twice:
///
/// ```proto
/// rpc GetUser(GetUserRequest) returns (User) {
///   option idempotency_level = NO_SIDE_EFFECTS;
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Descriptors {
    pub(crate) methods: Vec<DescribedMethod>,
}

/// One method of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedMethod {
    /// The full name of its service, such as `fanout.user.v1.UserService`.
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) kind: MethodKind,
    /// Its `idempotency_level` is `NO_SIDE_EFFECTS` or `IDEMPOTENT`.
    pub(crate) is_idempotent: bool,
}

/// How many messages a method takes and returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MethodKind {
    /// One each.
    Unary,
    /// One, and then a stream.
    ServerStreaming,
    /// A stream, and then one.
    ClientStreaming,
    /// A stream each.
    Bidirectional,
    /// No descriptor says.
    Unknown,
}

/// The bytes are not a `google.protobuf.FileDescriptorSet`.
#[derive(Debug, thiserror::Error)]
#[error("the descriptors cannot be read: {0}")]
pub struct InvalidDescriptors(#[from] prost::DecodeError);

// === impl Descriptors ===

impl Descriptors {
    /// Reads an encoded `google.protobuf.FileDescriptorSet`, as tonic-build writes it for reflection.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not one.
    pub fn decode(file_descriptor_set: &[u8]) -> Result<Self, InvalidDescriptors> {
        let set = FileDescriptorSet::decode(file_descriptor_set)?;
        let mut methods = Vec::new();
        for file in &set.file {
            for service in &file.service {
                let full_name = match file.package() {
                    "" => service.name().to_owned(),
                    package => format!("{package}.{}", service.name()),
                };
                methods.extend(service.method.iter().map(|method| {
                    let options = method.options.clone().unwrap_or_default();
                    DescribedMethod {
                        service: full_name.clone(),
                        name: method.name().to_owned(),
                        kind: MethodKind::of(method.client_streaming(), method.server_streaming()),
                        is_idempotent: options.idempotency_level() != IdempotencyLevel::IdempotencyUnknown,
                    }
                }));
            }
        }
        Ok(Self { methods })
    }
}

// === impl DescribedMethod ===

impl DescribedMethod {
    /// Returns the method's path, such as `/fanout.user.v1.UserService/GetUser`.
    pub(crate) fn path(&self) -> String {
        format!("/{}/{}", self.service, self.name)
    }
}

// === impl MethodKind ===

impl MethodKind {
    fn of(client_streaming: bool, server_streaming: bool) -> Self {
        match (client_streaming, server_streaming) {
            (false, false) => Self::Unary,
            (false, true) => Self::ServerStreaming,
            (true, false) => Self::ClientStreaming,
            (true, true) => Self::Bidirectional,
        }
    }
}

#[cfg(test)]
mod tests {
    use prost_types::{FileDescriptorProto, MethodDescriptorProto, MethodOptions, ServiceDescriptorProto};

    use super::*;

    fn method(name: &str, streams: (bool, bool), level: Option<IdempotencyLevel>) -> MethodDescriptorProto {
        MethodDescriptorProto {
            name: Some(name.to_owned()),
            client_streaming: Some(streams.0),
            server_streaming: Some(streams.1),
            options: level
                .map(|level| MethodOptions { idempotency_level: Some(level.into()), ..MethodOptions::default() }),
            ..MethodDescriptorProto::default()
        }
    }

    #[test]
    fn the_contract_says_what_streams_and_what_may_be_sent_twice() {
        let service = ServiceDescriptorProto {
            name: Some("Users".to_owned()),
            method: vec![
                method("Get", (false, false), Some(IdempotencyLevel::NoSideEffects)),
                method("Put", (false, false), Some(IdempotencyLevel::Idempotent)),
                method("Create", (false, false), None),
                method("Watch", (false, true), Some(IdempotencyLevel::IdempotencyUnknown)),
                method("Import", (true, false), None),
                method("Chat", (true, true), None),
            ],
            ..ServiceDescriptorProto::default()
        };
        let file = FileDescriptorProto {
            package: Some("example.v1".to_owned()),
            service: vec![service],
            ..FileDescriptorProto::default()
        };
        let read = Descriptors::decode(&FileDescriptorSet { file: vec![file] }.encode_to_vec()).unwrap();
        let read: Vec<_> =
            read.methods.iter().map(|method| (method.path(), method.kind, method.is_idempotent)).collect();
        let path = |name: &str| format!("/example.v1.Users/{name}");
        assert_eq!(
            read,
            [
                (path("Get"), MethodKind::Unary, true),
                (path("Put"), MethodKind::Unary, true),
                (path("Create"), MethodKind::Unary, false),
                (path("Watch"), MethodKind::ServerStreaming, false),
                (path("Import"), MethodKind::ClientStreaming, false),
                (path("Chat"), MethodKind::Bidirectional, false),
            ]
        );
        assert!(Descriptors::decode(b"\xff").unwrap_err().to_string().contains("cannot be read"));
    }
}
