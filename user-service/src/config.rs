//! The service's settings, and how it is put together from them.

use std::time::Duration;

use clap::Parser;
use fanout_proto::{FILE_DESCRIPTOR_SET, user::v1::user_service_server::UserServiceServer};
use fault_injection::DelayLayer;
use service_kit::{
    delay_args::DelaySettingsArgs,
    process::Shutdown,
    serve::{ServeError, Server},
    settings::{ServiceArgs, Settings},
    startup_gate::StartupGate,
};
use tokio::net::TcpListener;
use tower::Layer as _;

use crate::{Database, Store, StoreError, Users};

/// Keeps users in a database, and answers after a delay.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Simulated latency and faults.
    #[command(flatten)]
    pub delay: DelaySettingsArgs,
    /// Where the users are kept: `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, default_value = "sqlite:users.db", value_name = "URL")]
    pub database: Database,
    /// Fill an empty table with a dozen pioneers of computing
    #[arg(long)]
    pub seed: bool,
}

// === impl Config ===

impl Settings for Config {
    const NAME: &'static str = "user-service";
    const PORT: u16 = 50052;

    fn service(&self) -> &ServiceArgs {
        &self.service
    }
}

impl Config {
    /// Serves until `shutdown`. Health turns to `SERVING` when the database is there;
    /// until then calls are refused with `UNAVAILABLE`.
    ///
    /// # Errors
    ///
    /// Where the transport fails, or the database does in a way that waiting cannot cure.
    pub async fn serve(self, listener: TcpListener, shutdown: Shutdown) -> Result<(), ServeError> {
        let delay = DelayLayer::new(self.delay.for_service("user"));
        let users = StartupGate::new();
        let arrive = {
            let users = users.clone();
            async move {
                let store = wait_for(&self.database, self.seed).await?;
                users.open(delay.layer(UserServiceServer::new(Users::new(store))))?;
                Ok::<_, service_kit::BoxError>(())
            }
        };
        Server::new(FILE_DESCRIPTOR_SET, self.service.deadline, self.service.drain, self.service.max_in_flight)
            .service(users)
            .serve(listener, arrive, shutdown)
            .await
    }
}

/// Opens the database, and fills it where asked to, as often as it takes until it is there.
async fn wait_for(database: &Database, seed: bool) -> Result<Store, StoreError> {
    let mut pause = Duration::from_millis(100);
    loop {
        match open(database, seed).await {
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "waiting for the database");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            ended => return ended,
        }
    }
}

async fn open(database: &Database, seed: bool) -> Result<Store, StoreError> {
    let store = Store::open(database).await?;
    if seed {
        let added = store.seed().await?;
        tracing::info!(added, "seeded");
    }
    Ok(store)
}
