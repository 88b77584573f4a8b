//! What the flags describe, as it runs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use opentelemetry::metrics::Meter;
use rpc_layers::{
    identity::{self, AuditLevel, AuthenticateLayer, Policy},
    trace::KnownMethods,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::interval,
};

use super::{
    api_keys::ApiKeys, checker::Checker, key_set::KeySet, key_source::KeyFetcher, key_source::KeySource, tokens::Tokens,
};
use crate::{
    settings::IdentityArgs,
    watched_file::{FileError, WatchedFile, WatchedFiles},
};

/// How often the audit log says how many refused requests it has left out.
const AUDIT_INTERVAL: Duration = Duration::from_secs(1);

/// Who may call a server's services, and the tasks that keep it up to date. They end when this is dropped.
///
/// [`default`](Self::default) lets everybody call everything.
#[derive(Debug, Default)]
pub struct Authentication {
    pub(crate) layer: AuthenticateLayer,
    _tasks: JoinSet<()>,
}

/// The reason why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// A file cannot be used.
    #[error("{flag} {error}")]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// What is wrong.
        #[source]
        error: FileError,
    },
    /// There is a policy, and no way for a caller to have an identity.
    #[error(
        "--policy needs --api-keys, --jwt-issuer or --client-certificate-identity: without them nobody has an identity"
    )]
    PolicyOnly,
}

// === impl Authentication ===

impl Authentication {
    /// Starts what the flags describe, for a server with these descriptors (an encoded
    /// `google.protobuf.FileDescriptorSet`) that listens at `address`. Has to be called in a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be used, or the flags contradict each other. Keys that cannot be fetched are no
    /// error: tokens are answered with UNAVAILABLE until they can.
    pub fn start(
        args: &IdentityArgs,
        descriptors: &[u8],
        address: Option<SocketAddr>,
        meter: Option<&Meter>,
    ) -> Result<Self, AuthenticationError> {
        // The server returns the error if the descriptors cannot be decoded.
        let methods = KnownMethods::decode(descriptors).unwrap_or_default();
        let (mut files, mut tasks) = (WatchedFiles::default(), JoinSet::new());
        let checker = checker(args, &mut files, &mut tasks)?;
        let policy = policy(args, &methods, &mut files)?;
        let is_on = checker.is_on();
        if policy.is_some() && !is_on {
            return Err(AuthenticationError::PolicyOnly);
        }
        let trust_anonymous = args.trust_anonymous(is_on, address);
        if !is_on && trust_anonymous {
            return Ok(Self::default());
        }
        if !is_on {
            tracing::info!(
                "callers have no identity: their baggage is not passed on, and their traces are not continued"
            );
        }
        let settings = identity::Authentication {
            credentials: if is_on { Some(Arc::new(checker)) } else { None },
            policy,
            trust_anonymous,
            audit: if is_on { args.audit.into() } else { AuditLevel::Off },
        };
        let layer = AuthenticateLayer::new(settings, methods, meter);
        if !files.is_empty() {
            tasks.spawn(files.keep_current());
        }
        tasks.spawn(flush_audit(layer.clone()));
        Ok(Self { layer, _tasks: tasks })
    }
}

fn checker(
    args: &IdentityArgs,
    files: &mut WatchedFiles,
    tasks: &mut JoinSet<()>,
) -> Result<Checker, AuthenticationError> {
    let mut checker = Checker { certificates: args.client_certificate_identity, ..Checker::default() };
    if let Some(path) = &args.api_keys {
        let error = |error| AuthenticationError::File { flag: "--api-keys", error };
        let file = WatchedFile::read(path, ApiKeys::parse).map_err(error)?;
        checker.api_keys = Some(file.contents());
        files.add(file);
    }
    if let (Some(issuer), Some(audience), Some(source)) = (&args.jwt_issuer, &args.jwt_audience, &args.jwt_jwks) {
        let refresh = Arc::<Notify>::default();
        let keys = match source {
            KeySource::File(path) => {
                let error = |error| AuthenticationError::File { flag: "--jwt-jwks", error };
                let file = WatchedFile::read(path, |text| KeySet::parse(text).map(Some)).map_err(error)?;
                let keys = file.contents();
                files.add(file);
                keys
            }
            KeySource::Url(uri) => {
                if source.is_exposed() {
                    tracing::warn!(url = %uri, "the issuer's keys come without TLS: who changes them on the way can sign tokens");
                }
                let (sender, keys) = watch::channel(Arc::new(None));
                let fetcher = KeyFetcher {
                    uri: uri.clone(),
                    interval: args.jwt_jwks_refresh,
                    refresh: Arc::clone(&refresh),
                    keys: sender,
                };
                tasks.spawn(fetcher.run());
                keys
            }
        };
        checker.tokens = Some(Tokens::new(issuer, audience, keys, refresh));
    }
    Ok(checker)
}

fn policy(
    args: &IdentityArgs,
    methods: &KnownMethods,
    files: &mut WatchedFiles,
) -> Result<Option<watch::Receiver<Arc<Policy>>>, AuthenticationError> {
    let Some(path) = &args.policy else { return Ok(None) };
    let methods = methods.clone();
    let parse = move |text: &str| Policy::parse(text, &methods).map_err(|error| error.to_string());
    let file = WatchedFile::read(path, parse).map_err(|error| AuthenticationError::File { flag: "--policy", error })?;
    let policy = file.contents();
    files.add(file);
    Ok(Some(policy))
}

async fn flush_audit(layer: AuthenticateLayer) {
    let mut ticks = interval(AUDIT_INTERVAL);
    loop {
        ticks.tick().await;
        layer.flush_audit();
    }
}
