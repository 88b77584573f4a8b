//! Where an issuer's keys come from, and when they are fetched again.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use http::Uri;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{http_get, key_set::KeySet};

/// The shortest time between two fetches, whatever asks for them: tokens with made-up keys do.
const MIN_INTERVAL: Duration = Duration::from_secs(5);

/// Where the JWK set of an issuer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At this address.
    Url(Uri),
}

/// Fetches keys, and serves those that it has while it cannot.
#[derive(Debug)]
pub(super) struct KeyFetcher {
    pub(super) uri: Uri,
    /// How often keys are fetched.
    pub(super) interval: Duration,
    /// Asks for another fetch now.
    pub(super) refresh: Arc<Notify>,
    pub(super) keys: watch::Sender<Arc<Option<KeySet>>>,
}

// === impl KeySource ===

impl KeySource {
    /// Returns whether the keys come over a network that can be listened to and changed by others.
    pub(super) fn is_exposed(&self) -> bool {
        let Self::Url(uri) = self else { return false };
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        uri.scheme_str() == Some("http") && !is_loopback
    }
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let uri = text.parse::<Uri>().ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("https" | "http"))
                && uri.host().is_some_and(|host| !host.is_empty())
                // A password would stand in the process list.
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        });
        uri.map(Self::Url).ok_or_else(|| {
            "expected the path of a file, or an address such as https://issuer.example/.well-known/jwks.json".to_owned()
        })
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(uri) => uri.fmt(f),
        }
    }
}

// === impl KeyFetcher ===

impl KeyFetcher {
    /// Fetches the keys now, every interval, and when asked to, but not more often than every five seconds. Never
    /// returns. Cancel safe.
    pub(super) async fn run(self) {
        let min_interval = MIN_INTERVAL.min(self.interval);
        let (mut last, mut is_failing) = (None, false);
        loop {
            let begun = Instant::now();
            match self.fetch(&mut last).await {
                Ok(()) if is_failing => {
                    is_failing = false;
                    tracing::info!(url = %self.uri, "the issuer's keys can be fetched again");
                }
                Ok(()) => {}
                Err(error) if !is_failing => {
                    is_failing = true;
                    let has_keys = self.keys.borrow().is_some();
                    tracing::warn!(url = %self.uri, error, has_keys, "the issuer's keys cannot be fetched: those that are there stay");
                }
                Err(error) => tracing::debug!(url = %self.uri, error, "the issuer's keys cannot be fetched"),
            }
            sleep(min_interval).await;
            // Soon again after a failure: at first there are no keys at all.
            if !is_failing {
                tokio::select! {
                    () = self.refresh.notified() => {}
                    () = sleep_until(begun + self.interval) => {}
                }
            }
        }
    }

    /// Fetches the keys once. Keys that are the same stay, with the tokens that they have verified.
    async fn fetch(&self, last: &mut Option<String>) -> Result<(), String> {
        let text = http_get::get(&self.uri).await.map_err(|error| error.to_string())?;
        if last.as_ref() != Some(&text) {
            let keys = Arc::new(Some(KeySet::parse(&text)?));
            self.keys.send_replace(Arc::clone(&keys));
            if let Some(keys) = &*keys {
                tracing::info!(url = %self.uri, ?keys, "the issuer's keys are in force");
            }
            *last = Some(text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::identity::test_tokens::Signer;

    #[test]
    fn a_source_is_a_file_or_an_address() {
        for (text, is_exposed) in [
            ("jwks.json", false),
            ("/etc/fanout/jwks.json", false),
            ("https://issuer.example/jwks", false),
            ("http://issuer.example/jwks", true),
            ("http://localhost:8080/jwks", false),
            ("http://[::1]/jwks", false),
            ("http://127.0.0.1:1/jwks", false),
        ] {
            let source: KeySource = text.parse().unwrap();
            assert_eq!((source.to_string().as_str(), source.is_exposed()), (text, is_exposed));
        }
        for wrong in ["ftp://x/y", "https://", "https://user:password@x/y", "://"] {
            let error = wrong.parse::<KeySource>().unwrap_err();
            assert!(error.contains("https://issuer.example") && !error.contains("password"), "{error}");
        }
    }

    async fn answer(mut stream: TcpStream, text: &str) {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        stream.write_all(reply.as_bytes()).await.unwrap();
    }

    /// Real time: a clock that is paused runs ahead of sockets.
    #[tokio::test]
    async fn keys_are_fetched_when_asked_for_and_stay_while_they_cannot_be() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let (keys, mut current) = watch::channel(Arc::new(None));
        let refresh = Arc::<Notify>::default();
        let interval = Duration::from_millis(20);
        let fetcher = KeyFetcher { uri, interval, refresh: Arc::clone(&refresh), keys };
        let running = tokio::spawn(fetcher.run());
        let ids = |current: &watch::Receiver<Arc<Option<KeySet>>>| format!("{:?}", current.borrow());
        let serve = async |text: &str| answer(listener.accept().await.unwrap().0, text).await;

        serve("no keys").await;
        serve(&Signer::es256("first").jwks()).await;
        current.changed().await.unwrap();
        assert!(ids(&current).contains("first"));
        for broken in ["", "{}", r#"{"keys":[]}"#] {
            serve(broken).await;
        }
        refresh.notify_one();
        assert!(ids(&current).contains("first"), "stale keys are served");
        serve(&Signer::es256("second").jwks()).await;
        current.changed().await.unwrap();
        assert!(ids(&current).contains("second"));
        running.abort();
    }
}
