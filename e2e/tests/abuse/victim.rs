//! The service under attack, and how much memory and processor time it took.

use std::{process::Command, time::Instant};

use e2e::{binary, scrape::PROMETHEUS, service::Service};

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
    pub(crate) fn assert_held(mut self, attack: &str, warned: Warned) {
        let (target, idle) = (self.target, self.idle);
        let taken = self.service.memory("VmHWM").saturating_sub(idle);
        let lines = self.service.lines();
        println!("{attack}, {target:?}: {taken} KiB above the {idle} KiB of an idle service, {lines} log lines");
        assert!(taken <= MEMORY, "{attack} took {taken} KiB of {target:?}");
        for backend in self.needs.backends.iter().flat_map(e2e::backends::Backends::services) {
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
