//! Which method a request is for.

use std::{collections::HashSet, sync::Arc};

use http::Uri;
use prost::{DecodeError, Message as _};
use prost_types::FileDescriptorSet;

use super::rpc_method;

/// What `rpc.method` is where the contract has no such method.
const OTHER: &str = "_OTHER";

/// The methods of a contract. Clones share them.
///
/// A caller can ask for any: what the contract does not have is `_OTHER` in the name of a span and in metrics, so that
/// nobody can fill either with names of his own.
#[derive(Clone, Debug, Default)]
pub struct KnownMethods(Arc<HashSet<Arc<str>>>);

/// The method of a request, without the path's leading slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RpcMethod {
    Known(Arc<str>),
    Other(Box<str>),
}

// === impl KnownMethods ===

impl KnownMethods {
    /// All methods of an encoded `google.protobuf.FileDescriptorSet`.
    ///
    /// # Errors
    ///
    /// Where it is none.
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

    /// The method that a request to this address is for.
    pub(crate) fn method(&self, uri: &Uri) -> RpcMethod {
        let path = rpc_method(uri);
        self.0.get(path).map_or_else(|| RpcMethod::Other(path.into()), |known| RpcMethod::Known(Arc::clone(known)))
    }
}

// === impl RpcMethod ===

impl RpcMethod {
    /// As the caller wrote it.
    pub(crate) fn original(&self) -> &str {
        match self {
            Self::Known(name) => name,
            Self::Other(name) => name,
        }
    }

    /// `rpc.method` of the semantic conventions.
    pub(crate) fn rpc_method(&self) -> &str {
        match self {
            Self::Known(name) => name,
            Self::Other(_) => OTHER,
        }
    }

    /// The same as an attribute's value, which it costs little to make.
    pub(crate) fn value(&self) -> opentelemetry::Value {
        match self {
            Self::Known(name) => Arc::clone(name).into(),
            Self::Other(_) => OTHER.into(),
        }
    }

    /// `rpc.method_original`, which there is where `rpc.method` does not say it.
    pub(super) fn rpc_method_original(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Other(name) => Some(name),
        }
    }

    /// A span's name.
    pub(super) fn span_name(&self) -> &str {
        match self {
            Self::Known(name) => name,
            Self::Other(_) => "grpc",
        }
    }
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
}
