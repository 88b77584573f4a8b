//! Users from a database, over gRPC.
//!
//! # Layout
//!
//! * [`config`]: the service's settings, and how it starts.
//! * [`service`]: adapts the RPCs to the domain and back.
//! * [`user`]: the domain: a user, and what a new one must look like.
//! * [`validate`]: the checks behind it, which name every field that is wrong at once.
//! * [`page_token`]: where a list goes on, as an opaque text.
//! * [`store`]: users in SQLite or PostgreSQL; [`database`]: which of them, and where.
//! * [`error`]: what can go wrong, and its gRPC status.

pub mod config;
pub mod database;
pub mod error;
pub mod page_token;
pub mod service;
pub mod store;
pub mod user;
pub mod validate;

pub use config::Config;
pub use database::Database;
pub use error::UserError;
pub use service::Users;
pub use store::{Store, StoreError};
pub use user::{NewUser, User};
