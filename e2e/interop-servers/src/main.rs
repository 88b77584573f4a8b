//! Runs each case against each server and prints the results as a Markdown table.
//! Exits with 1 if a case fails.

use std::{fmt::Write as _, process::ExitCode};

use interop_servers::{
    case::{Case, Verdict},
    channel,
    server::{Runtime, Server},
};

#[tokio::main]
async fn main() -> ExitCode {
    let servers = Runtime::ALL.map(|runtime| (runtime, runtime.server()));
    let mut table = format!("Channel: {}\n\n| case |", channel::NAME);
    for (runtime, _) in servers {
        let _ = write!(table, " {} |", runtime.name());
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(servers.len()));
    let mut failed = false;
    for case in Case::ALL {
        let _ = write!(table, "\n| {} |", case.name());
        for (_, server) in servers {
            let verdict = run(case, server).await;
            failed |= matches!(verdict, Some(Err(_)));
            let _ = write!(table, " {} |", describe(verdict));
        }
    }
    println!("{table}");
    ExitCode::from(u8::from(failed))
}

async fn run(case: Case, server: Option<&Server>) -> Option<Verdict> {
    Some(case.run(server?).await)
}

fn describe(verdict: Option<Verdict>) -> String {
    match verdict {
        None => "not installed".to_owned(),
        Some(Ok(())) => "passed".to_owned(),
        Some(Err(why)) => format!("failed: {why}"),
    }
}
