//! Users from a database, over gRPC.
//!
//! # Layout
//!
//! * [`config`]: the service's settings, and how it starts.
//! * [`service`]: adapts the RPCs to the domain and back.
//! * [`user`]: the domain: users, new users and pages of users.
//! * [`validate`]: checks of the fields of requests.
//! * [`page_token`]: the position of a page in a list, as an opaque text.
//! * [`store`]: users in SQLite or PostgreSQL.
//! * [`database`]: which of the two, and where it is.
//! * [`error`]: what can go wrong, and the gRPC status of each error.

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
