//! An attack beside honest callers, and what comes of it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;
use tokio::{
    net::TcpListener,
    runtime,
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::{
    attacker::{Attacker, ENHANCE_YOUR_CALM},
    crowd::{Crowd, Observed, Progress},
    target::Target,
    victim::Victim,
};

/// How many honest calls an attack goes beside at least.
const CALLS: usize = 225;

/// How long an attack lasts at most, whatever it has sent by then: a service that slows its attackers down is not asked
/// to hurry.
const TIME: Duration = Duration::from_secs(4);

/// How much slower the slowest calls in a hundred may be than those of undisturbed callers.
const RATIO: f64 = 2.0;

/// The slowest time of undisturbed callers with which a ratio says something: three times of the delay. A machine that is
/// busy with other things delays everybody, and some more than others. If `FANOUT_REQUIRE_RATIO` is 1, it has to hold there
/// too.
const QUIET: Duration = Duration::from_millis(150);

/// How much memory an attack may take, in KiB: with the 11 MiB that an optimized build has when it is idle, 64 MiB.
const MEMORY: u64 = 53 << 10;

/// How many processors an attack may keep busy, beyond what the honest calls do: less than one.
pub(crate) const CORES: f64 = 0.5;

/// An attack.
#[derive(Clone, Copy)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// What it is made against.
    pub(crate) targets: &'static [Target],
    /// How many calls, frames or connections it consists of.
    pub(crate) goal: usize,
    /// For how many reasons the service may log a warning.
    pub(crate) warnings: usize,
    /// How many processors it may keep busy, beyond what the honest calls do.
    pub(crate) cores: f64,
    /// Makes it once; it is made again until enough honest calls have been made beside it.
    pub(crate) run: for<'a> fn(&'a Aim) -> Running<'a>,
}

pub(crate) type Running<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What an attack is made against, and how it is going.
pub(crate) struct Aim {
    pub(crate) target: Target,
    pub(crate) address: String,
    /// Where its metrics are served.
    pub(crate) metrics: String,
    /// How many calls, frames or connections were sent.
    sent: AtomicUsize,
    /// How many of an attacker's connections the service has closed that it had served.
    served: AtomicUsize,
    /// How often the service has closed an attacker's connection, by the error code of its GOAWAY frame.
    closed: Mutex<BTreeMap<Option<u32>, usize>>,
}

/// What came of an attack.
struct Figures<'a> {
    attack: Attack,
    target: Target,
    aim: &'a Aim,
    lasted: Duration,
    undisturbed: &'a Undisturbed,
    elsewhere: Observed,
    attacked: Observed,
    memory: u64,
    processor: f64,
    warnings: usize,
}

/// What there is to see without an attack.
pub(crate) struct Undisturbed {
    observed: Observed,
    /// How many processors the service kept busy.
    cores: f64,
}

// === impl Aim ===

impl Aim {
    fn new(target: Target, address: String, metrics: String) -> Self {
        let (sent, served) = (AtomicUsize::default(), AtomicUsize::default());
        Self { target, address, metrics, sent, served, closed: Mutex::default() }
    }

    /// Counts what was sent.
    pub(crate) fn add_sent(&self, number: usize) {
        self.sent.fetch_add(number, Ordering::Relaxed);
    }

    /// Notes that the service has closed the connection.
    pub(crate) async fn note_closed(&self, mut attacker: Attacker) {
        let code = attacker.closed().await;
        self.served.fetch_add(usize::from(attacker.is_served()), Ordering::Relaxed);
        *self.closed.lock().unwrap().entry(code).or_default() += 1;
    }

    /// Returns whether there was an attack: something was sent, and not only on connections that were refused.
    fn was_attacked(&self) -> bool {
        let count = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        count(&self.sent) > 0 && (self.closed.lock().unwrap().is_empty() || count(&self.served) > 0)
    }

    pub(crate) async fn connect(&self, settings: &[(u16, u32)]) -> Attacker {
        Attacker::connect(&self.address, settings).await
    }
}

// === impl Attack ===

impl Attack {
    /// Makes the attack beside honest callers of the service, and of `control`, another one that is not attacked. Returns
    /// what honest callers or operators noticed of it.
    pub(crate) async fn make(
        self,
        victim: &mut Victim,
        honest: &Crowd,
        undisturbed: &Undisturbed,
        control: &Crowd,
    ) -> Vec<String> {
        let aim = Arc::new(Aim::new(victim.target, victim.address().to_owned(), victim.metrics().to_owned()));
        let begun = victim.begin();
        let progress = Progress::default();
        let stopped = self.start(Arc::clone(&aim), progress.clone());
        let (until, until_too) = tokio::sync::watch::channel(());
        let (attacked, elsewhere) = tokio::join!(
            honest.observe(
                async {
                    stopped.await.expect("the attack has not failed");
                    drop(until);
                },
                progress,
            ),
            control.observe(
                async {
                    let mut until = until_too;
                    let _ = until.changed().await;
                },
                Progress::default(),
            ),
        );
        let lasted = begun.elapsed();
        let used = victim.end(begun);
        let target = victim.target;
        let (memory, processor, warnings) = (used.memory, used.processor, used.warnings.len());
        let aim = &aim;
        Figures { attack: self, target, aim, lasted, undisturbed, elsewhere, attacked, memory, processor, warnings }
            .check(&used.warnings)
    }

    /// Runs the attack in a thread of its own, so that honest callers do not wait for the attacker. Ends with it.
    fn start(self, aim: Arc<Aim>, progress: Progress) -> oneshot::Receiver<()> {
        let (stop, stopped) = oneshot::channel();
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let attack = async {
                    loop {
                        (self.run)(&aim).await;
                    }
                };
                let is_enough = async {
                    while aim.sent.load(Ordering::Relaxed) < self.goal || progress.calls() < CALLS {
                        sleep(Duration::from_millis(10)).await;
                    }
                };
                tokio::select! {
                    () = attack => {}
                    // `Figures::check` looks at what was sent by then.
                    _ = timeout(TIME, is_enough) => {}
                }
            });
            let _ = stop.send(());
        });
        stopped
    }
}

// === impl Figures ===

impl Figures<'_> {
    /// Undisturbed callers are those of this process before the attack, or those of another process beside it if they had
    /// to wait longer: for this machine, which has to make the attack too, and for whatever else it does.
    fn comparison(&self) -> Duration {
        self.undisturbed.observed.percentile(99).max(self.elsewhere.percentile(99))
    }

    fn ratio(&self) -> f64 {
        self.attacked.percentile(99).as_secs_f64() / self.comparison().as_secs_f64()
    }

    /// Returns whether the ratio is to be judged.
    fn is_quiet(&self) -> bool {
        self.comparison() <= QUIET || is_strict()
    }

    /// Returns how many processors the service kept busy during the attack.
    fn cores(&self) -> f64 {
        self.processor / self.lasted.as_secs_f64()
    }

    /// Prints the figures. Returns those that are not as they should be.
    fn check(&self, warnings: &[Value]) -> Vec<String> {
        println!("{self}");
        let was_attacked = self.aim.was_attacked();
        let closed = self.aim.closed.lock().unwrap();
        let (served, made) = (self.attacked.served(), self.attacked.made());
        let sent = self.aim.sent.load(Ordering::Relaxed);
        let more = self.cores() - self.undisturbed.cores;
        let intervals = 1 + usize::try_from(self.lasted.as_secs() / 10).unwrap();
        let checks = [
            (was_attacked, format!("it was not made: {sent} sent, connections closed: {closed:?}")),
            (more <= self.attack.cores || !is_optimized(), format!("it kept {more:.2} processors busy")),
            (served * 100 >= made * 99, format!("{served} of {made} honest calls were served")),
            (self.ratio() <= RATIO || !self.is_quiet(), format!("honest calls took {:.2} times as long", self.ratio())),
            (self.memory <= MEMORY, format!("it took {} KiB", self.memory)),
            (self.warnings <= self.attack.warnings * intervals, format!("it logged {warnings:#?}")),
            // The last frame is lost if the attacker sends on.
            (closed.keys().flatten().all(|code| *code == ENHANCE_YOUR_CALM), format!("it closed with {closed:?}")),
        ];
        let name = |what| format!("{}, {}: {what}", self.target.name(), self.attack.name);
        checks.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| name(what)).collect()
    }
}

impl fmt::Display for Figures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attack, target, aim, undisturbed, elsewhere, attacked, memory, warnings, .. } = self;
        let millis = |time: Duration| time.as_millis();
        write!(
            f,
            "{:<44} {:<14} {:>6} of {} sent, closed {:>3}, served {:>3}/{:<3} p50/p99 {}/{} ms undisturbed ({} elsewhere), \
             {}/{} ms under attack, ratio {:.2}{}, {:>2} MiB, {:.2} cores ({:.2} undisturbed), warnings {warnings}",
            attack.name,
            target.name(),
            aim.sent.load(Ordering::Relaxed),
            attack.goal,
            aim.closed.lock().unwrap().values().sum::<usize>(),
            attacked.served(),
            attacked.made(),
            millis(undisturbed.observed.percentile(50)),
            millis(undisturbed.observed.percentile(99)),
            millis(elsewhere.percentile(99)),
            millis(attacked.percentile(50)),
            millis(attacked.percentile(99)),
            self.ratio(),
            if self.is_quiet() { "" } else { " (not judged: this machine is too busy)" },
            memory >> 10,
            self.cores(),
            undisturbed.cores,
        )
    }
}

/// Returns whether the service is a build of its own, which is an optimized one.
fn is_optimized() -> bool {
    std::env::var_os("FANOUT").is_some()
}

/// Returns whether this machine is said to do nothing else.
fn is_strict() -> bool {
    std::env::var("FANOUT_REQUIRE_RATIO").is_ok_and(|value| value == "1")
}

/// Makes honest calls of the service for a while without an attack.
///
/// # Panics
///
/// Panics if one of them fails.
pub(crate) async fn undisturbed(victim: &mut Victim, honest: &Crowd, control: &Crowd) -> Undisturbed {
    let (begun, since) = (Instant::now(), victim.begin());
    let time = Duration::from_secs(4);
    let (observed, _) = tokio::join!(
        honest.observe(tokio::time::sleep_until(begun + time), Progress::default()),
        control.observe(tokio::time::sleep_until(begun + time), Progress::default()),
    );
    assert_eq!(observed.served(), observed.made());
    let cores = victim.end(since).processor / since.elapsed().as_secs_f64();
    Undisturbed { observed, cores }
}

/// A service that closes every connection withstands everything.
#[tokio::test]
async fn an_attack_that_is_refused_is_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let aim = Aim::new(Target::Gateway, listener.local_addr().unwrap().to_string(), String::new());
    let attack = async {
        let mut attacker = aim.connect(&[]).await;
        attacker.send(b"").await;
        aim.add_sent(1);
        aim.note_closed(attacker).await;
    };
    let refuse = async { drop(listener.accept().await.unwrap()) };
    tokio::join!(attack, refuse);
    assert!(!aim.was_attacked());

    let victim = Victim::start(Target::CountryService, "0").await;
    let aim = Aim::new(victim.target, victim.address().to_owned(), String::new());
    let mut attacker = aim.connect(&[]).await;
    // Not a frame of HTTP/2.
    attacker.send(&[0xff; 9]).await;
    aim.add_sent(1);
    aim.note_closed(attacker).await;
    assert!(aim.was_attacked());
}
