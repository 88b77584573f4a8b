//! The currencies of countries, over gRPC.
//!
//! # Layout
//!
//! * [`config`]: the service's settings, and how it starts.
//! * [`service`]: adapts the RPCs to the domain and back.
//! * [`currencies`]: the domain: the currency of each country.
//! * [`error`]: what can go wrong, and the gRPC status of each error.

pub mod config;
pub mod currencies;
pub mod error;
pub mod service;

pub use config::Config;
pub use error::CurrencyError;
pub use service::Currencies;
