//! The service under attack, and how much memory and processor time it took.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use e2e::{
    backends::Backends,
    binary,
    scrape::{PROMETHEUS, wait_for_series},
    service::Service,
};
use serde_json::Value;

use crate::target::{Client, Needs, Target};

/// How much memory an attack may cost, in KiB.
const MEMORY: u64 = 64 << 10;

/// How many calls warm a service up, so that what it keeps from then on is no cost of the attack.
const WARM_UP: usize = 10;

/// A service under attack.
pub(crate) struct Victim {
    pub(crate) target: Target,
    service: Service,
    needs: Needs,
    /// How much memory it had before the attack, in KiB.
    idle: u64,
    begun: Instant,
    processor: f64,
}

/// Whether an attack is to be found in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warned {
    Never,
    /// Once in ten seconds, for so many reasons.
    Throttled(usize),
    /// The same, if the attacker was fast enough to exceed a limit.
    Maybe(usize),
}

/// When an attack began.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    at: Instant,
    processor: f64,
}

/// What an attack cost a service.
pub(crate) struct Used {
    /// How much memory it had at most above that of an idle service, in KiB.
    pub(crate) memory: u64,
    /// In seconds.
    pub(crate) processor: f64,
    pub(crate) warnings: Vec<Value>,
}

// === impl Begun ===

impl Begun {
    pub(crate) fn elapsed(self) -> Duration {
        self.at.elapsed()
    }
}

// === impl Victim ===

impl Victim {
    /// Starts a service with this delay, and serves some calls.
    pub(crate) async fn start(target: Target, delay: &str) -> Self {
        Self::start_with(target, delay, &[]).await
    }

    /// Starts a service with this delay and these flags, and serves some calls.
    pub(crate) async fn start_with(target: Target, delay: &str, args: &[&str]) -> Self {
        let needs = target.needs(delay, args);
        let args: Vec<_> = needs.args.iter().map(String::as_str).collect();
        let service = Service::start_with(target.name(), &args, &PROMETHEUS, "serving");
        Self::warm_up(target, service, needs).await
    }

    /// Starts a service whose callers cannot change its delay, and serves some calls.
    pub(crate) async fn start_without_overrides(target: Target) -> Self {
        let mut needs = target.needs("0", &[]);
        needs.args.retain(|arg| arg != "--allow-overrides");
        let args: Vec<_> = needs.args.iter().map(String::as_str).collect();
        let service = Service::start(target.name(), &args, "serving");
        Self::warm_up(target, service, needs).await
    }

    /// Starts a service after a command of `sh`, such as `ulimit`.
    pub(crate) async fn start_after(target: Target, shell: &str) -> Self {
        let needs = target.needs("0", &[]);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{shell} && exec \"$0\" \"$@\"")).arg(binary::fanout());
        command.args([target.name(), "--listen", "127.0.0.1:0", "--log-format", "json"]).args(&needs.args);
        let service = Service::spawn(&mut command, "serving");
        Self::warm_up(target, service, needs).await
    }

    async fn warm_up(target: Target, service: Service, needs: Needs) -> Self {
        let mut client = target.client(&service.url).await;
        for _ in 0..WARM_UP {
            client.call().await.unwrap();
        }
        let (idle, processor) = (service.memory("VmRSS"), service.processor_seconds());
        Self { target, service, needs, idle, begun: Instant::now(), processor }
    }

    /// Connects an honest caller.
    pub(crate) async fn client(&self) -> Client {
        self.target.client(&self.service.url).await
    }

    pub(crate) fn url(&self) -> &str {
        &self.service.url
    }

    pub(crate) fn address(&self) -> &str {
        self.service.address()
    }

    /// Returns the URL of its metrics.
    pub(crate) fn metrics(&self) -> &str {
        &self.service.metrics
    }

    /// Begins to measure what an attack costs it.
    pub(crate) fn begin(&mut self) -> Begun {
        self.service.forget_peak_memory();
        self.take_warnings();
        Begun { at: Instant::now(), processor: self.service.processor_seconds() }
    }

    /// Returns what the attack has cost since then.
    pub(crate) fn end(&mut self, begun: Begun) -> Used {
        Used {
            memory: self.service.memory("VmHWM").saturating_sub(self.idle),
            processor: self.service.processor_seconds() - begun.processor,
            warnings: self.take_warnings(),
        }
    }

    /// Returns what it and its backends have warned of since this was called last.
    fn take_warnings(&self) -> Vec<Value> {
        let backends = self.needs.backends.iter().flat_map(Backends::services);
        std::iter::once(&self.service).chain(backends).flat_map(Service::take_warnings).collect()
    }

    /// Waits until nothing of an attack is in flight.
    pub(crate) fn settle(&self) {
        wait_for_series(self.metrics(), "fanout_server_in_flight", &["fanout_server_in_flight 0".to_owned()]);
    }

    /// Fails if it has used more than half of a core since its start.
    #[track_caller]
    pub(crate) fn assert_idle(&self, attack: &str) {
        let used = self.service.processor_seconds() - self.processor;
        let share = used / self.begun.elapsed().as_secs_f64();
        assert!(share < 0.5, "{:?} used {share} of a core during {attack}", self.target);
    }

    /// Sends SIGTERM, and returns the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.service.terminate();
        self.service.wait()
    }

    /// Stops the service. Fails if it, or a backend of it, took too much memory, or if it has logged other warnings than
    /// it should.
    #[track_caller]
    pub(crate) fn assert_held(self, attack: &str, warned: Warned) {
        self.assert_held_within(attack, warned, MEMORY);
    }

    /// The same, with this bound on memory in KiB.
    #[track_caller]
    pub(crate) fn assert_held_within(mut self, attack: &str, warned: Warned, memory: u64) {
        let (target, idle) = (self.target, self.idle);
        let taken = self.service.memory("VmHWM").saturating_sub(idle);
        let lines = self.service.lines();
        println!("{attack}, {target:?}: {taken} KiB above the {idle} KiB of an idle service, {lines} log lines");
        assert!(taken <= memory, "{attack} took {taken} KiB of {target:?}");
        for backend in self.needs.backends.iter().flat_map(Backends::services) {
            let peak = backend.memory("VmHWM");
            assert!(peak <= idle + MEMORY, "{attack} on {target:?} took a backend to {peak} KiB");
        }
        let warnings = self.service.stop_and_take_warnings();
        let intervals = usize::try_from(self.begun.elapsed().as_secs() / 10).unwrap();
        let allowed = match warned {
            Warned::Never => 0..=0,
            Warned::Throttled(reasons) => 1..=reasons * (1 + intervals),
            Warned::Maybe(reasons) => 0..=reasons * (1 + intervals),
        };
        assert!(allowed.contains(&warnings.len()), "{target:?} during {attack}: {warnings:#?}");
    }
}
