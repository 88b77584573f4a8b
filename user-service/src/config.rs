//! The service's settings, and how it starts.

use std::time::Duration;

use clap::Parser;
use fanout_proto::{FILE_DESCRIPTOR_SET, user::v1::user_service_server::UserServiceServer};
use service_kit::{BackendArgs, BackendService, BoxError, Started};

use crate::{Database, Store, StoreError, Users, store::StoreReadiness};

/// Stores users in a database, and answers after a simulated delay.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    after_help = "\
Examples:
  user-service --database sqlite:users.db --seed --delay 0
  user-service --database 'postgres://fanout:pass@db/users?sslmode=verify-full'
  user-service --delay 300ms+-30ms --error-rate 1% --allow-overrides
  user-service healthcheck"
)]
pub struct Config {
    /// What every backend service has.
    #[command(flatten)]
    pub backend: BackendArgs,
    /// The database of the users: `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite:users.db",
        value_name = "URL",
        help_heading = "Database"
    )]
    pub database: Database,
    /// Fill an empty table with a dozen pioneers of computing
    #[arg(long, help_heading = "Database")]
    pub seed: bool,
}

// === impl Config ===

impl BackendService for Config {
    const NAME: &'static str = "user-service";
    const PORT: u16 = 50052;
    const DESCRIPTORS: &'static [u8] = FILE_DESCRIPTOR_SET;
    type Server = UserServiceServer<Users>;

    fn backend(&self) -> &BackendArgs {
        &self.backend
    }

    /// Waits until the database is available. Health follows it from then on.
    async fn start(self) -> Result<Started<Self::Server>, BoxError> {
        let store = wait_for(&self.database, self.seed).await?;
        let server = UserServiceServer::new(Users::new(store.clone()));
        Ok(Started::from(server).ready_while(StoreReadiness::new(store)))
    }
}

/// Opens the database, and fills it if `seed` is set. Tries again until the database is available.
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
