//! Files that cannot be used at the start, and files that are replaced while a server runs.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod support;

use std::{fs, path::PathBuf, time::Duration};

use grpc_tls::{ClientFiles, ClientTls, ServerFiles, ServerTls};
use support::{Authority, Files, Identity, connect, swap};
use tokio::time::{Instant, sleep};

/// Longer than it takes until files are read again.
const SOON: Duration = Duration::from_secs(5);

const CERTIFICATE: &str = "expected a PEM file with a certificate, then its intermediates (BEGIN CERTIFICATE)";
const KEY: &str = "expected a PEM file with the certificate's private key, not encrypted (BEGIN PRIVATE KEY)";
const AUTHORITIES: &str = "expected a PEM file with the certificates of authorities (BEGIN CERTIFICATE)";

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_apart() {
    let (files, authority) = (Files::new(), Authority::new());
    let Identity { cert, key } = authority.sign(&["users"]);
    let (cert, key) = (files.write("good.crt", &cert), files.write("good.key", &key));
    let other_key = files.write("other.key", &authority.sign(&["users"]).key);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = files.write("encrypted.key", encrypted);
    let rsa = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let encrypted_rsa = files.write("encrypted-rsa.key", rsa);
    let half = fs::read_to_string(&cert).unwrap();
    let half = files.write("half.crt", &half[..half.len() / 2]);
    let not_der = files.write("not-der.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let (empty, missing, directory) = (files.write("empty", ""), files.path("missing"), files.path(""));
    let mismatch = format!("its key does not belong to the certificate in {}: {KEY}", cert.display());
    let cases: [(&PathBuf, &PathBuf, Option<&PathBuf>, &PathBuf, &str); 11] = [
        (&missing, &key, None, &missing, &format!("no such file: {CERTIFICATE}")),
        (&directory, &key, None, &directory, &format!("it is a directory: {CERTIFICATE}")),
        (&empty, &key, None, &empty, &format!("it has no certificate: {CERTIFICATE}")),
        (&key, &key, None, &key, &format!("it has no certificate: {CERTIFICATE}")),
        (&half, &key, None, &half, &format!("it is not PEM: a section has no end: {CERTIFICATE}")),
        (&cert, &missing, None, &missing, &format!("no such file: {KEY}")),
        (&cert, &cert, None, &cert, &format!("it has no private key: {KEY}")),
        (&cert, &encrypted, None, &encrypted, &format!("its key is encrypted: {KEY}")),
        (&cert, &encrypted_rsa, None, &encrypted_rsa, &format!("its key is encrypted: {KEY}")),
        (&cert, &other_key, None, &other_key, &mismatch),
        (&cert, &key, Some(&empty), &empty, &format!("it has no certificate: {AUTHORITIES}")),
    ];
    for (cert, key, client_ca, file, expected) in cases {
        let server = ServerFiles {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: client_ca.cloned(),
            allowed_clients: Vec::new(),
        };
        let error = ServerTls::load(server).unwrap_err();
        assert_eq!((error.to_string().as_str(), &error.file), (expected, file));
    }
    let error = ClientTls::load(ClientFiles { ca: Some(not_der), identity: None }).unwrap_err().to_string();
    assert!(error.starts_with("its certificate 1 cannot be used: ") && error.ends_with(AUTHORITIES), "{error}");
}

/// Connects again and again until a client that trusts only this authority gets through.
async fn wait_until_signed_by(server: &ServerTls, authority: &Authority) {
    let files = Files::new();
    let client = ClientTls::load(files.client(authority, None)).unwrap();
    let begun = Instant::now();
    while connect(&client, server).await.0.is_err() {
        assert!(begun.elapsed() < SOON, "the new certificate is not in use");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits longer than it takes to read files again, and checks that the certificate is still of this authority.
async fn assert_still_signed_by(server: &ServerTls, authority: &Authority) {
    sleep(SOON).await;
    wait_until_signed_by(server, authority).await;
}

#[tokio::test(start_paused = true)]
async fn links_that_are_swapped_are_noticed() {
    let (files, old, new) = (Files::new(), Authority::new(), Authority::new());
    let put = |version, authority: &Authority| {
        let Identity { cert, key } = authority.sign(&["users"]);
        swap(files.0.path(), version, &[("tls.crt", &cert), ("tls.key", &key)]);
    };
    put(1, &old);
    let server = ServerFiles {
        cert: files.path("tls.crt"),
        key: files.path("tls.key"),
        client_ca: None,
        allowed_clients: Vec::new(),
    };
    let server = ServerTls::load(server).unwrap();
    wait_until_signed_by(&server, &old).await;
    put(2, &new);
    wait_until_signed_by(&server, &new).await;
}

#[tokio::test(start_paused = true)]
async fn files_that_cannot_be_used_leave_the_old_ones_in_use() {
    let (files, old, new) = (Files::new(), Authority::new(), Authority::new());
    let server = files.server(&old.sign(&["users"]));
    let (cert, key) = (server.cert.clone(), server.key.clone());
    let server = ServerTls::load(server).unwrap();
    let identity = new.sign(&["users"]);
    // One file after the other, as an editor or `cp` does.
    fs::write(&cert, &identity.cert[..100]).unwrap();
    assert_still_signed_by(&server, &old).await;
    fs::write(&cert, &identity.cert).unwrap();
    assert_still_signed_by(&server, &old).await;
    fs::remove_file(&key).unwrap();
    assert_still_signed_by(&server, &old).await;
    fs::write(&key, &identity.key).unwrap();
    wait_until_signed_by(&server, &new).await;
}

#[tokio::test(start_paused = true)]
async fn authorities_are_read_again_on_both_sides() {
    let (files, old, new) = (Files::new(), Authority::new(), Authority::new());
    let server =
        ServerFiles { client_ca: Some(files.write("clients.crt", &old.pem)), ..files.server(&old.sign(&["users"])) };
    let server = ServerTls::load(server).unwrap();
    let client = ClientTls::load(files.client(&old, Some(&old.sign(&["gateway"])))).unwrap();
    assert_eq!(connect(&client, &server).await, (Ok(()), Ok(Some(vec!["gateway".to_owned()]))));

    // A session that could be resumed does not get the client past the authorities of now.
    files.write("clients.crt", &new.pem);
    sleep(SOON).await;
    let (_, accepted) = connect(&client, &server).await;
    assert_eq!(accepted.unwrap_err(), "its certificate is from an unknown authority");

    files.identity("server", &new.sign(&["users"]));
    files.client(&new, Some(&new.sign(&["gateway"])));
    sleep(SOON).await;
    assert_eq!(connect(&client, &server).await, (Ok(()), Ok(Some(vec!["gateway".to_owned()]))));
}

#[tokio::test(start_paused = true)]
async fn reading_can_be_requested() {
    let (files, old, new) = (Files::new(), Authority::new(), Authority::new());
    let server = ServerTls::load(files.server(&old.sign(&["users"]))).unwrap();
    wait_until_signed_by(&server, &old).await;
    files.identity("server", &new.sign(&["users"]));
    let begun = Instant::now();
    server.reload();
    wait_until_signed_by(&server, &new).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
