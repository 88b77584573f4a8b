//! A name whose addresses change.
//!
//! The gateway runs in its own mount namespace, in which a file of the test is mounted as `/etc/hosts`.

use std::{fs, path::Path, process::Command};

use crate::{
    callers::{Callers, Rpc},
    fleet::Replica,
};
use e2e::{
    backends::{Backends, NO_REQUEST_LINES},
    service::Service,
};

/// A name reserved for tests (RFC 6761).
const NAME: &str = "countries.test";

/// Calls fail at once with the reason while the name has no address. New replicas get calls, removed ones get none, and
/// nothing is restarted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_resolves_to_nothing_and_to_others() {
    if !may_unshare() {
        assert!(
            std::env::var_os("FANOUT_REQUIRE_NAMESPACES").is_none(),
            "mount namespaces are needed here and not permitted"
        );
        eprintln!("SKIPPED: this machine permits no mount namespaces");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let backends = Backends::start_except(&["country-service"]);
    // All replicas listen on the URL's port, at different addresses.
    let first = Replica::start_at("127.0.0.2:0", &["--delay", "2ms"]);
    let port = first.url().rsplit_once(':').unwrap().1.to_owned();
    let second = Replica::start_at(&format!("127.0.0.3:{port}"), &["--delay", "2ms"]);
    let hosts = data.path().join("hosts");
    let resolve_to = |addresses: &[&str]| {
        let lines: Vec<_> = addresses.iter().map(|address| format!("{address} {NAME}\n")).collect();
        // Overwrites in place: a new file with the same name would not be the mounted one.
        fs::write(&hosts, lines.concat()).unwrap();
    };
    resolve_to(&[]);
    let countries = format!("http://{NAME}:{port}");
    let backend_args = backends.gateway_args();
    let mut args = vec!["--country-service", &countries, "--resolve-every", "200ms"];
    args.extend(backend_args.iter().map(String::as_str));
    let gateway = Service::spawn(&mut gateway_with(&hosts, &args), "listening");

    let callers = Callers::start(&gateway.url, Rpc::HomeCountry).await;
    callers.wait_for_calls(1000).await;
    callers
        .take()
        .report("a name without an address", &["UNAVAILABLE BACKEND_UNREACHABLE", "UNAVAILABLE BACKEND_CIRCUIT_OPEN"]);
    resolve_to(&["127.0.0.2"]);
    callers.wait_until("the first is called", || first.service.served() > 100).await;
    let _ = callers.take();
    resolve_to(&["127.0.0.2", "127.0.0.3"]);
    callers.wait_until("the second is called too", || second.service.served() > 300).await;
    resolve_to(&["127.0.0.3"]);
    let mut before = first.service.served();
    callers.wait_for_calls(1000).await;
    // It gets no calls once the name has been resolved again: repeat until a thousand calls have not reached it.
    loop {
        callers.wait_for_calls(1000).await;
        let now = first.service.served();
        if now == before {
            break;
        }
        before = now;
    }
    callers.stop().await.report("… that gets one, two, and loses the first", &["OK"]);
}

fn may_unshare() -> bool {
    Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success())
}

/// Returns a command that starts the gateway with this file as `/etc/hosts` and no other source of names.
fn gateway_with(hosts: &Path, args: &[&str]) -> Command {
    let order = hosts.with_file_name("nsswitch.conf");
    fs::write(&order, "hosts: files\n").unwrap();
    let script = "mount --bind \"$0\" /etc/hosts && mount --bind \"$1\" /etc/nsswitch.conf && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script]).args([hosts, &order]);
    command.arg(e2e::binary::fanout()).args(["gateway", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command.args(NO_REQUEST_LINES).args(args);
    command
}
