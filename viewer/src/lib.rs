//! Receives traces over OTLP, keeps the latest, and shows in a browser how their calls overlapped.
//!
//! # Layout
//!
//! * [`viewer`]: the whole: listens, receives, serves. [`options`]: its settings.
//! * `otlp`: OTLP over gRPC and HTTP; `store`: the latest traces.
//! * `analyst`: the verdict on traces, and on operations over many.
//! * `api`: what the page asks; `page`: the page itself, embedded.
//! * `events`: tells the page what is new. [`gateway`]: what the run panel needs.
//! * `outlet`: a bounded queue to `forward`, another receiver, and to `persist`, a database.
//! * `accept`, `connections`, `preface`, `body`: connections and bodies, with their bounds; `host`: names of hosts; `throttle`: one log line in place of many.

mod accept;
mod analyst;
mod api;
mod body;
mod connections;
mod events;
mod forward;
pub mod gateway;
mod host;
pub mod options;
mod otlp;
mod outlet;
mod page;
mod persist;
mod preface;
mod store;
mod throttle;
pub mod viewer;

pub use self::{
    options::Options,
    viewer::{Listeners, ViewerError, run},
};
