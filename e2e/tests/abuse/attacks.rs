//! The attacks, and who notices them: nobody. For each attack and each service, 99 % of honest calls are served, and the
//! slowest in a hundred take twice as long at most as without it.
//!
//! # Layout
//!
//! * this file: the attacks, and one test for each service, which makes all of them on one process.
//! * `floods`: much at once; `slow`: little, that is kept; `work`: requests that are much work.

mod floods;
mod slow;
mod work;

use crate::{
    attack::{Aim, Attack, CORES, Running, undisturbed},
    crowd::Crowd,
    exclusive,
    target::Target::{self, Gateway},
    victim::Victim,
};

/// Attacks that need no other flags than `--reflection`.
const ATTACKS: &[Attack] = &[
    attack("rapid reset", 300_000, |aim| Box::pin(floods::rapid_reset(aim))),
    attack("MadeYouReset by WINDOW_UPDATE", 100_000, |aim| Box::pin(floods::made_you_reset_by_window(aim))),
    attack("MadeYouReset by PRIORITY", 100_000, |aim| Box::pin(floods::made_you_reset_by_priority(aim))),
    attack("SETTINGS that toggle windows", 20_000, |aim| Box::pin(floods::settings_that_toggle_windows(aim))),
    // At the speed of loopback, tens of connections a second that each begin a thousand calls: a processor's worth.
    attack("streams of reflection and health", 50_000, |aim| Box::pin(floods::admin_streams(aim)))
        .with_warnings(2)
        .with_cores(1.0),
    attack("streams of reflection and health, 100 KB in a second", 1_500, |aim| {
        Box::pin(floods::admin_streams_slowly(aim))
    })
    .with_cores(0.15),
    attack("large baggage", 2_000, |aim| Box::pin(floods::large_baggage(aim))),
    attack("faults that callers ask for", 2_000, |aim| Box::pin(floods::injected_faults(aim))),
    attack("text for the log", 500, |aim| Box::pin(floods::text_for_the_log(aim))),
    attack("headers without a message", 2_000, |aim| Box::pin(slow::headers_without_a_message(aim))),
    attack("replies that are never read", 300, |aim| Box::pin(slow::replies_never_read(aim))),
    attack("health and reflection that are never read", 800, |aim| Box::pin(slow::admin_never_read(aim))),
    attack("requests of health that do not end", 900, |aim| Box::pin(slow::admin_without_end(aim))),
    attack("silent connections", 1_200, |aim| Box::pin(slow::silent_connections(aim))),
    attack("silent connections to the metrics", 120, |aim| Box::pin(slow::silent_connections_to_metrics(aim))),
    Attack { targets: &[Gateway], ..attack("streams of users", 36, |aim| Box::pin(work::streams_of_users(aim))) },
    Attack {
        targets: &[Gateway],
        ..attack("streams of users that are never read", 66, |aim| Box::pin(work::streams_never_read(aim)))
    },
];

const fn attack(name: &'static str, goal: usize, run: for<'a> fn(&'a Aim) -> Running<'a>) -> Attack {
    Attack { name, targets: &Target::ALL, goal, warnings: 1, cores: CORES, run }
}

impl Attack {
    const fn with_warnings(self, warnings: usize) -> Self {
        Self { warnings, ..self }
    }

    const fn with_cores(self, cores: f64) -> Self {
        Self { cores, ..self }
    }
}

/// Makes all attacks on a service, or those whose names contain the environment variable `ATTACK`.
async fn attack_all(target: Target) {
    let _alone = exclusive::alone().await;
    // The machine's own delays: calls to a service that is not attacked.
    let control = Victim::start(Target::CountryService, "50ms").await;
    let mut victim = Victim::start_with(target, "50ms", &["--reflection"]).await;
    let (honest, controls) = (Crowd::connect(&victim).await, Crowd::connect(&control).await);
    let (calm, mut noticed) = (undisturbed(&mut victim, &honest, &controls).await, Vec::new());
    let only = std::env::var("ATTACK").unwrap_or_default();
    for attack in ATTACKS.iter().filter(|attack| attack.targets.contains(&target) && attack.name.contains(&only)) {
        noticed.extend(attack.make(&mut victim, &honest, &calm, &controls).await);
        victim.settle();
    }
    assert!(noticed.is_empty(), "{noticed:#?}");
}

#[ignore = "run by `.ci/run attacks`, with an optimized build and nothing beside it"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway() {
    attack_all(Target::Gateway).await;
}

#[ignore = "run by `.ci/run attacks`, with an optimized build and nothing beside it"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_service() {
    attack_all(Target::UserService).await;
}

#[ignore = "run by `.ci/run attacks`, with an optimized build and nothing beside it"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn country_service() {
    attack_all(Target::CountryService).await;
}
