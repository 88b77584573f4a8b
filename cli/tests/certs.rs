//! `fanout certs`: which files there are afterwards, who may read them, and what is never replaced.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod screen;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use screen::Screen;
use serde_json::Value;
use tempfile::TempDir;
use x509_parser::{extensions::GeneralName, pem::Pem};

/// The files of a service.
const OWN: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];

fn certs(directory: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fanout")).arg("certs").arg(directory).args(flags).output().unwrap()
}

/// Returns the files of the directory, and of those in it, with their content.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap())).unwrap();
        if path.is_dir() {
            files.extend(self::files(&path).into_iter().map(|(file, content)| (format!("{name}/{file}"), content)));
        } else {
            files.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    files
}

fn pem(content: &str) -> Pem {
    Pem::iter_from_buffer(content.as_bytes()).next().unwrap().unwrap()
}

/// Makes a directory with certificates.
fn made(flags: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let output = certs(directory.path(), flags);
    assert!(output.status.success(), "{output:?}");
    directory
}

/// Asserts that the command ends with exit code 65 and this message, in which `DIR` is the directory, and that it changes
/// no file; and that `--force` replaces what was there.
#[track_caller]
fn assert_refused(directory: &TempDir, message: &str) {
    let before = files(directory.path());
    let output = certs(directory.path(), &[]);
    let expected = format!("fanout: {message}\n").replace("DIR", directory.path().to_str().unwrap());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(65), 0));
    assert_eq!(files(directory.path()), before, "nothing has changed");
    let output = certs(directory.path(), &["--force"]);
    assert!(output.status.success(), "{output:?}");
    let after = files(directory.path());
    for service in ["gateway", "user-service", "country-service"] {
        for file in OWN.map(|file| format!("{service}/{file}")).into_iter().chain(["ca.pem".to_owned()]) {
            assert_ne!(before.get(&file), Some(&after[&file]), "{file}");
        }
    }
}

#[test]
fn everybody_reads_certificates_and_the_owner_alone_reads_keys() {
    let directory = made(&["--client", "alice"]);
    let names = ["country-service", "gateway", "user-service", "alice"];
    let own = names.into_iter().flat_map(|name| OWN.map(|file| format!("{name}/{file}")));
    let all = own.chain(["ca.pem", "ca-key.pem"].map(str::to_owned));
    let expected = all.map(|file| (file.clone(), if file.contains("key") { 0o600 } else { 0o644 }));
    let modes = files(directory.path()).into_keys().map(|file| {
        let mode = fs::metadata(directory.path().join(&file)).unwrap().permissions().mode();
        (file, mode & 0o777)
    });
    assert_eq!(modes.collect::<BTreeMap<_, _>>(), expected.collect());
}

#[test]
fn a_certificate_has_the_names_and_the_purposes_of_its_owner() {
    let flags = ["--host", "gateway=api.example.com", "--host", "gateway=192.0.2.7", "--namespace", "shop"];
    let directory = made(&[&flags[..], &["--client", "alice", "--days", "7"]].concat());
    let files = files(directory.path());
    let ca = pem(&files["ca.pem"]);
    let ca = ca.parse_x509().unwrap();
    assert!(ca.is_ca());
    for (name, expected, is_server) in [
        (
            "gateway",
            "URI(spiffe://fanout/gateway) DNSName(gateway) DNSName(gateway.shop) DNSName(gateway.shop.svc) \
             DNSName(gateway.shop.svc.cluster.local) DNSName(localhost) DNSName(api.example.com) \
             IPAddress(7f:00:00:01) IPAddress(00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:01) IPAddress(c0:00:02:07)",
            true,
        ),
        ("alice", "URI(spiffe://fanout/alice)", false),
    ] {
        let certificate = pem(&files[&format!("{name}/tls.crt")]);
        let certificate = certificate.parse_x509().unwrap();
        assert!(!certificate.is_ca() && certificate.verify_signature(Some(ca.public_key())).is_ok());
        let names = certificate.subject_alternative_name().unwrap().unwrap().value.general_names.iter();
        assert_eq!(names.map(GeneralName::to_string).collect::<Vec<_>>().join(" "), expected);
        let purposes = certificate.extended_key_usage().unwrap().unwrap().value;
        assert_eq!((purposes.client_auth, purposes.server_auth), (true, is_server));
        let left = certificate.validity().time_to_expiration().unwrap().as_seconds_f64() / 86_400.0;
        assert!((6.9..=7.0).contains(&left), "{left} days");
    }
}

#[test]
fn the_same_again_renews_everything_but_the_authority() {
    let directory = made(&[]);
    let before = files(directory.path());
    assert!(certs(directory.path(), &[]).status.success());
    let after = files(directory.path());
    assert!(after.keys().eq(before.keys()), "{:?}", after.keys());
    for (file, content) in &after {
        let is_of_the_authority = !file.contains("/tls.");
        assert_eq!(*content == before[file], is_of_the_authority, "{file}");
        assert!(!file.ends_with("ca.crt") || *content == before["ca.pem"], "{file}");
    }
}

#[test]
fn a_reader_never_finds_half_a_file() {
    let directory = made(&[]);
    let path = directory.path().to_owned();
    let renewals = std::thread::spawn(move || (0..10).all(|_| certs(&path, &[]).status.success()));
    let mut reads = 0;
    while !renewals.is_finished() || reads == 0 {
        let read = |file: &str| fs::read_to_string(directory.path().join(file)).unwrap();
        assert!(pem(&read("gateway/tls.crt")).parse_x509().is_ok());
        assert!(KeyPair::from_pem(&read("gateway/tls.key")).is_ok());
        reads += 1;
    }
    assert!(renewals.join().unwrap());
}

#[test]
fn an_authority_that_was_made_elsewhere_is_never_replaced() {
    let directory = made(&[]);
    fs::remove_file(directory.path().join("ca-key.pem")).unwrap();
    assert_refused(
        &directory,
        "DIR/ca.pem is there without DIR/ca-key.pem, so that the authority cannot sign: add the file, choose another \
         directory, or make a new authority with --force",
    );
}

#[test]
fn a_certificate_that_another_authority_has_signed_is_never_replaced() {
    let (directory, other) = (made(&[]), made(&[]));
    fs::copy(other.path().join("gateway/tls.crt"), directory.path().join("gateway/tls.crt")).unwrap();
    let message = "DIR/gateway/tls.crt was not signed by the authority of its directory: choose another directory, or \
                   replace it with --force";
    assert_refused(&directory, message);
    // There is no authority at all.
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("gateway")).unwrap();
    fs::copy(other.path().join("gateway/tls.crt"), directory.path().join("gateway/tls.crt")).unwrap();
    assert_refused(&directory, message);
}

#[test]
fn an_authority_that_cannot_sign_is_named() {
    let directory = made(&[]);
    fs::copy(made(&[]).path().join("ca-key.pem"), directory.path().join("ca-key.pem")).unwrap();
    assert_refused(
        &directory,
        "DIR/ca-key.pem is not the key of a certificate in DIR/ca.pem: mend it, or make a new authority with --force",
    );
    fs::write(directory.path().join("ca.pem"), "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n").unwrap();
    assert_refused(&directory, "DIR/ca.pem holds no certificate in PEM: mend it, or make a new authority with --force");
    fs::write(directory.path().join("ca-key.pem"), "no key").unwrap();
    assert_refused(
        &directory,
        "DIR/ca-key.pem holds no private key in PEM: mend it, or make a new authority with --force",
    );
}

#[test]
fn an_authority_signs_until_it_expires() {
    let directory = tempfile::tempdir().unwrap();
    let authority = |ends: SystemTime| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = ends.into();
        fs::write(directory.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(directory.path().join("ca-key.pem"), key.serialize_pem()).unwrap();
    };
    // A company's own authority.
    authority(SystemTime::now() + Duration::from_hours(48));
    let output = certs(directory.path(), &["--json"]);
    assert!(output.status.success(), "{output:?}");
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(made["authority"]["new"], false, "{made:#}");
    assert_eq!(made["certificates"][0]["not_after"], made["authority"]["not_after"], "none outlives it: {made:#}");
    let directory_of_the_expired = tempfile::tempdir().unwrap();
    authority(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    for file in ["ca.pem", "ca-key.pem"] {
        fs::copy(directory.path().join(file), directory_of_the_expired.path().join(file)).unwrap();
    }
    assert_refused(
        &directory_of_the_expired,
        "DIR/ca.pem has expired at 2023-11-14T22:13:20Z: make a new authority with --force, and give it to all callers",
    );
}

#[test]
fn two_authorities_are_trusted_while_one_replaces_the_other() {
    let (directory, new) = (made(&[]), made(&[]));
    // As `docs/certificates.md` has it: the new one first signs, while both are trusted.
    let [old_ca, new_ca] = [&directory, &new].map(|directory| files(directory.path())["ca.pem"].clone());
    fs::write(directory.path().join("ca.pem"), format!("{old_ca}{new_ca}")).unwrap();
    fs::copy(new.path().join("ca-key.pem"), directory.path().join("ca-key.pem")).unwrap();
    assert!(certs(directory.path(), &[]).status.success());
    let after = files(directory.path());
    let (gateway, new_ca) = (pem(&after["gateway/tls.crt"]), pem(&new_ca));
    let (gateway, new_ca) = (gateway.parse_x509().unwrap(), new_ca.parse_x509().unwrap());
    assert!(gateway.verify_signature(Some(new_ca.public_key())).is_ok());
    assert_eq!(after["gateway/ca.crt"], after["ca.pem"], "services trust both");
}

#[test]
fn a_directory_that_cannot_be_written_is_exit_code_73() {
    let output = certs(Path::new("/proc/certs"), &[]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("fanout: cannot write /proc/certs: ") && error.lines().count() == 1, "{error}");
    assert_eq!(output.status.code(), Some(73));
}

#[tokio::test]
async fn it_says_what_was_made_and_what_to_do_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    for (columns, note) in [(80, "new: give it to everybody who calls"), (120, "as before: it has signed the others")] {
        let ended = Screen::start(columns, &["certs", path]).end().await;
        assert_eq!(ended.code, Some(0), "{}", ended.text());
        let ca = ended.lines.iter().find(|line| line.trim_start().starts_with("ca.pem ")).unwrap();
        assert!(ca.ends_with(note), "{}", ended.text());
        // A command that is too wide continues after a backslash.
        let text = ended.lines.iter().map(|line| line.trim().trim_end_matches(" \\")).collect::<Vec<_>>().join(" ");
        for words in [
            format!("compare --gateway https://127.0.0.1:50051 --tls-ca {path}/ca.pem"),
            format!("--tls-client-ca {path}/ca.pem --allow-client spiffe://fanout/gateway"),
            "spiffe://fanout/user-service user-service user-service.fanout".to_owned(),
        ] {
            assert!(text.contains(&words), "{words} in\n{}", ended.text());
        }
    }
}
