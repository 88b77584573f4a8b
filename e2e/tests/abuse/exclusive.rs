//! Tests that measure time run alone.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static PROCESSORS: RwLock<()> = RwLock::const_new(());

/// Waits for the tests that measure time.
pub(crate) async fn shared() -> RwLockReadGuard<'static, ()> {
    PROCESSORS.read().await
}

/// Waits for all other tests, which wait until the guard is dropped.
pub(crate) async fn alone() -> RwLockWriteGuard<'static, ()> {
    PROCESSORS.write().await
}
