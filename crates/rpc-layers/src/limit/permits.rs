//! The permits of a server, and who has them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;

use super::share::{Exceeded, Limits};
use crate::caller_key::{CallerKey, CallerKeys};

/// The permits of a server. Locked for a moment twice for each request.
#[derive(Debug)]
pub(super) struct Permits {
    limits: Limits,
    usage: Mutex<Usage>,
}

/// Which permits are used. As many callers are known as have any.
#[derive(Debug, Default)]
struct Usage {
    requests: usize,
    permits: usize,
    by_caller: HashMap<CallerKey, usize>,
}

/// Permits of a request. They are released when this is dropped.
#[derive(Debug)]
pub struct Permit {
    all: Arc<Permits>,
    callers: CallerKeys,
    permits: usize,
    /// 1 for the permit that a request begins with, 0 for those that it takes later.
    requests: usize,
}

// === impl Permits ===

impl Permits {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, usage: Mutex::default() }
    }

    /// Returns how many requests have a permit.
    pub(super) fn requests(&self) -> usize {
        self.usage.lock().requests
    }

    /// Returns how many permits are used.
    pub(super) fn used(&self) -> usize {
        self.usage.lock().permits
    }

    #[cfg(test)]
    pub(super) fn knows_nobody(&self) -> bool {
        self.usage.lock().by_caller.is_empty()
    }

    /// Returns the permit of a request.
    pub(super) fn begin(self: &Arc<Self>, callers: CallerKeys) -> Result<Permit, Exceeded<CallerKey>> {
        self.acquire(callers, 1, 1)
    }

    /// Returns more permits for a request that has begun: this many, or a caller's share if that is fewer.
    pub(super) fn more(self: &Arc<Self>, callers: CallerKeys, permits: usize) -> Result<Permit, Exceeded<CallerKey>> {
        self.acquire(callers, permits.min(self.limits.share), 0)
    }

    fn acquire(
        self: &Arc<Self>,
        callers: CallerKeys,
        permits: usize,
        requests: usize,
    ) -> Result<Permit, Exceeded<CallerKey>> {
        self.usage.lock().add(self.limits, callers, permits, requests)?;
        Ok(Permit { all: Arc::clone(self), callers, permits, requests })
    }
}

// === impl Usage ===

impl Usage {
    fn add(
        &mut self,
        limits: Limits,
        callers: CallerKeys,
        permits: usize,
        requests: usize,
    ) -> Result<(), Exceeded<CallerKey>> {
        let held = |caller| (caller, self.by_caller.get(&caller).copied().unwrap_or_default());
        limits.admit(permits, self.permits, callers.iter().map(held))?;
        if permits > 0 {
            for caller in callers.iter() {
                *self.by_caller.entry(caller).or_default() += permits;
            }
        }
        self.permits += permits;
        self.requests += requests;
        Ok(())
    }

    fn remove(&mut self, callers: CallerKeys, permits: usize, requests: usize) {
        for caller in callers.iter() {
            let Entry::Occupied(mut held) = self.by_caller.entry(caller) else { continue };
            *held.get_mut() -= permits;
            if *held.get() == 0 {
                held.remove();
            }
        }
        self.permits -= permits;
        self.requests -= requests;
    }
}

// === impl Permit ===

impl Permit {
    /// Returns how many there are.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Releases all permits but this many.
    pub fn shrink_to(&mut self, permits: usize) {
        if let Some(released) = self.permits.checked_sub(permits).filter(|released| *released > 0) {
            self.permits = permits;
            self.all.usage.lock().remove(self.callers, released, 0);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.all.usage.lock().remove(self.callers, self.permits, self.requests);
    }
}
