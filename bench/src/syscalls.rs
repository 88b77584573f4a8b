//! System calls of an aggregate, and how much of its processor time is the kernel's.
//!
//! The calls are counted by `perf`, or else by `strace`, which slows a program down so much that it does more with each call.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::{
    BoxError,
    load::{Load, Measured},
    process::Process,
    scenario::Scenario,
    subject::{FANOUT, PLAIN_TONIC, Setup, Subject, free_address},
};

/// What is shown of its own, by the names that both tools have.
const NAMED: [&str; 6] = ["sendto", "writev", "recvfrom", "epoll_wait", "futex", "write"];

/// What was counted of a subject.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Syscalls {
    pub(crate) subject: &'static str,
    pub(crate) in_flight: usize,
    /// What counted them: `perf` or `strace`.
    pub(crate) tool: &'static str,
    /// For each request.
    pub(crate) all: f64,
    /// Those of each name that is shown, in its order.
    pub(crate) named: Vec<f64>,
    /// The kernel's part of the processor time, from 0 to 1, while nothing counts.
    pub(crate) kernel_share: f64,
}

/// How many calls of each name there were, and in all.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    all: u64,
    named: [u64; NAMED.len()],
}

/// What counts the calls of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tool {
    Perf,
    Strace,
}

/// A tool that counts.
struct Counter {
    tool: Tool,
    child: Child,
    out: PathBuf,
    /// `perf` is told on these when to begin.
    control: Option<(ChildStdin, BufReader<ChildStdout>)>,
}

/// Measures the gateway and plain tonic. None if there is no tool.
///
/// # Errors
///
/// Returns an error if one of them does not start, or ends.
pub(crate) async fn measure(setup: &Setup, time: Duration) -> Result<Option<Vec<Syscalls>>, BoxError> {
    let Some(tool) = Tool::find() else { return Ok(None) };
    let mut all = Vec::new();
    for subject in [FANOUT, PLAIN_TONIC] {
        for point in Scenario::Syscalls.points() {
            eprintln!("syscalls: {}, {} in flight, by {}", subject.name, point.in_flight, tool.name());
            all.push(measure_one(subject, point.in_flight, setup, time, tool).await?);
        }
    }
    Ok(Some(all))
}

async fn measure_one(
    subject: Subject,
    in_flight: usize,
    setup: &Setup,
    time: Duration,
    tool: Tool,
) -> Result<Syscalls, BoxError> {
    let address = free_address()?;
    let log = setup.log(&format!("syscalls-{}", subject.name));
    let process = Process::start((subject.command)(setup, &address)?, &address, &log).await?;
    let request = (subject.request)(setup.lengths, 2);
    crate::first(&address, &request).await?;
    let load = Load { address, request, in_flight, time };
    let undisturbed = load.measure(&process).await?;
    let counter = Counter::start(tool, &process, &setup.directory.join("syscalls"))?;
    let traced = load.measure(&process).await?;
    let counts = counter.stop()?;
    Ok(Syscalls::new(subject, in_flight, tool, &counts, &traced, &undisturbed))
}

/// Returns the table.
pub(crate) fn markdown(all: &[Syscalls]) -> String {
    let head =
        format!("| system calls of an aggregate | in flight | all | {} | kernel's share of CPU |", NAMED.join(" | "));
    let mut lines = vec![head, format!("|---|--:|--:|{}--:|", "--:|".repeat(NAMED.len()))];
    lines.extend(all.iter().map(|row| {
        let named = row.named.iter().map(|calls| format!("{calls:.1}")).collect::<Vec<_>>().join(" | ");
        let Syscalls { subject, in_flight, all, kernel_share, .. } = row;
        format!("| {subject} | {in_flight} | {all:.1} | {named} | {:.0} % |", kernel_share * 100.0)
    }));
    let tool = all.first().map_or("", |row| row.tool);
    format!("{}\n\nCounted by {tool}; the kernel's share is taken while nothing counts.\n", lines.join("\n"))
}

// === impl Syscalls ===

impl Syscalls {
    fn new(
        subject: Subject,
        in_flight: usize,
        tool: Tool,
        counts: &Counts,
        traced: &Measured,
        undisturbed: &Measured,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
        let a_request = |calls: u64| calls as f64 / traced.all_requests as f64;
        Self {
            subject: subject.name,
            in_flight,
            tool: tool.name(),
            all: a_request(counts.all),
            named: counts.named.map(a_request).to_vec(),
            kernel_share: undisturbed.kernel_share(),
        }
    }
}

// === impl Tool ===

impl Tool {
    /// Finds one that works: `perf` needs a kernel that lets this user count.
    fn find() -> Option<Self> {
        let works = |tool: &Self| {
            let mut command = match tool {
                Self::Perf => tool.command(&["true".as_ref()], Path::new("/dev/null")),
                Self::Strace => Command::new("strace"),
            };
            if *tool == Self::Strace {
                command.arg("-c").args(["-o", "/dev/null", "true"]);
            }
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        [Self::Perf, Self::Strace].into_iter().find(works)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Perf => "perf",
            Self::Strace => "strace",
        }
    }

    /// Returns what counts the calls of a program, or of a process, that the arguments name.
    fn command(self, whom: &[&std::ffi::OsStr], out: &Path) -> Command {
        let mut command = Command::new(self.name());
        match self {
            Self::Perf => {
                let named = NAMED.map(|name| format!("syscalls:sys_enter_{name}")).join(",");
                command.args(["stat", "-x,", "-e", &format!("raw_syscalls:sys_enter,{named}"), "-o"]).arg(out);
            }
            Self::Strace => {
                command.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(out);
            }
        }
        command.args(whom);
        command
    }

    /// Reads what it has written.
    fn counts(self, text: &str) -> Option<Counts> {
        let rows: Vec<(u64, &str)> = match self {
            // `9291,,raw_syscalls:sys_enter,147378572,100.00,,`
            Self::Perf => text
                .lines()
                .filter_map(|line| {
                    let mut fields = line.split(',');
                    let calls = fields.next()?.parse().ok()?;
                    Some((calls, fields.nth(1)?.rsplit_once("sys_enter")?.1.trim_start_matches('_')))
                })
                .collect(),
            // `       12 futex`, and at the end `      345 total`
            Self::Strace => text
                .lines()
                .filter_map(|line| line.trim().split_once(' '))
                .filter_map(|(calls, name)| Some((calls.parse().ok()?, name.trim())))
                .map(|(calls, name)| (calls, if name == "total" { "" } else { name }))
                .collect(),
        };
        let of = |name: &str| rows.iter().find(|(_, other)| *other == name).map(|(calls, _)| *calls);
        Some(Counts { all: of("")?, named: NAMED.map(|name| of(name).unwrap_or(0)) })
    }
}

// === impl Counter ===

impl Counter {
    /// Counts from now on.
    fn start(tool: Tool, process: &Process, out: &Path) -> Result<Self, BoxError> {
        let pid = process.id().to_string();
        let mut command = tool.command(&["-p".as_ref(), pid.as_ref()], out);
        match tool {
            // It counts when it is told to, and says that it does.
            Tool::Perf => {
                command.args(["--control", "fd:0,1", "-D", "-1"]).stdin(Stdio::piped()).stdout(Stdio::piped());
                command.stderr(Stdio::null());
                let mut child = command.spawn()?;
                let control = child.stdin.take().zip(child.stdout.take().map(BufReader::new));
                let mut counter = Self { tool, child, out: out.to_owned(), control };
                counter.tell("enable")?;
                Ok(counter)
            }
            // It says each thread that it looks at.
            Tool::Strace => {
                let threads = fs::read_dir(format!("/proc/{pid}/task"))?.count();
                let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
                let mut said = BufReader::new(child.stderr.take().ok_or("strace has no output")?);
                let (mut line, mut attached) = (String::new(), 0);
                while attached < threads {
                    line.clear();
                    if said.read_line(&mut line)? == 0 {
                        return Err("strace has ended".into());
                    }
                    attached += 1;
                    // In one line for several threads, it says how many.
                    if let Some(more) = line.split(" with ").nth(1).and_then(|rest| rest.split(' ').next()) {
                        attached += more.parse::<usize>().unwrap_or(1) - 1;
                    }
                }
                // What it says later is of no use, but must not block it.
                std::thread::spawn(move || io::copy(&mut said, &mut io::sink()));
                Ok(Self { tool, child, out: out.to_owned(), control: None })
            }
        }
    }

    fn tell(&mut self, what: &str) -> Result<(), BoxError> {
        let Some((input, output)) = &mut self.control else { return Ok(()) };
        writeln!(input, "{what}")?;
        let mut answer = Vec::new();
        output.read_until(b'\n', &mut answer)?;
        if answer.ends_with(b"ack\n") { Ok(()) } else { Err(format!("perf does not {what}").into()) }
    }

    /// Stops counting.
    fn stop(mut self) -> Result<Counts, BoxError> {
        self.tell("disable")?;
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        self.child.wait()?;
        let text = fs::read_to_string(&self.out)?;
        Ok(self.tool.counts(&text).ok_or_else(|| format!("{} has counted nothing: {text}", self.tool.name()))?)
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tools_are_read() {
        let expected = Counts { all: 345, named: [7, 0, 0, 200, 12, 0] };
        let perf = "# started on a day\n\n345,,raw_syscalls:sys_enter,1,100.00,,\n0,,syscalls:sys_enter_writev,1,100.00,,\n\
                    200,,syscalls:sys_enter_epoll_wait,1,100.00,,\n7,,syscalls:sys_enter_sendto,1,100.00,,\n12,,syscalls:sys_enter_futex,1,100.00,,\n";
        assert_eq!(Tool::Perf.counts(perf), Some(expected.clone()));
        let strace = "    calls syscall\n--------- ----------------\n      200 epoll_wait\n       12 futex\n        7 sendto\n      126 read\n\
                      --------- ----------------\n      345 total\n";
        assert_eq!(Tool::Strace.counts(strace), Some(expected));
        assert_eq!(Tool::Perf.counts("<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
    }
}
