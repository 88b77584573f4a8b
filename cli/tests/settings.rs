//! Invalid settings and failures at start: one line on standard error for each, and an exit code that distinguishes them.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{
    net::TcpListener,
    process::{Command, Output},
};

use fanout_cli::services;

/// Runs `fanout` until it ends.
fn fanout(args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fanout")).args(args).envs(env.iter().copied()).output().unwrap()
}

/// Asserts that `fanout` ends with this exit code and one line on standard error that contains all of `named`.
#[track_caller]
fn assert_ends(args: &[&str], env: &[(&str, &str)], code: i32, named: &[&str]) {
    let output = fanout(args, env);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{args:?}: {stderr}");
    for named in named {
        assert!(stderr.contains(named), "{args:?}: {named:?} in {stderr}");
    }
}

#[test]
fn an_invalid_environment_variable_is_named() {
    for (service, variable, value) in [
        ("gateway", "COUNTRY_SERVICE_URL", "nowhere"),
        ("gateway", "GATEWAY_DRAIN", "soon"),
        ("user-service", "USER_SERVICE_DELAY", "61s"),
        ("user-service", "USER_SERVICE_ALLOW_OVERRIDES", "perhaps"),
        ("country-service", "COUNTRY_SERVICE_LISTEN", "localhost"),
    ] {
        assert_ends(&[service], &[(variable, value)], 64, &[variable, value]);
    }
    let grpc_only =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")];
    assert_ends(
        &["gateway", "--listen", "127.0.0.1:0"],
        &grpc_only,
        64,
        &["OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "grpc"],
    );
    let no_scheme = [("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4317")];
    let named = ["OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4317", "http://"];
    assert_ends(&["gateway", "--listen", "127.0.0.1:0"], &no_scheme, 64, &named);
    let listen = ["country-service", "--listen", "127.0.0.1:0"];
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:9");
    let key = "OTEL_EXPORTER_OTLP_CLIENT_KEY";
    for (variable, value, named) in [
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem", "No such file"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/nowhere/ca.pem", "No such file"),
        ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "/nowhere/ca.pem", "No such file"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "Cargo.toml", "no certificate"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "Cargo.toml", key),
        (key, "Cargo.toml", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
    ] {
        assert_ends(&listen, &[collector, (variable, value)], 64, &[variable, value, named]);
    }
    let exporter = ("OTEL_METRICS_EXPORTER", "prometheus");
    let unknown = [("OTEL_METRICS_EXPORTER", "otlp,statsd")];
    assert_ends(&listen, &unknown, 64, &["OTEL_METRICS_EXPORTER", "otlp,statsd", "otlp, prometheus, none"]);
    let port = "OTEL_EXPORTER_PROMETHEUS_PORT";
    assert_ends(&listen, &[exporter, (port, "metrics")], 64, &[port, "metrics", "65535"]);
    let host = [exporter, ("OTEL_EXPORTER_PROMETHEUS_HOST", "no such host")];
    assert_ends(&listen, &host, 64, &["OTEL_EXPORTER_PROMETHEUS_HOST", "no such host", "localhost"]);
    assert_ends(&["up"], &[exporter, (port, "65535")], 64, &[port, "65535", "smaller"]);
}

#[test]
fn an_error_in_a_service_config_is_named_with_its_place() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("service-config.json");
    let path = file.to_str().unwrap();
    let entry = |policy: &str| {
        format!(r#"{{"methodConfig": [{{"name": [{{"service": "fanout.user.v1.UserService"}}], {policy}}}]}}"#)
    };
    for (text, named) in [
        (entry(r#""retryPolicy": {"maxAttempts": 1}"#), &["methodConfig[0].retryPolicy.maxAttempts", "2 or more"][..]),
        (entry(r#""timeout": "soon""#), &["methodConfig[0].timeout", "soon", "1.5s"]),
        (entry(r#""patience": 3"#), &["methodConfig[0]", "patience"]),
        (entry(r#""timeout": "1s""#).replace("UserService", "Users"), &["methodConfig.name.service", "UserService"]),
        ("retries: 3".to_owned(), &["the document"]),
    ] {
        std::fs::write(&file, text).unwrap();
        let named: Vec<_> = named.iter().copied().chain([path, "--service-config", "GATEWAY_SERVICE_CONFIG"]).collect();
        assert_ends(&["gateway", "--service-config", path], &[], 64, &named);
        assert_ends(&["gateway"], &[("GATEWAY_SERVICE_CONFIG", path)], 64, &named);
    }
    std::fs::remove_file(&file).unwrap();
    assert_ends(&["gateway", "--service-config", path], &[], 64, &[path, "No such file"]);
}

#[test]
fn a_password_is_not_repeated() {
    let output = fanout(&["user-service"], &[("DATABASE_URL", "mysql://ada:hunter2@db/users")]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("DATABASE_URL") && !stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn a_header_for_the_collector_is_not_repeated() {
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    for variable in
        ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"]
    {
        for (value, named) in [("a=1,hunter2", "entry 2"), ("api-key=hunter2%00", "api-key")] {
            let output = fanout(&["country-service", "--listen", "127.0.0.1:0"], &[collector, (variable, value)]);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(64), "{stderr}");
            assert!(stderr.contains(variable) && stderr.contains(named) && !stderr.contains("hunter2"), "{stderr}");
        }
    }
    let url = [("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://ada:hunter2@collector:4317")];
    let output = fanout(&["country-service", "--listen", "127.0.0.1:0"], &url);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("collector:4317") && !stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_ends(&["country-service", "--listen", &address], &[], 1, &["country-service", &address, "in use"]);
    let port = taken.local_addr().unwrap().port().to_string();
    let others: Vec<_> = services::backends().map(|backend| format!("--port={}=0", backend.name)).collect();
    let mut up = vec!["up", "--gateway-port", &port];
    up.extend(others.iter().map(String::as_str));
    assert_ends(&up, &[], 1, &["gateway", &port, "in use", "--gateway-port"]);
    let view = ["view", "--listen", &address];
    assert_ends(&view, &[], 1, &["cannot listen on", &address, "for the page", "in use", "--listen"]);
    let view = ["view", "--listen", "127.0.0.1:0", "--otlp-grpc", &address];
    assert_ends(&view, &[], 1, &["cannot listen on", &address, "OTLP over gRPC", "in use", "--otlp-grpc"]);
    let up = ["up", "--any-port", "--view-port", &port];
    assert_ends(&up, &[], 1, &["view", &port, "in use", "--view-port"]);
    let metrics = [("OTEL_METRICS_EXPORTER", "prometheus"), ("OTEL_EXPORTER_PROMETHEUS_PORT", &*port)];
    let named = [&address, "in use", "metrics", "OTEL_EXPORTER_PROMETHEUS_PORT"];
    assert_ends(&["country-service", "--listen", "127.0.0.1:0"], &metrics, 1, &named);
}

#[test]
fn an_unusable_database_ends_the_service() {
    let data = tempfile::tempdir().unwrap();
    let garbage = data.path().join("garbage.db");
    std::fs::write(&garbage, "this is no database, and it is long enough to be one of its headers, or two of them")
        .unwrap();
    let url = format!("sqlite:{}", garbage.display());
    let output = fanout(&["user-service", "--listen", "127.0.0.1:0", "--database", &url], &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("garbage.db") && stderr.contains("not a database"), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
}

#[test]
fn help_and_version_are_not_errors() {
    for args in
        [&["--help"][..], &["--version"], &["up", "--help"], &["gateway", "--help"], &["user-service", "--version"]]
    {
        let output = fanout(args, &[]);
        assert!(output.status.success() && !output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}
