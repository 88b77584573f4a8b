//! Who gets in, who does not, and what both sides say about it.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod support;

use grpc_tls::{ClientFiles, ClientTls, ServerFiles, ServerTls};
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::HandshakeKind;
use support::{Authority, Files, assert_refused, connect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

const GATEWAY: &str = "spiffe://example.org/gateway";

/// Files of a server that asks for client certificates of this authority, and lets those with these names in.
fn mutual(files: &Files, authority: &Authority, allowed: &[&str]) -> ServerFiles {
    ServerFiles {
        client_ca: Some(files.write("clients.crt", &authority.pem)),
        allowed_clients: allowed.iter().map(|name| name.parse().unwrap()).collect(),
        ..files.server(&authority.sign(&["users"]))
    }
}

#[tokio::test]
async fn a_client_learns_who_the_server_is_and_the_server_who_the_client_is() {
    let (files, authority) = (Files::new(), Authority::new());
    let server = ServerTls::load(mutual(&files, &authority, &[GATEWAY])).unwrap();
    let client = authority.sign(&["gateway", GATEWAY]);
    let client = ClientTls::load(files.client(&authority, Some(&client))).unwrap();
    let names = [GATEWAY, "gateway"].map(str::to_owned).to_vec();
    assert_eq!(connect(&client, &server).await, (Ok(()), Ok(Some(names))));
    let server = ServerTls::load(files.server(&authority.sign(&["users"]))).unwrap();
    assert_eq!(connect(&client, &server).await, (Ok(()), Ok(None)), "it has not asked");
}

#[tokio::test]
async fn a_client_verifies_the_server_each_time() {
    let (files, authority) = (Files::new(), Authority::new());
    let server = ServerTls::load(files.server(&authority.sign(&["users"]))).unwrap();
    let client = ClientTls::load(files.client(&authority, None)).unwrap();
    for _ in 0..3 {
        let (ours, theirs) = duplex(64 << 10);
        let connect = async {
            // The server's tickets come before its first byte.
            client.connect(&"users".try_into().unwrap(), ours).await.unwrap().read_u8().await.unwrap();
        };
        let accept = async {
            let (mut stream, _) = server.accept(theirs).await.unwrap();
            stream.write_u8(0).await.unwrap();
            stream.flush().await.unwrap();
            stream.get_ref().1.handshake_kind()
        };
        assert_eq!(tokio::join!(connect, accept).1, Some(HandshakeKind::Full), "no session is resumed");
    }
}

#[tokio::test]
async fn a_server_of_another_authority_name_or_time_is_refused() {
    let (files, authority, other) = (Files::new(), Authority::named("one of two"), Authority::new());
    let future = |params: &mut rcgen::CertificateParams| params.not_before = date_time_ymd(2999, 1, 1);
    let for_clients =
        |params: &mut rcgen::CertificateParams| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for (server, client_says, server_says) in [
        (
            other.sign(&["users"]),
            "its certificate is from an unknown authority",
            "it refuses our certificate: its authority is unknown there",
        ),
        (
            authority.sign(&["country"]),
            "its certificate is not for users",
            "it refuses our certificate (BadCertificate)",
        ),
        (authority.sign_expired(&["users"]), "its certificate expired ", "it refuses our certificate: expired"),
        (
            authority.sign_with(&["users"], future),
            "its certificate is valid only in ",
            "it refuses our certificate: expired",
        ),
        (
            authority.sign_with(&["users"], for_clients),
            "its certificate is not made for server authentication",
            "it refuses our certificate (UnsupportedCertificate)",
        ),
    ] {
        let client = ClientTls::load(files.client(&authority, None)).unwrap();
        let server = ServerTls::load(files.server(&server)).unwrap();
        let (connected, accepted) = connect(&client, &server).await;
        let connected = connected.unwrap_err();
        assert!(connected.starts_with(client_says), "{connected}");
        assert_eq!(accepted.unwrap_err(), server_says, "{client_says}");
    }
}

#[tokio::test]
async fn another_name_can_be_verified_in_place_of_the_hosts() {
    let (files, authority) = (Files::new(), Authority::new());
    let server = ServerTls::load(files.server(&authority.sign(&["country"]))).unwrap();
    let client = ClientTls::load(files.client(&authority, None)).unwrap();
    let client = client.server_name("country".try_into().unwrap());
    assert_eq!(connect(&client, &server).await, (Ok(()), Ok(None)));
}

#[tokio::test]
async fn a_client_without_a_certificate_of_the_authority_is_refused() {
    let (files, authority, other) = (Files::new(), Authority::new(), Authority::new());
    for (client, client_says, server_says) in [
        (None, "it requires a client certificate", "it presented no certificate"),
        (
            Some(other.sign(&[GATEWAY])),
            "it refuses our certificate: its authority is unknown there",
            "its certificate is from an unknown authority",
        ),
    ] {
        let client = files.client(&authority, client.as_ref());
        assert_refused(client, mutual(&files, &authority, &[]), client_says, server_says).await;
    }
    let expired = authority.sign_expired(&[GATEWAY]);
    let client = ClientTls::load(files.client(&authority, Some(&expired))).unwrap();
    let server = ServerTls::load(mutual(&files, &authority, &[])).unwrap();
    let (connected, accepted) = connect(&client, &server).await;
    assert_eq!(connected.unwrap_err(), "it refuses our certificate: expired");
    assert!(accepted.unwrap_err().starts_with("its certificate expired "));
}

#[tokio::test]
async fn a_client_with_another_name_is_refused() {
    let (files, authority) = (Files::new(), Authority::new());
    let client = authority.sign(&["country", "spiffe://example.org/country"]);
    let client = ClientTls::load(files.client(&authority, Some(&client))).unwrap();
    let server = ServerTls::load(mutual(&files, &authority, &[GATEWAY, "gateway"])).unwrap();
    let (_, accepted) = connect(&client, &server).await;
    let expected = "its certificate has no name that is allowed; it has spiffe://example.org/country, country";
    assert_eq!(accepted.unwrap_err(), expected);
}

#[tokio::test]
async fn a_server_accepts_its_own_certificate_from_whoever_has_the_key() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    // Of another authority than clients have, with none of their names, and made for servers only.
    let own = authority.sign_with(&["users"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let server = ServerFiles {
        client_ca: Some(files.write("clients.crt", &clients.pem)),
        allowed_clients: vec![GATEWAY.parse().unwrap()],
        ..files.server(&own)
    };
    let itself = ClientFiles {
        ca: Some(files.write("ca.crt", &authority.pem)),
        identity: Some((server.cert.clone(), server.key.clone())),
    };
    let (server, itself) = (ServerTls::load(server).unwrap(), ClientTls::load(itself).unwrap());
    assert_eq!(connect(&itself, &server).await, (Ok(()), Ok(Some(vec!["users".to_owned()]))));
    // Nobody else gets in by this.
    let other = authority.sign(&["users"]);
    let other = ClientTls::load(files.client(&authority, Some(&other))).unwrap();
    let (_, accepted) = connect(&other, &server).await;
    assert_eq!(accepted.unwrap_err(), "its certificate is from an unknown authority");
}

#[tokio::test]
async fn a_server_accepts_a_renewed_certificate_of_its_own_that_it_has_not_read_yet() {
    let (files, authority) = (Files::new(), Authority::new());
    let names = ["spiffe://example.org/users", "users", "localhost"];
    let server = ServerFiles {
        client_ca: Some(files.write("clients.crt", &authority.pem)),
        allowed_clients: vec![GATEWAY.parse().unwrap()],
        ..files.server(&authority.sign(&names))
    };
    let server = ServerTls::load(server).unwrap();
    for (presented, is_accepted) in [(&names[..], true), (&names[1..], false), (&["localhost"], false)] {
        let client = ClientTls::load(files.client(&authority, Some(&authority.sign(presented)))).unwrap();
        let (_, accepted) = connect(&client, &server).await;
        assert_eq!(accepted.is_ok(), is_accepted, "{presented:?}: {accepted:?}");
    }
}
