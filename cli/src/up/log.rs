//! The log of all services, as `fanout up` shows it.
//!
//! The services write to pipes, and this process alone writes to the terminal: see [`console`](super::console).
//!
//! # Layout
//!
//! * [`pipe`]: reads a service's pipe to its end.
//! * [`record`]: what the lines of the short log mean.
//! * [`sample`]: how many requests a second are shown; `short_line`: how they look.

pub(super) mod pipe;
pub(super) mod record;
pub(super) mod sample;
pub(super) mod short_line;
