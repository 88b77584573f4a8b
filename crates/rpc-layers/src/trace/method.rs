//! The method of a request.

use std::{collections::HashSet, sync::Arc};

use http::Uri;
use prost::{DecodeError, Message as _};
use prost_types::FileDescriptorSet;

/// The value of `rpc.method` for a method that the contract does not have.
const OTHER: &str = "_OTHER";

/// How much of a text that a caller has chosen gets into logs and spans, in bytes. Names of a contract are never cut.
const MAX_LEN: usize = 256;

/// The methods of a contract. Clones share them.
///
/// Callers can send any method name. Names that the contract does not have become `_OTHER` in spans and metrics, so
/// that callers cannot create new series.
#[derive(Clone, Debug, Default)]
pub struct KnownMethods(Arc<HashSet<Arc<str>>>);

/// The method of a request, without the leading slash of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RpcMethod {
    /// A method of the contract.
    Known(Arc<str>),
    /// Any other.
    Other(Box<str>),
}

// === impl KnownMethods ===

impl KnownMethods {
    /// Returns all methods of an encoded `google.protobuf.FileDescriptorSet`.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes cannot be decoded as one.
    pub fn decode(descriptors: &[u8]) -> Result<Self, DecodeError> {
        let descriptors = FileDescriptorSet::decode(descriptors)?;
        let mut methods = HashSet::new();
        for file in &descriptors.file {
            let package = file.package.as_deref().filter(|package| !package.is_empty());
            let package = package.map(|package| format!("{package}.")).unwrap_or_default();
            for service in &file.service {
                let names =
                    service.method.iter().map(|method| format!("{package}{}/{}", service.name(), method.name()));
                methods.extend(names.map(Arc::<str>::from));
            }
        }
        Ok(Self(Arc::new(methods)))
    }

    /// Returns the names of all methods, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Returns the method of a request to this address.
    pub(crate) fn method(&self, uri: &Uri) -> RpcMethod {
        let path = rpc_method(uri);
        self.0.get(path).map_or_else(|| RpcMethod::Other(cut(path).into()), |known| RpcMethod::Known(Arc::clone(known)))
    }
}

// === impl RpcMethod ===

impl RpcMethod {
    /// Returns the name as the caller sent it, cut if it is long and not of the contract.
    pub(crate) fn original(&self) -> &str {
        match self {
            Self::Known(name) => name,
            Self::Other(name) => name,
        }
    }

    /// Returns `rpc.method` of the semantic conventions.
    pub(crate) fn rpc_method(&self) -> &str {
        match self {
            Self::Known(name) => name,
            Self::Other(_) => OTHER,
        }
    }

    /// Returns `rpc.method` as an attribute value, without copying the name.
    pub(crate) fn value(&self) -> opentelemetry::Value {
        match self {
            Self::Known(name) => Arc::clone(name).into(),
            Self::Other(_) => OTHER.into(),
        }
    }

    /// Returns `rpc.method_original`, which is set only if `rpc.method` is `_OTHER`.
    pub(super) fn rpc_method_original(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Other(name) => Some(name),
        }
    }

    /// Returns the name of the span.
    pub(super) fn span_name(&self) -> &str {
        match self {
            Self::Known(name) => name,
            Self::Other(_) => "grpc",
        }
    }
}

/// Returns the first part of a text that a caller has chosen, for logs and spans.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LEN)]
}

/// Returns the method in a gRPC path, as `rpc.method` has it: without the leading slash.
pub(crate) fn rpc_method(uri: &Uri) -> &str {
    let path = uri.path();
    path.strip_prefix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_contract_does_not_have_is_other() {
        let known = KnownMethods::decode(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
        let method = |path: &'static str| known.method(&Uri::from_static(path));
        let check = method("/grpc.health.v1.Health/Check");
        assert_eq!(check.rpc_method(), "grpc.health.v1.Health/Check");
        assert_eq!((check.span_name(), check.rpc_method_original()), (check.rpc_method(), None));
        for path in ["/grpc.health.v1.Health/check", "/grpc.health.v1.Health/Check/", "/", "/x/y"] {
            let other = method(path);
            assert_eq!((other.rpc_method(), other.span_name()), ("_OTHER", "grpc"), "{path}");
            assert_eq!((other.original(), other.rpc_method_original()), (&path[1..], Some(&path[1..])));
        }
        assert!(KnownMethods::decode(b"no descriptors").is_err());
    }

    #[test]
    fn a_long_name_of_a_caller_is_cut_between_characters() {
        let known = KnownMethods::default();
        let path = format!("/a{}", "ü".repeat(5_000));
        let method = known.method(&path.parse().unwrap());
        assert_eq!(method.original(), format!("a{}", "ü".repeat(127)), "255 bytes");
        assert_eq!(method.rpc_method_original(), Some(method.original()));
    }
}
