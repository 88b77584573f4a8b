//! Mutual TLS from the caller through the gateway to the backends, and health checks of it.

use std::process::Command;

use e2e::{binary, wait::within};

use crate::{caller::Caller, fleet::Fleet};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hop_is_encrypted_and_knows_who_calls() {
    let fleet = Fleet::start(&[]);
    let caller = Caller::connect(&fleet.gateway.url(), &fleet.client("caller", &fleet.authority.pem));
    for _ in 0..50 {
        within("a call", caller.call()).await.unwrap();
    }
    // A caller has no business at a backend, nor a backend at the gateway.
    let (gateway, backend) = (&fleet.gateway, &fleet.backends[0]);
    for (name, refuses) in [("caller", backend), (backend.name, gateway)] {
        let other = Caller::connect(&refuses.url(), &fleet.client(name, &fleet.authority.pem));
        let status = within("a call", other.call()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert!(status.message().contains("no name of the client's certificate is allowed here"), "{status:?}");
        let reason = format!("its certificate has no name that is allowed; it has spiffe://example.org/{name}");
        refuses.service.log.wait_for(&reason, |line| line["level"] == "WARN" && line["reason"] == reason).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_check_presents_the_services_own_certificate() {
    let fleet = Fleet::start(&[]);
    for secured in fleet.backends.iter().chain([&fleet.gateway]) {
        let check = |args: &[String]| {
            let mut command = Command::new(binary::fanout());
            command.args([secured.name, "healthcheck", "--listen", secured.service.address()]).args(args);
            // The service's variables, some of which need flags that a health check has not.
            command.envs([("GATEWAY_CLIENT_CERTIFICATE_IDENTITY", "true"), ("GATEWAY_DEADLINE", "soon")]);
            let output = command.output().unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        assert_eq!(check(&secured.secret.server_args()), (Some(0), String::new()), "{}", secured.name);
        let (code, error) = check(&[]);
        assert_eq!(code, Some(1));
        assert!(error.contains("this port speaks TLS"), "{error}");
    }
}
