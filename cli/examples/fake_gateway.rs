//! A gateway without backends, to look at the output of the commands:
//! `cargo run -p fanout-cli --example fake_gateway -- 3000 3000` waits that many milliseconds for each call.

#[path = "../tests/fake_gateway/mod.rs"]
mod fake_gateway;

use std::{env, time::Duration};

use fake_gateway::{Behaviour, FakeGateway};

#[tokio::main]
async fn main() -> Result<(), std::num::ParseIntError> {
    let mut delays = env::args().skip(1).map(|millis| millis.parse().map(Duration::from_millis));
    let default = Ok(Duration::from_secs(3));
    let user = delays.next().unwrap_or_else(|| default.clone())?;
    let country = delays.next().unwrap_or(default)?;
    let behaviour = Behaviour { user, country, ..Behaviour::default() };
    let gateway = FakeGateway::start_at(([127, 0, 0, 1], 50091).into(), behaviour).await;
    println!("{}", gateway.url);
    std::future::pending().await
}
