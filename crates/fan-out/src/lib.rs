//! Run calls in turn or together, cancel what is no longer needed, and report how
//! much they overlapped.
//!
//! A handler that awaits `get_user()` and then `get_countries()`, 3 s each, takes 6 s:
//! an `.await` waits for its own future and starts nothing else. Joined, the two take
//! 3 s. This crate runs calls either way, as each request asks, and says in figures
//! what that cost, what it saved and what joining would still save.
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
//! Calls of which one needs the other's answer are a chain, which no strategy shortens:
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
//! * [`strategy`]: how calls are run, and what one's failure does to the others.
//! * [`mod@call`]: a named future; a chain of them.
//! * [`join`]: a few calls of different types at once: [`FanOut::join`].
//! * [`as_completed`]: many calls of one type, each answer as soon as it is there:
//!   [`FanOut::as_completed`].
//! * [`outcome`]: each call's own result, and the report beside them.
//! * [`report`]: the figures, and how they follow from the calls' times.
//! * `attempts`, `label`: how often a call was sent, and what the report calls it.
//! * `recorder`: the state that the running calls share: times, and the signal to stop.
//!
//! # Cancellation
//!
//! Under [`FailurePolicy::FailFast`] the first failure stops the other calls: what runs
//! is dropped where it waits, what has not started never does. Dropping the future or
//! the stream that this crate returns stops every call too, those in tasks of their own
//! included.
//!
//! # Tracing
//!
//! Each fan-out is a span `fan_out` with the fields `fanout.strategy`, `fanout.width`,
//! `fanout.wall_ms`, `fanout.saved_ms` and `fanout.avoidable_ms`. Each call is polled
//! inside it, wherever it runs, so that spans made by the calls are its children.

pub mod as_completed;
mod attempts;
pub mod call;
pub mod join;
mod label;
pub mod outcome;
#[doc(hidden)]
pub mod recorder;
pub mod report;
pub mod strategy;

pub use as_completed::{AsCompleted, Completed};
pub use attempts::Attempts;
pub use call::{Call, Step, Then, call, step};
pub use join::FanOut;
pub use outcome::{CallError, FanOutError, Outcome, Results};
pub use report::{CallReport, CallState, Report};
pub use strategy::{FailurePolicy, Strategy};
