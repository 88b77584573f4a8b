//! `fanout up --tls`: what it prints works, and nothing else gets in.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::screen::{CTRL_C, Screen};

/// A `fanout up --tls` on a terminal.
struct Up {
    screen: Screen,
    /// What was shown when all services were up.
    banner: Vec<String>,
    data: TempDir,
}

impl Up {
    async fn start(columns: u16) -> Self {
        Self::start_in(columns, tempfile::tempdir().unwrap()).await
    }

    async fn start_in(columns: u16, data: TempDir) -> Self {
        let args = ["up", "--tls", "--any-port", "--delay", "1ms", "--data-dir", data.path().to_str().unwrap()];
        let mut screen = Screen::start(columns, &args);
        let banner = screen.wait_for_text("Ctrl-C stops them all.").await;
        Self { screen, banner, data }
    }

    fn address(&self, service: &str) -> &str {
        let line = self.banner.iter().find(|line| line.trim_start().starts_with(service)).expect(service);
        line.split_whitespace().nth(1).unwrap()
    }

    /// Returns the words of the command in the banner that contains this word. The terminal breaks long lines, and so does
    /// a backslash.
    fn command(&self, word: &str) -> Vec<String> {
        let begin = self.banner.iter().position(|line| line.starts_with("  ") && line.contains(word)).expect(word);
        let mut words = Vec::new();
        for line in &self.banner[begin..] {
            let continues = line.trim_end().ends_with('\\');
            words.extend(line.trim_end_matches('\\').split_whitespace().map(str::to_owned));
            if !continues {
                break;
            }
        }
        words
    }

    async fn stop(mut self) -> TempDir {
        self.screen.type_keys(CTRL_C).await;
        let ended = self.screen.end().await;
        assert_eq!(ended.code, Some(0), "{}", ended.text());
        self.data
    }
}

fn fanout(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fanout")).args(args).env_remove("FANOUT_GATEWAY").output().unwrap()
}

#[tokio::test]
async fn the_commands_of_the_banner_work() {
    let up = Up::start(200).await;
    let ca = up.data.path().join("tls/ca.pem");
    let users =
        up.banner.iter().find(|line| line.trim_start().starts_with("users ")).expect("the user service was asked");
    assert!(users.contains("ada alan barbara"), "{users}");
    for command in ["compare", "call profile"] {
        let words = up.command(&format!(" {command}"));
        assert_eq!(words[0], env!("CARGO_BIN_EXE_fanout"));
        let output = Command::new(&words[0]).args(&words[1..]).env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
    let grpcurl = up.command("grpcurl").join(" ");
    let expected = format!("grpcurl -cacert {} -d ", ca.display());
    assert!(grpcurl.starts_with(&expected) && grpcurl.contains(up.address("gateway")), "{grpcurl}");
    // Many calls over several connections.
    let url = format!("https://{}", up.address("gateway"));
    let flags = ["--gateway", &url, "--tls-ca", ca.to_str().unwrap(), "--callers", "20", "--requests", "200"];
    let load = fanout(&[&["load", "--json", "--connections", "3"], &flags[..]].concat());
    assert!(load.status.success() && String::from_utf8_lossy(&load.stdout).contains(r#""OK": 200"#), "{load:?}");
    up.stop().await;
}

#[tokio::test]
async fn only_the_gateway_calls_the_others_and_only_with_tls() {
    let up = Up::start(200).await;
    let path = |file: &str| up.data.path().join("tls").join(file).display().to_string();
    for service in ["user-service", "country-service"] {
        let url = format!("https://{}", up.address(service));
        let ask = |flags: &[&str]| {
            let ca = path("ca.pem");
            let output = fanout(&[&["compare", "--gateway", &url, "--tls-ca", &ca], flags].concat());
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let (code, error) = ask(&[]);
        assert!(code == Some(69) && error.contains("(it requires a client certificate)"), "{error}");
        let other = if service == "user-service" { "country-service" } else { "user-service" };
        let (cert, key) = (path(&format!("{other}/tls.crt")), path(&format!("{other}/tls.key")));
        let (code, error) = ask(&["--tls-cert", &cert, "--tls-key", &key]);
        assert!(code == Some(69) && error.contains("(it refuses this caller's certificate)"), "{error}");
        // The gateway's own is allowed, and finds out that it is no gateway.
        let (cert, key) = (path("gateway/tls.crt"), path("gateway/tls.key"));
        let (code, error) = ask(&["--tls-cert", &cert, "--tls-key", &key]);
        assert!(code == Some(69) && error.contains("a gRPC server without fanout.gateway.v1"), "{error}");
    }
    for service in ["gateway", "user-service", "country-service"] {
        let output = fanout(&["compare", "--gateway", up.address(service)]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(69) && error.contains("(it speaks TLS)"), "{service}: {error}");
    }
    up.stop().await;
}

#[tokio::test]
async fn the_authority_outlives_a_restart_unless_it_cannot_sign() {
    let up = Up::start(80).await;
    let read = |data: &TempDir| std::fs::read(data.path().join("tls/ca.pem")).unwrap();
    let before = read(&up.data);
    let data = up.stop().await;
    let up = Up::start_in(80, data).await;
    assert_eq!(read(&up.data), before);
    let data = up.stop().await;
    std::fs::remove_file(data.path().join("tls/ca-key.pem")).unwrap();
    let up = Up::start_in(80, data).await;
    assert_ne!(read(&up.data), before);
    up.stop().await;
}
