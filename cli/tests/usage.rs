//! What `fanout` prints when it is called without a command, with a wrong one, with a bad flag or for help.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod screen;

use std::process::Command;

use screen::Screen;

/// Bad command lines, each with the whole line that is printed for it: what is wrong, what was given, and once, at the
/// end, what is allowed or meant.
const ERRORS: &[(&[&str], &str)] = &[
    (&["compar"], "fanout: unknown command 'compar'; did you mean 'compare'?"),
    (&["--gateway"], "fanout: unknown flag '--gateway': --help lists what there is"),
    (&["compare", "--tiemout", "1s"], "fanout: unknown flag '--tiemout'; did you mean '--timeout'?"),
    (&["analyze"], "fanout: missing '<FILE>...': --help says what it is"),
    (
        &["analyze", "a.json", "--max-avoidable", "much"],
        "fanout: invalid value 'much' for '--max-avoidable <TIME>': expected a time such as 100ms or 1.5s",
    ),
    (
        &["analyze", "a.json", "--trace", "xyz"],
        "fanout: invalid value 'xyz' for '--trace <ID>': expected 1 to 32 hexadecimal digits",
    ),
    (
        &["analyze", "a.json", "--format", "xml"],
        "fanout: invalid value 'xml' for '--format <FORMAT>': expected text, json, github or junit",
    ),
    (
        &["analyze", "a.json", "--limit", "0"],
        "fanout: invalid value '0' for '--limit <N>': expected a whole number from 1 to 1000000",
    ),
    (&["compare", "ada"], "fanout: unknown argument 'ada': --help lists what there is"),
    (
        &["compare", "--method", "get-profil"],
        "fanout: invalid value 'get-profil' for '--method <METHOD>': expected get-profile or get-home-country; \
         did you mean 'get-profile'?",
    ),
    (
        &["compare", "--timeout", "soon"],
        "fanout: invalid value 'soon' for '--timeout <TIME>': expected a time above 0 and at most 24h, such as 500ms, 30s or 2m",
    ),
    (
        &["compare", "--timeout", "25h"],
        "fanout: invalid value '25h' for '--timeout <TIME>': expected a time above 0 and at most 24h, such as 500ms, 30s or 2m",
    ),
    (
        &["compare", "--gateway", "a b"],
        "fanout: invalid value 'a b' for '--gateway <URL>' or FANOUT_GATEWAY: \
         expected http://HOST:PORT, https://HOST:PORT, HOST:PORT or a PORT of this machine, such as 50051",
    ),
    (
        &["compare", "--tls-ca", "ca.pem"],
        "fanout: --tls-ca is given, and http://127.0.0.1:50051 is without TLS: expected --gateway https://HOST:PORT",
    ),
    (
        &["load", "--gateway", "https://127.0.0.1:1", "--tls-ca", "/nowhere/ca.pem"],
        "fanout: invalid value '/nowhere/ca.pem' for '--tls-ca <FILE>': no such file: \
         expected a PEM file with the certificates of authorities (BEGIN CERTIFICATE)",
    ),
    (&["compare", "--tls-cert", "a.pem"], "fanout: missing '--tls-key <FILE>': --help says what it is"),
    (
        &["compare", "--tls-server-name", "a b"],
        "fanout: invalid value 'a b' for '--tls-server-name <NAME>': expected a host name such as gateway.example.com, \
         or an IP address",
    ),
    (
        &["compare", "--gateway", "0"],
        "fanout: invalid value '0' for '--gateway <URL>' or FANOUT_GATEWAY: expected a port from 1 to 65535",
    ),
    (
        &["compare", "--user", "Ada"],
        "fanout: invalid value 'Ada' for '--user <ID>': holds 'A' in \"Ada\": expected 1 to 64 characters: \
         lower-case letters, digits, '-' and '_', the first a letter or a digit",
    ),
    (
        &["up", "--drain", "soon"],
        "fanout: invalid value 'soon' for '--drain <DURATION>': expected a time with its unit, such as 500ms, 30s or 2m",
    ),
    (
        &["up", "--any-port", "--user-port", "50062"],
        "fanout: the argument '--any-port' cannot be used with '--user-port <PORT>'",
    ),
    (
        &["load", "--requests", "x"],
        "fanout: invalid value 'x' for '--requests <N>': expected a whole number from 1 to 1000000000",
    ),
    (
        &["load", "--callers", "0"],
        "fanout: invalid value '0' for '--callers <N>': expected a whole number from 1 to 100000",
    ),
    (
        &["load", "--rate", "0"],
        "fanout: invalid value '0' for '--rate <PER_SECOND>': expected requests a second, from 0.001 to 1000000",
    ),
    (
        &["load", "--rate", "1", "--callers", "2"],
        "fanout: the argument '--rate <PER_SECOND>' cannot be used with '--callers <N>'",
    ),
    (
        &["up", "--gateway-port", "70000"],
        "fanout: invalid value '70000' for '--gateway-port <PORT>': expected a whole number from 0 to 65535",
    ),
    (
        &["up", "--port", "nowhere=0"],
        "fanout: invalid value 'nowhere=0' for '--port <SERVICE=PORT>': unknown service 'nowhere': \
         expected one of gateway, user-service, country-service",
    ),
    (
        &["compare", "--strategy", "all"],
        "fanout: invalid value 'all' for '--strategy <STRATEGY,…>': expected sequential, concurrent or spawned",
    ),
    (
        &["compare", "--baggage", "x"],
        "fanout: invalid value 'x' for '--baggage <KEY=VALUE>': expected KEY=VALUE, such as user.delay=500ms",
    ),
    (&["load", "--max-in-flight", "3"], "fanout: missing '--rate <PER_SECOND>': --help says what it is"),
    (&["call", "profile"], "fanout: missing '<USER>...': --help says what it is"),
    (&["call", "profile", "ada", "grace"], "fanout: 2 users are given: expected one, or `call users` for several"),
    (
        &["call", "profil", "ada"],
        "fanout: invalid value 'profil' for '<METHOD>': expected profile, home-country or users; did you mean 'profile'?",
    ),
    (
        &["call", "profile", "ada", "--api-key-file", "/dev/null"],
        "fanout: invalid value '/dev/null' for '--api-key-file <FILE>': expected an API key as `fanout key new` prints it, or a \
         token, and nothing else",
    ),
    (
        &["key", "new", "a b", "--file", "keys"],
        "fanout: invalid value 'a b' for '<NAME>': expected a name of 1 to 64 characters: letters, digits, '-', '_' and '.'",
    ),
    (&["key", "new", "reports"], "fanout: missing '--file <FILE>': --help says what it is"),
    (
        &["gateway", "--jwt-jwks", "ftp://x", "--jwt-issuer", "x", "--jwt-audience", "y"],
        "gateway: invalid value 'ftp://x' for '--jwt-jwks <FILE|URL>' or GATEWAY_JWT_JWKS: expected the path of a file, or an \
         address such as https://issuer.example/.well-known/jwks.json",
    ),
    (
        &["completions", "tcsh"],
        "fanout: invalid value 'tcsh' for '<SHELL>': expected bash, elvish, fish, powershell, zsh or man; did you mean 'zsh'?",
    ),
    (
        &["view", "--max-memory", "1MiB"],
        "fanout: invalid value '1MiB' for '--max-memory <SIZE>': expected 8MiB to 64GiB, such as 256MiB or 1GB",
    ),
    (
        &["view", "--forward", "jaeger:4317"],
        "fanout: invalid value 'jaeger:4317' for '--forward <URL>': expected http://HOST:PORT, such as http://127.0.0.1:14317",
    ),
    (
        &["view", "--tls-ca", "ca.pem"],
        "fanout: there is a flag for TLS with a gateway, and no gateway: expected --gateway https://HOST:PORT",
    ),
    (
        &["up", "--no-view", "--view-port", "1"],
        "fanout: the argument '--no-view' cannot be used with '--view-port <PORT>'",
    ),
    (&["certs"], "fanout: missing '<DIRECTORY>': --help says what it is"),
    (
        &["certs", "x", "--days", "0"],
        "fanout: invalid value '0' for '--days <N>': expected a whole number from 1 to 365",
    ),
    (
        &["certs", "x", "--host", "gatway=api.example.com"],
        "fanout: invalid value 'gatway=api.example.com' for '--host <SERVICE=NAME>': unknown service 'gatway': \
         expected one of gateway, user-service, country-service",
    ),
    (
        &["certs", "x", "--host", "gateway=a b"],
        "fanout: invalid value 'gateway=a b' for '--host <SERVICE=NAME>': invalid name 'a b': expected a host name such as \
         api.example.com, or an IP address",
    ),
    (
        &["certs", "x", "--client", "gateway"],
        "fanout: invalid value 'gateway' for '--client <NAME>': a service has that name: expected another one",
    ),
    (
        &["certs", "x", "--namespace", "My Shop"],
        "fanout: invalid value 'My Shop' for '--namespace <NAME>': expected 1 to 63 lower-case letters, digits and '-', \
         the first and last not '-'",
    ),
    (&["up", "--log-format", "xml"], "fanout: invalid value 'xml' for '--log-format <FORMAT>': expected text or json"),
    (
        &["up", "--log", "loud"],
        "fanout: invalid value 'loud' for '--log <FILTER>': \"loud\" is neither a level nor a directive: \
         expected error, warn, info, debug, trace or off, or directives such as info,h2=debug",
    ),
    (
        &["up", "--delay", "2m"],
        "fanout: invalid value '2m' for '--delay <DELAY>': it is too long: expected 0, a time such as 300ms, mean and \
         standard deviation as 300ms±30ms or 300ms+-30ms, or percentiles as p50=20ms,p99=200ms; at most 60s",
    ),
    (
        &["compare", "--delay", "user=1s,country=soon"],
        "fanout: invalid value 'user=1s,country=soon' for '--delay <DELAY>': 'soon': it is no time: expected 0, a time such \
         as 300ms, mean and standard deviation as 300ms±30ms or 300ms+-30ms, or percentiles as p50=20ms,p99=200ms; \
         at most 60s, and for single backends user=500ms,country=1s",
    ),
    (
        &["gateway", "--listen", "50051"],
        "gateway: invalid value '50051' for '--listen <ADDRESS>' or GATEWAY_LISTEN: \
         expected an IP address with a port, such as 127.0.0.1:50051 or [::]:50051, or stdin",
    ),
    (
        &["gateway", "--user-service", "users:1"],
        "gateway: invalid value 'users:1' for '--user-service <URL>' or USER_SERVICE_URL: \"users:1\" has no http:// \
         or https:// with a host: expected http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:50052",
    ),
    (
        &["gateway", "--deadline", "0"],
        "gateway: invalid value '0' for '--deadline <DURATION>' or GATEWAY_DEADLINE: \
         expected a time above 0 with its unit, such as 500ms, 30s or 2m",
    ),
    (
        &["gateway", "--drain", "soon"],
        "gateway: invalid value 'soon' for '--drain <DURATION>' or GATEWAY_DRAIN: \
         expected a time with its unit, such as 500ms, 30s or 2m",
    ),
    (
        &["gateway", "--threads", "0"],
        "gateway: invalid value '0' for '--threads <N>' or GATEWAY_THREADS: expected a whole number from 1 to 1024",
    ),
    (
        &["gateway", "--max-share", "25"],
        "gateway: invalid value '25' for '--max-share <PERCENT>' or GATEWAY_MAX_SHARE: \
         expected a whole percentage from 1% to 100%, such as 25%",
    ),
    (
        &["gateway", "--rate-limit", "100"],
        "gateway: invalid value '100' for '--rate-limit <RATE>' or GATEWAY_RATE_LIMIT: \
         expected 1/s to 1000000/s, such as 100/s, or off",
    ),
    (
        &["gateway", "--rate-limit-burst", "0"],
        "gateway: invalid value '0' for '--rate-limit-burst <N>' or GATEWAY_RATE_LIMIT_BURST: \
         expected a whole number from 1 to 1000000",
    ),
    (
        &["gateway", "--retries", "11"],
        "gateway: invalid value '11' for '--retries <N>' or GATEWAY_RETRIES: expected a whole number from 0 to 10",
    ),
    (
        &["gateway", "--hedge-budget", "5"],
        "gateway: invalid value '5' for '--hedge-budget <PERCENT>' or GATEWAY_HEDGE_BUDGET: expected a percentage from 0% to 100%, such as 20%",
    ),
    (
        &["gateway", "--coalesce", "usr"],
        "gateway: invalid value 'usr' for '--coalesce <BACKEND>' or GATEWAY_COALESCE: expected none, user or country; did you mean 'user'?",
    ),
    (
        &["gateway", "--hedge", "p0"],
        "gateway: invalid value 'p0' for '--hedge <WHEN>' or GATEWAY_HEDGE: a percentile is between p1 and p99.9: expected off, a delay such as 50ms, or a percentile such as p95",
    ),
    (
        &["gateway", "--listen", "0.0.0.0:0"],
        "gateway: invalid value '0.0.0.0:0' for '--listen <ADDRESS>' or GATEWAY_LISTEN: other machines can reach it, and nothing \
         is encrypted: expected --tls-cert and --tls-key too, or --insecure if that is meant",
    ),
    (&["gateway", "--tls-cert", "a.pem"], "gateway: missing '--tls-key <FILE>': --help says what it is"),
    (
        &["gateway", "--tls-cert", "/nowhere/tls.crt", "--tls-key", "/nowhere/tls.key", "--listen", "127.0.0.1:0"],
        "gateway: invalid value '/nowhere/tls.crt' for '--tls-cert <FILE>' or GATEWAY_TLS_CERT: no such file: \
         expected a PEM file with a certificate, then its intermediates (BEGIN CERTIFICATE)",
    ),
    (
        &["gateway", "--user-service", "https://users:1", "--tls-ca", "/nowhere/ca.crt", "--listen", "127.0.0.1:0"],
        "gateway: invalid value '/nowhere/ca.crt' for '--tls-ca <FILE>' or GATEWAY_TLS_CA: no such file: \
         expected a PEM file with the certificates of authorities (BEGIN CERTIFICATE)",
    ),
    (
        &["gateway", "--allow-client", "a b", "--tls-client-ca", "ca.pem", "--tls-cert", "a.pem", "--tls-key", "a.key"],
        "gateway: invalid value 'a b' for '--allow-client <NAME>' or GATEWAY_ALLOW_CLIENT: expected a SPIFFE ID or other URI \
         such as spiffe://example.org/gateway, or a DNS name such as gateway.example.org",
    ),
    (
        &["gateway", "--client-certificate-identity"],
        "gateway: missing '--tls-cert <FILE>' and '--tls-key <FILE>' and '--tls-client-ca <FILE>': --help says what it is",
    ),
    (&["gateway", "--zzz"], "gateway: unknown flag '--zzz': --help lists what there is"),
    (
        &["user-service", "--database", "mysql://ada:hunter2@db"],
        "user-service: invalid value '...' for '--database <URL>' or DATABASE_URL: starts with \"mysql:\": \
         expected \"sqlite:PATH\" or \"postgres://USER:PASSWORD@HOST:PORT/DATABASE\"",
    ),
    (
        &["country-service", "--error-rate", "2"],
        "country-service: invalid value '2' for '--error-rate <RATE>' or COUNTRY_SERVICE_ERROR_RATE: expected 0 to 1, such as 0.05, or 0% to 100%, such as 5%",
    ),
    (
        &["country-service", "--capacity", "0"],
        "country-service: invalid value '0' for '--capacity <N>' or COUNTRY_SERVICE_CAPACITY: expected a whole number from 1 to 1000000",
    ),
];

#[test]
fn a_bad_command_line_is_one_line_and_exit_code_64() {
    for (args, expected) in ERRORS {
        let output = Command::new(env!("CARGO_BIN_EXE_fanout")).args(*args).output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("{expected}\n"), "{args:?}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{args:?}");
        assert!(expected.matches("expected").count() <= 1, "what is allowed is said once: {expected}");
    }
}

#[tokio::test]
async fn fanout_alone_shows_its_commands_and_how_to_begin() {
    for columns in [80, 120] {
        let ended = Screen::start(columns, &[]).end().await;
        assert_eq!(ended.code, Some(64));
        for line in ["Usage: fanout <COMMAND>", "Commands:", "Begin with:"] {
            assert!(ended.lines.iter().any(|shown| shown == line), "{line} in\n{}", ended.text());
        }
        for first_step in ["up", "compare", "call profile ada"] {
            let words = format!("{} {first_step} ", env!("CARGO_BIN_EXE_fanout"));
            assert!(ended.text().replace('\n', " ").contains(&words), "{words} in\n{}", ended.text());
        }
    }
}

#[tokio::test]
async fn the_help_names_every_command() {
    for columns in [80, 120] {
        let ended = Screen::start(columns, &["--help"]).end().await;
        assert_eq!(ended.code, Some(0));
        for command in [
            "up",
            "compare",
            "call",
            "load",
            "analyze",
            "view",
            "certs",
            "key",
            "completions",
            "gateway",
            "user-service",
            "country-service",
        ] {
            let is_its_line = |line: &String| line.split_whitespace().next() == Some(command);
            assert!(ended.lines.iter().any(is_its_line), "{command} in\n{}", ended.text());
        }
    }
}
