//! The service under attack, and how much memory and processor time it took.

use std::{process::Command, time::Instant};

use e2e::{backends::NO_REQUEST_LINES, binary, service::Service};

use crate::honest::{call, client};

/// How much memory an attack may cost, in KiB.
const MEMORY: u64 = 64 << 10;

/// A country service.
pub(crate) struct Victim {
    service: Service,
    /// How much memory it had before the attack, in KiB.
    idle: u64,
    begun: Instant,
}

// === impl Victim ===

impl Victim {
    /// Starts a service with this delay, and serves a call.
    pub(crate) async fn start(delay: &str) -> Self {
        Self::start_with(delay, &[]).await
    }

    /// Starts a service with this delay and these flags, and serves a call.
    pub(crate) async fn start_with(delay: &str, args: &[&str]) -> Self {
        let args: Vec<_> = ["--delay", delay].iter().chain(args).copied().chain(NO_REQUEST_LINES).collect();
        Self::warm_up(Service::start("country-service", &args, "serving")).await
    }

    /// Starts a service that may have this many files open.
    pub(crate) async fn start_with_files(files: u32) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {files} && exec \"$0\" \"$@\"")).arg(binary::fanout());
        command.args(["country-service", "--listen", "127.0.0.1:0", "--log-format", "json", "--delay", "0"]);
        Self::warm_up(Service::spawn(command.args(NO_REQUEST_LINES), "serving")).await
    }

    async fn warm_up(service: Service) -> Self {
        call(&mut client(&service.url).await).await;
        let idle = service.memory("VmRSS");
        Self { service, idle, begun: Instant::now() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.service.url
    }

    pub(crate) fn address(&self) -> &str {
        self.service.address()
    }

    /// Returns how many seconds of processor time it has used.
    pub(crate) fn processor_seconds(&self) -> f64 {
        self.service.processor_seconds()
    }

    /// Stops the service. Fails if it took too much memory, has logged a warning although there is no reason for one,
    /// or not one in ten seconds although there is.
    #[track_caller]
    pub(crate) fn assert_held(mut self, attack: &str, is_warned: bool) {
        let taken = self.service.memory("VmHWM").saturating_sub(self.idle);
        println!("{attack}: {} KiB above the {} KiB of an idle service", taken, self.idle);
        assert!(taken <= MEMORY, "{attack} took {taken} KiB");
        let warnings = self.service.stop_and_count_warnings();
        let intervals = usize::try_from(self.begun.elapsed().as_secs() / 10).unwrap();
        let allowed = if is_warned { 1..=1 + intervals } else { 0..=0 };
        assert!(allowed.contains(&warnings), "{warnings} warnings during {attack}");
    }
}
