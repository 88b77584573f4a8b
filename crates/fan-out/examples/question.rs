//! Measures how long two calls of 3 s take, depending on how a handler awaits them:
//! `cargo run -p fan-out --example question`.
//!
//! The experiments do not depend on one another, so they are joined as well: the program
//! takes as long as the slowest of them.

use std::{convert::Infallible, time::Duration};

use fan_out::{FanOut, Report, Strategy, call, step};
use tokio::time::{Instant, sleep};

const DELAY: Duration = Duration::from_secs(3);

async fn get_user() -> Result<&'static str, Infallible> {
    sleep(DELAY).await;
    Ok("ada")
}

async fn get_countries() -> Result<usize, Infallible> {
    sleep(DELAY).await;
    Ok(249)
}

async fn get_country_of(_user: &'static str) -> Result<&'static str, Infallible> {
    sleep(DELAY).await;
    Ok("GB")
}

/// A handler that needs both replies.
async fn handler(strategy: Strategy) -> Report {
    FanOut::new(strategy).join((call("user", get_user()), call("country", get_countries()))).await.report
}

async fn dependent_handler() -> Report {
    let chain = call("user", get_user()).then(step("country", |user: &&'static str| get_country_of(user)));
    FanOut::new(Strategy::Concurrent).join((chain,)).await.report
}

async fn two_callers() -> Duration {
    let begun = Instant::now();
    futures::join!(handler(Strategy::Sequential), handler(Strategy::Sequential));
    begun.elapsed()
}

#[tokio::main]
async fn main() {
    println!("two calls of {DELAY:?} each; asking …");
    let (in_turn, joined, spawned, two, dependent) = futures::join!(
        handler(Strategy::Sequential),
        handler(Strategy::Concurrent),
        handler(Strategy::Spawned),
        two_callers(),
        dependent_handler(),
    );
    let secs = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    let line = |question: &str, report: &Report| {
        let (wall, avoidable) = (secs(report.wall), secs(report.avoidable));
        println!("{question:<52} {wall}   joining would still save {avoidable}");
    };
    println!();
    line("1. await one, then the other", &in_turn);
    line("2. join them", &joined);
    line("   or spawn a task for each: no different", &spawned);
    println!("{:<52} {}   each caller waits for its own calls only", "3. two callers at once, each in turn", secs(two));
    line("4. join calls of which one needs the other's answer", &dependent);
}
