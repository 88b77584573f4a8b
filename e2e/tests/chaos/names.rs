//! A name that stands for other replicas from one moment to the next.
//!
//! The gateway runs in a mount namespace of its own, where the test's file is `/etc/hosts`.

use std::{fs, path::Path, process::Command};

use crate::{
    callers::{Callers, Rpc},
    fleet::Replica,
};
use e2e::{backends::Backends, service::Service};

/// A name that nobody else has (RFC 6761).
const NAME: &str = "countries.test";

/// Without an address calls fail at once and say why; replicas that come get calls, those that go lose them, and no
/// restart is needed for any of it.
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
    // Replicas share the port of the URL, and have addresses of their own.
    let first = Replica::start_at("127.0.0.2:0", &["--delay", "2ms"]);
    let port = first.url().rsplit_once(':').unwrap().1.to_owned();
    let second = Replica::start_at(&format!("127.0.0.3:{port}"), &["--delay", "2ms"]);
    let hosts = data.path().join("hosts");
    let resolve_to = |addresses: &[&str]| {
        let lines: Vec<_> = addresses.iter().map(|address| format!("{address} {NAME}\n")).collect();
        // In place: a file that takes this one's place would not be the one that is mounted.
        fs::write(&hosts, lines.concat()).unwrap();
    };
    resolve_to(&[]);
    let countries = format!("http://{NAME}:{port}");
    let backend_args = backends.gateway_args();
    let mut args = vec!["--country-service", &countries, "--resolve-every", "200ms"];
    args.extend(backend_args.iter().map(String::as_str));
    let gateway = Service::run(&mut gateway_with(&hosts, &args), "listening");

    let callers = Callers::start(&gateway.url, Rpc::HomeCountry).await;
    callers.make(2000).await;
    callers
        .take()
        .report("a name without an address", &["UNAVAILABLE BACKEND_UNREACHABLE", "UNAVAILABLE BACKEND_CIRCUIT_OPEN"]);
    resolve_to(&["127.0.0.2"]);
    callers.until("the first is called", || first.service.served() > 100).await;
    let _ = callers.take();
    resolve_to(&["127.0.0.2", "127.0.0.3"]);
    callers.until("the second is called too", || second.service.served() > 300).await;
    resolve_to(&["127.0.0.3"]);
    let mut before = first.service.served();
    callers.make(1000).await;
    // It gets none once the name has been asked for again: count until it has stood still for a thousand calls.
    loop {
        callers.make(1000).await;
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

/// The gateway, with this file for `/etc/hosts` and no other source of names.
fn gateway_with(hosts: &Path, args: &[&str]) -> Command {
    let order = hosts.with_file_name("nsswitch.conf");
    fs::write(&order, "hosts: files\n").unwrap();
    let script = "mount --bind \"$0\" /etc/hosts && mount --bind \"$1\" /etc/nsswitch.conf && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script]).args([hosts, &order]);
    command.arg(e2e::binary::fanout()).args(["gateway", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command.args(args);
    command
}
