//! A test that is killed leaves no process behind.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use e2e::{TIMEOUT, service::Service, up::Up};

/// All processes have its standard error, which ends with the last of them.
#[test]
fn the_processes_of_a_killed_test_end() {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "a_test_with_processes", "--ignored", "--nocapture"]);
    let mut parent = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, mut stderr) = (BufReader::new(parent.stdout.take().unwrap()), parent.stderr.take().unwrap());
    let (sender, events) = mpsc::channel();
    let started = sender.clone();
    thread::spawn(move || started.send(stdout.lines().map_while(Result::ok).find(|line| line.contains("started"))));
    assert!(events.recv_timeout(TIMEOUT).unwrap().is_some(), "the processes have not started");

    parent.kill().unwrap();
    parent.wait().unwrap();
    thread::spawn(move || {
        let mut errors = String::new();
        stderr.read_to_string(&mut errors).unwrap();
        sender.send(Some(errors))
    });
    let errors = events.recv_timeout(TIMEOUT).expect("processes still run after their parent was killed");
    assert_eq!(errors.as_deref(), Some(""), "they end in order");
}

#[test]
#[ignore = "the test that the other one kills"]
fn a_test_with_processes() {
    let _up = Up::start(&["--delay", "0"]);
    let _service = Service::start("country-service", &["--delay", "0"], "serving");
    let stopped = Service::start("country-service", &["--delay", "0"], "serving");
    let _paused = stopped.pause();
    println!("started");
    // Until it is killed; by itself it ends at once.
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
}
