//! What every service defines.

use std::future::Future;

use clap::Parser;

use crate::{
    serve::{ServeContext, ServeError},
    settings::ServiceArgs,
};

/// The settings of a service, its name and port, and how it serves.
///
/// The `main` of a service is [`process::main::<S>()`](crate::process::main).
pub trait Settings: Parser {
    /// The service's name, such as `user-service`. In upper case and with `_`, it is the prefix of its environment
    /// variables.
    const NAME: &'static str;
    /// The port that it listens on by default.
    const PORT: u16;

    /// Returns the settings that every service has.
    fn service(&self) -> &ServiceArgs;

    /// Serves until `context.shutdown` ends.
    ///
    /// # Errors
    ///
    /// Returns an error if the service cannot start, or its transport fails.
    fn serve(self, context: ServeContext) -> impl Future<Output = Result<(), ServeError>> + Send;
}
