//! Runs async calls one by one, joined or spawned, cancels the ones that are no longer
//! needed, and reports how much they overlapped.
//!
//! A handler that awaits `get_user()` and then `get_countries()`, 3 s each, takes 6 s:
//! an `.await` waits for its own future and starts no other. Joined, the two take 3 s.
//! This crate runs calls with either strategy, chosen for each request, and reports how
//! long they took, how much overlapping saved, and how much joining would still save.
//!
//! ```
//! use fan_out::{FailurePolicy, FanOut, Strategy, call};
//! # use std::{io, time::Duration};
//! # async fn get_user(id: &str) -> io::Result<String> { tokio::time::sleep(Duration::from_secs(3)).await; Ok(id.to_owned()) }
//! # async fn get_countries() -> io::Result<u32> { tokio::time::sleep(Duration::from_secs(3)).await; Ok(249) }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!
//! let outcome = FanOut::new(Strategy::Concurrent)
//!     .on_failure(FailurePolicy::FailFast)
//!     .join((
//!         call("user", get_user("ada")),
//!         call("country", get_countries()),
//!     ))
//!     .await;
//! let ((user, countries), report) = outcome.into_result()?;
//!
//! assert_eq!((user.as_str(), countries), ("ada", 249));
//! assert_eq!(report.wall, Duration::from_secs(3));
//! assert_eq!(report.saved, Duration::from_secs(3));
//! # Ok(())
//! # }
//! ```
//!
//! A call that needs another one's result forms a chain with it. No strategy shortens a
//! chain:
//!
//! ```
//! use fan_out::{FanOut, Strategy, call, step};
//! # use std::{io, time::Duration};
//! # async fn get_user(id: &str) -> io::Result<String> { tokio::time::sleep(Duration::from_secs(3)).await; Ok(id.to_owned()) }
//! # async fn get_country_of(_: String) -> io::Result<&'static str> { tokio::time::sleep(Duration::from_secs(3)).await; Ok("GB") }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let outcome = FanOut::new(Strategy::Concurrent)
//!     .join((call("user", get_user("ada")).then(step("country", |user: &String| get_country_of(user.clone()))),))
//!     .await;
//! let (((user, country),), report) = outcome.into_result()?;
//!
//! assert_eq!((user.as_str(), country), ("ada", "GB"));
//! assert_eq!(report.wall, Duration::from_secs(6));
//! assert_eq!(report.avoidable, Duration::ZERO);
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! * [`strategy`]: how calls run, and what happens to the others when one fails.
//! * [`mod@call`]: a named future, or a chain of them.
//! * [`join`]: runs a few calls of different types: [`FanOut::join`].
//! * [`as_completed`]: runs many calls of one type and yields each result when it ends:
//!   [`FanOut::as_completed`].
//! * [`outcome`]: each call's own result, with the report.
//! * [`report`]: the figures, computed from the calls' times.
//! * `attempts`, `label`: how often a call was sent, and its name in the report.
//! * `recorder`: the state that running calls share: their times and the signal `stop`.
//!
//! # Cancellation
//!
//! Under [`FailurePolicy::FailFast`] the first failure stops the other calls: a running
//! call is dropped at its current `.await`, and a waiting call never starts. Dropping the
//! future or the stream that this crate returns stops every call as well, including
//! spawned ones.
//!
//! # Tracing
//!
//! Each fan-out is a span `fan_out` with the fields `fanout.strategy`, `fanout.width`,
//! `fanout.wall_ms`, `fanout.saved_ms`, `fanout.avoidable_ms`, and `fanout.chains` if calls
//! need one another: `a > b; c > d` for two chains of calls with these methods. Every call is
//! polled inside it, also in a task of its own, so spans that calls create are its children.

pub mod as_completed;
mod attempts;
pub mod call;
pub mod join;
mod label;
pub mod outcome;
#[doc(hidden)]
pub mod recorder;
pub mod report;
mod stop;
pub mod strategy;

pub use as_completed::{AsCompleted, Completed};
pub use attempts::Attempts;
pub use call::{Call, Step, Then, call, step};
pub use join::FanOut;
pub use outcome::{CallError, FanOutError, Outcome, Results};
pub use report::{CallReport, CallState, Report};
pub use strategy::{FailurePolicy, Strategy};
