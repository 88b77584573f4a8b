//! The methods of a contract whose requests stream.

use std::{collections::HashSet, sync::Arc};

use http::Uri;
use prost::{DecodeError, Message as _};
use prost_types::FileDescriptorSet;

/// The methods whose requests have any number of messages, such as `grpc.testing.TestService/FullDuplexCall`. Those of
/// all others have one. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamingMethods(Arc<HashSet<String>>);

// === impl StreamingMethods ===

impl StreamingMethods {
    /// Returns those of an encoded `google.protobuf.FileDescriptorSet`.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes cannot be decoded as one.
    pub(crate) fn decode(descriptors: &[u8]) -> Result<Self, DecodeError> {
        let descriptors = FileDescriptorSet::decode(descriptors)?;
        let mut streaming = HashSet::new();
        for file in &descriptors.file {
            let package = file.package.as_deref().filter(|package| !package.is_empty());
            let package = package.map(|package| format!("{package}.")).unwrap_or_default();
            for service in &file.service {
                let methods = service.method.iter().filter(|method| method.client_streaming());
                streaming.extend(methods.map(|method| format!("{package}{}/{}", service.name(), method.name())));
            }
        }
        Ok(Self(Arc::new(streaming)))
    }

    /// Returns whether the method of a request to this address is one of them.
    pub(crate) fn contains(&self, uri: &Uri) -> bool {
        let path = uri.path();
        self.0.contains(path.strip_prefix('/').unwrap_or(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_known_by_their_descriptors() {
        let reflection = StreamingMethods::decode(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET).unwrap();
        assert!(reflection.contains(&Uri::from_static("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")));
        let health = StreamingMethods::decode(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
        assert!(!health.contains(&Uri::from_static("/grpc.health.v1.Health/Check")));
        assert!(!health.contains(&Uri::from_static("/grpc.health.v1.Health/Watch")), "its replies stream");
        assert!(StreamingMethods::decode(b"no descriptors").is_err());
    }
}
