//! What the handler and the services that it calls have in common.

pub mod contract;
pub mod telemetry;
