//! Three replicas of a stock tonic service, of which one is killed while 1,000 calls run, and one is slow now and then:
//! the same generated client on tonic's `Channel` and on `grpc-channel`.

mod helloworld;
mod load;
mod replica;

use std::time::Duration;

use grpc_channel::{Config, Descriptors, HedgeAfter};
use helloworld::{SayHelloRequest, greeter_service_client::GreeterServiceClient};
use load::{Figures, run};
use replica::Replica;
use tonic::{Request, transport::Endpoint};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A call takes 5 ms. One replica takes this long for one call of 25.
const SLOW: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let rows = [("tonic's `Channel`", with_tonic().await?), ("`grpc-channel`", with_grpc_channel().await?)];
    print(&rows);
    if rows[1].1.failed > 0 {
        return Err("calls on grpc-channel have failed".into());
    }
    Ok(())
}

/// Starts one replica to kill, one that is slow now and then, and one more.
fn start() -> Result<[Replica; 3], BoxError> {
    Ok([Replica::start(None)?, Replica::start(Some(SLOW))?, Replica::start(None)?])
}

async fn with_grpc_channel() -> Result<Figures, BoxError> {
    let replicas = start()?;
    let config = Config { hedge: HedgeAfter::Delay(Duration::from_millis(50)), ..Config::default() };
    let channel = grpc_channel::Channel::builder("greeter", replicas.each_ref().map(Replica::url))?
        .config(config)
        .descriptors(Descriptors::decode(helloworld::FILE_DESCRIPTOR_SET)?)
        .connect();
    channel.ready().await;
    let client = GreeterServiceClient::new(channel);
    Ok(run(replicas, || {
        let mut client = client.clone();
        async move { client.say_hello(hello()).await }
    })
    .await)
}

async fn with_tonic() -> Result<Figures, BoxError> {
    let replicas = start()?;
    let endpoints = replicas.each_ref().map(|replica| Endpoint::try_from(replica.url()));
    let endpoints = endpoints.into_iter().collect::<Result<Vec<_>, _>>()?;
    let client = GreeterServiceClient::new(tonic::transport::Channel::balance_list(endpoints.into_iter()));
    Ok(run(replicas, || {
        let mut client = client.clone();
        async move { client.say_hello(hello()).await }
    })
    .await)
}

fn hello() -> Request<SayHelloRequest> {
    let mut request = Request::new(SayHelloRequest { name: "Ada".to_owned() });
    request.set_timeout(Duration::from_secs(2));
    request
}

#[allow(clippy::print_stdout, reason = "it is what the example is for")]
fn print(rows: &[(&str, Figures)]) {
    println!("1,000 calls to three replicas: one is killed, one is 100 times as slow for one call of 25\n");
    println!("| channel | failed calls | p50 | p99 |\n|---|---|---|---|");
    for (name, figures) in rows {
        let Figures { failed, p50, p99 } = figures;
        println!("| {name} | {failed} | {} ms | {} ms |", p50.as_millis(), p99.as_millis());
    }
}
