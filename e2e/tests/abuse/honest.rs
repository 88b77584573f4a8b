//! A caller with one call after the other, and what it observes.

use std::time::{Duration, Instant};

use e2e::{TIMEOUT, connect};
use fanout_proto::country::v1::{GetCountryRequest, country_service_client::CountryServiceClient};
use tokio::{sync::watch, task::JoinHandle};
use tonic::transport::Channel;

/// How many calls an attack goes beside at least.
const ENOUGH: usize = 20;

/// Connects to a country service.
pub(crate) async fn client(url: &str) -> CountryServiceClient<Channel> {
    CountryServiceClient::new(connect(url).await)
}

/// Makes a call, which has to succeed.
pub(crate) async fn call(client: &mut CountryServiceClient<Channel>) {
    client.get_country(GetCountryRequest { code: "GB".to_owned() }).await.unwrap();
}

/// A caller that calls until it is stopped.
pub(crate) struct Honest {
    stop: watch::Sender<bool>,
    served: watch::Receiver<usize>,
    calls: JoinHandle<Duration>,
}

// === impl Honest ===

impl Honest {
    /// Starts to call, and waits until the first call is served.
    ///
    /// # Panics
    ///
    /// Panics, with [`finish`](Self::finish), if any call fails.
    pub(crate) async fn start(url: &str) -> Self {
        let mut client = client(url).await;
        let ((stop, stopped), (count, mut served)) = (watch::channel(false), watch::channel(0));
        let calls = tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            while !*stopped.borrow() {
                let begun = Instant::now();
                call(&mut client).await;
                slowest = slowest.max(begun.elapsed());
                count.send_modify(|served| *served += 1);
            }
            slowest
        });
        served.wait_for(|served| *served >= 1).await.unwrap();
        Self { stop, served, calls }
    }

    /// Waits for some more calls, stops, and returns how long the slowest took.
    pub(crate) async fn finish(mut self) -> Duration {
        let goal = *self.served.borrow() + ENOUGH;
        let enough = tokio::time::timeout(TIMEOUT, self.served.wait_for(|served| *served >= goal));
        let is_enough = enough.await.expect("calls are served").is_ok();
        let _ = self.stop.send(true);
        let slowest = self.calls.await.unwrap();
        assert!(is_enough);
        slowest
    }
}
