//! The commands of other clients that make the same request.

use std::iter;

use crate::{
    call::rpc::Rpc,
    gateway_client::{
        credentials,
        request::{DEFAULT_TIMEOUT, RequestOptions, positive_duration},
        tls::TlsArgs,
    },
    terminal::{
        shell::{quoted, word},
        text_layout::width,
    },
};

/// Returns the commands of grpcurl and buf. A command that is wider than `columns` is continued on further lines.
pub(super) fn commands(rpc: &Rpc, options: &RequestOptions, columns: usize) -> [String; 2] {
    let (gateway, name) = (&options.gateway, rpc.full_name());
    // A header for each entry: buf ends a header at a comma.
    let baggage = options.baggage_entries();
    let headers = baggage.iter().map(|entry| format!("-H {}", quoted(&format!("baggage: {}", entry.encoded()))));
    let authorization = bearer(options).map(|bearer| format!("-H \"authorization: Bearer {bearer}\""));
    let message = format!("-d {}", quoted(&rpc.request_json().to_string()));
    let shared: Vec<String> = headers.chain(authorization).chain([message]).collect();
    // buf has no flag for it.
    let is_default = positive_duration(DEFAULT_TIMEOUT).is_ok_and(|default| default == options.timeout);
    let timeout = (!is_default).then(|| format!("-max-time {}", options.timeout.as_secs_f64()));
    let authority = gateway.authority();
    let (grpcurl_tls, buf_tls) = (grpcurl_tls(options), buf_tls(options));
    let grpcurl = iter::once("grpcurl".to_owned()).chain(grpcurl_tls).chain(timeout).chain(shared.iter().cloned());
    // grpcurl sends its headers with reflection too, which asks for credentials where calls do.
    let reflection = options.credentials().map(|_| "--reflect-header '*'".to_owned());
    let buf = iter::once("buf curl --protocol grpc".to_owned());
    let buf = buf.chain(buf_tls).chain(reflection).chain(shared.iter().cloned());
    [
        fill(grpcurl.chain([format!("{authority} {name}")]), columns),
        fill(buf.chain([format!("{gateway}/{name}")]), columns),
    ]
}

/// Returns grpcurl's flags for TLS, or for its absence.
fn grpcurl_tls(options: &RequestOptions) -> Vec<String> {
    if !options.gateway.is_https() {
        return vec!["-plaintext".to_owned()];
    }
    tls_flags(&options.tls, ["-cacert", "-cert", "-key", "-servername"])
}

/// Returns buf's flags for TLS, or for its absence.
fn buf_tls(options: &RequestOptions) -> Vec<String> {
    if !options.gateway.is_https() {
        return vec!["--http2-prior-knowledge".to_owned()];
    }
    tls_flags(&options.tls, ["--cacert", "--cert", "--key", "--servername"])
}

/// Returns the flags for TLS by another client's names of them.
fn tls_flags(tls: &TlsArgs, [ca, cert, key, server_name]: [&str; 4]) -> Vec<String> {
    let files = [(ca, &tls.tls_ca), (cert, &tls.tls_cert), (key, &tls.tls_key)];
    let files = files.into_iter().filter_map(|(flag, file)| Some((flag, file.as_ref()?.display().to_string())));
    let name = tls.tls_server_name.as_ref().map(|name| (server_name, name.to_str().into_owned()));
    files.chain(name).map(|(flag, value)| format!("{flag} {}", word(&value))).collect()
}

/// Returns what a shell replaces by the credentials: never the credentials themselves.
fn bearer(options: &RequestOptions) -> Option<String> {
    match &options.api_key_file {
        Some(file) => Some(format!("$(cat {})", quoted(&file.path().to_string_lossy()))),
        None => options.credentials().map(|_| format!("${}", credentials::VARIABLE)),
    }
}

/// Joins the parts of a command, with an escaped end of line where the next part would not fit.
fn fill(parts: impl IntoIterator<Item = String>, columns: usize) -> String {
    let mut command = String::new();
    let mut used = 0;
    for part in parts {
        // The space before a part, and the space and backslash that may follow it.
        if used > 0 && used + 1 + width(&part) + 2 > columns {
            command.push_str(" \\\n  ");
            used = 2;
        } else if used > 0 {
            command.push(' ');
            used += 1;
        }
        command.push_str(&part);
        used += width(&part);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_goes_on_after_a_backslash() {
        let parts = || ["grpcurl -plaintext", "-d '{}'", "host method"].map(str::to_owned);
        assert_eq!(fill(parts(), 80), "grpcurl -plaintext -d '{}' host method");
        assert_eq!(fill(parts(), 28), "grpcurl -plaintext -d '{}' \\\n  host method");
    }

    #[test]
    fn tls_has_the_flags_of_each_client() {
        let tls = TlsArgs {
            tls_ca: Some("ca.pem".into()),
            tls_cert: Some("a.pem".into()),
            tls_key: Some("a-key.pem".into()),
            tls_server_name: Some("gateway".try_into().unwrap()),
        };
        let flags = tls_flags(&tls, ["-cacert", "-cert", "-key", "-servername"]).join(" ");
        assert_eq!(flags, "-cacert ca.pem -cert a.pem -key a-key.pem -servername gateway");
        assert!(tls_flags(&TlsArgs::default(), [""; 4]).is_empty());
    }
}
