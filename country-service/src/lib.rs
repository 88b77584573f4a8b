//! The countries of ISO 3166-1, over gRPC.
//!
//! # Layout
//!
//! * [`config`]: the service's settings, and how it starts.
//! * [`service`]: adapts the RPCs to the domain and back.
//! * [`catalogue`]: the domain: all countries by code, each reply encoded once.
//! * [`error`]: what can go wrong, and the gRPC status of each error.

pub mod catalogue;
pub mod config;
pub mod error;
pub mod service;

pub use catalogue::Catalogue;
pub use config::Config;
pub use error::CountryError;
pub use service::Countries;
