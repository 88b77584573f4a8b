//! Runs each rival through each fault, each in a process of its own, and prints a table.

use std::{
    env,
    process::{ExitCode, Stdio},
    time::Duration,
};

use clap::ValueEnum;
use tokio::process::Command;

use crate::{
    BoxError, TableArgs,
    fault::Fault,
    rival::Rival,
    run::{RunResult, mebibytes},
};

/// No run takes longer: its process is killed.
const RUN_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs all, and prints the progress on standard error. The exit code is 1 if a run has no result.
///
/// # Errors
///
/// Returns an error if this program cannot be started again.
pub(crate) async fn run(args: &TableArgs) -> Result<ExitCode, BoxError> {
    let rivals = chosen(&args.rivals);
    let faults = chosen(&args.faults);
    let total = rivals.len() * faults.len();
    let mut incomplete = false;
    let mut done = 0;
    if !args.json {
        println!(
            "| fault | channel | calls | failed | p50 | p99 | p99.9 | memory |\n|---|---|--:|--:|--:|--:|--:|--:|"
        );
    }
    for fault in faults {
        for rival in &rivals {
            done += 1;
            eprintln!("[{done}/{total}] {}, {} …", rival.name(), fault.name());
            match one(*rival, fault, args.quick).await {
                Ok(result) => {
                    eprintln!("    {result}");
                    println!("{}", if args.json { serde_json::to_string(&result)? } else { row(&result) });
                }
                Err(error) => {
                    incomplete = true;
                    eprintln!("    no result: {error}");
                    if !args.json {
                        println!("| {} | {} | no result: {error} | | | | | |", fault.name(), rival.name());
                    }
                }
            }
        }
    }
    Ok(ExitCode::from(u8::from(incomplete)))
}

fn chosen<T: ValueEnum + Clone>(chosen: &[T]) -> Vec<T> {
    if chosen.is_empty() { T::value_variants().to_vec() } else { chosen.to_vec() }
}

async fn one(rival: Rival, fault: Fault, quick: bool) -> Result<RunResult, BoxError> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["run", "--json", "--rival", &value(&rival), "--fault", &value(&fault)]);
    if quick {
        command.arg("--quick");
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let output = tokio::time::timeout(RUN_TIMEOUT, child.wait_with_output())
        .await
        .map_err(|_| format!("it took longer than {} s", RUN_TIMEOUT.as_secs()))??;
    if !output.status.success() {
        return Err(output.status.to_string().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The name of a value on the command line.
fn value(value: &impl ValueEnum) -> String {
    value.to_possible_value().expect("no value is hidden").get_name().to_owned()
}

fn row(result: &RunResult) -> String {
    let RunResult { rival, fault, calls, failed, p50_ms, p99_ms, p999_ms, memory_kib, .. } = result;
    let memory = mebibytes(*memory_kib);
    format!(
        "| {fault} | {rival} | {calls} | {failed} | {p50_ms:.0} ms | {p99_ms:.0} ms | {p999_ms:.0} ms | +{memory:.1} MiB |"
    )
}
