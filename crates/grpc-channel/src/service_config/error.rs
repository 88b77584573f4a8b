//! Why a document is not a service config.

/// Why a document is not a service config: what is wrong, and where in the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct InvalidServiceConfig {
    /// The place in the document, such as `methodConfig[0].retryPolicy.maxAttempts`.
    pub path: String,
    /// What is wrong there, and what is allowed.
    pub message: String,
}
