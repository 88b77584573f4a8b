//! Why a request is refused, and what its sender is told.

use http::StatusCode;
use tonic::{Code, Status};

use crate::body::BodyError;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Its body could not be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Its body is not what it says.
    #[error("the body is not {what}: {reason}")]
    Undecodable {
        /// The format.
        what: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// There is nothing at this path.
    #[error("unknown path '{0}': expected {1}")]
    Path(String, &'static str),
    /// It has another method than POST.
    #[error("the method is {0}: expected POST")]
    Method(http::Method),
    /// It is in no known format.
    #[error("content-type '{0}': expected {1}")]
    ContentType(String, &'static str),
    /// It is compressed in another way.
    #[error("encoding '{0}': expected gzip or identity")]
    Encoding(String),
    /// It is not one gRPC message.
    #[error("the body is not one gRPC message: {0}")]
    Framing(&'static str),
    /// It comes from a page of another site.
    #[error("a page of {0} may not send here: only pages of this machine may")]
    Origin(String),
    /// It could not be worked on because of a defect here.
    #[error("this request failed; the viewer's log says more")]
    Internal,
}

// === impl Refusal ===

impl Refusal {
    /// Returns the status over HTTP. The sender tries again if it is 503.
    pub(crate) fn http_status(&self) -> StatusCode {
        match self {
            Self::Body(BodyError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(BodyError::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(BodyError::Slow) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(BodyError::Cut | BodyError::Gzip(_)) | Self::Undecodable { .. } | Self::Framing(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Path(..) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType(..) | Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Origin(_) => StatusCode::FORBIDDEN,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the code over gRPC. The sender tries again if it is UNAVAILABLE; `RESOURCE_EXHAUSTED` without a delay is
    /// final.
    pub(crate) fn grpc_code(&self) -> Code {
        match self {
            Self::Body(BodyError::TooLarge { .. }) => Code::ResourceExhausted,
            Self::Body(BodyError::Busy) => Code::Unavailable,
            Self::Body(BodyError::Slow) => Code::DeadlineExceeded,
            Self::Body(BodyError::Cut | BodyError::Gzip(_))
            | Self::Undecodable { .. }
            | Self::Framing(_)
            | Self::ContentType(..) => Code::InvalidArgument,
            Self::Path(..) | Self::Method(_) | Self::Encoding(_) => Code::Unimplemented,
            Self::Origin(_) => Code::PermissionDenied,
            Self::Internal => Code::Internal,
        }
    }

    /// Returns what a sender over gRPC is told.
    pub(crate) fn status(&self) -> Status {
        Status::new(self.grpc_code(), self.to_string())
    }
}
