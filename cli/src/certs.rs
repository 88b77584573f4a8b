//! `fanout certs`: an authority, and a certificate for each service and client.
//!
//! A directory has the authority (`ca.pem`, `ca-key.pem`), and in a directory for each service and client what that needs
//! and nothing else: `tls.crt`, `tls.key` and `ca.crt`, as in a secret of cert-manager. Each run makes new certificates with
//! new keys; the authority stays the same until it is replaced with `--force`.
//!
//! # Layout
//!
//! * [`args`], [`error`]: the flags, and what can go wrong.
//! * [`identity`]: whom a certificate is for: its SPIFFE id, its host names, its addresses.
//! * `authority`: signs certificates.
//! * `directory`: the files, which are replaced as a whole.
//! * `summary`: what was made and what to do with it, for people and as JSON.

pub mod args;
mod authority;
mod directory;
pub mod error;
pub mod identity;
mod summary;

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

pub use self::{args::CertsArgs, error::CertsError};
use self::{authority::Authority, directory::Directory, identity::Identity, summary::Summary};
use crate::{services::SERVICES, terminal::stdout};

/// A certificate and its key, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Whose certificate it is, such as `gateway`.
    pub name: String,
    /// The certificate in PEM.
    pub certificate: PathBuf,
    /// The private key in PEM, which only its owner can read.
    pub key: PathBuf,
    /// The names that the certificate proves.
    pub names: Vec<String>,
    /// When it expires.
    pub not_after: SystemTime,
}

/// What a run has made.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The authority's certificate, or several of them: what a caller has to trust.
    pub authority: PathBuf,
    /// Whether the authority is new.
    pub is_new_authority: bool,
    /// When the authority expires.
    pub authority_not_after: SystemTime,
    /// The certificates, in the order of their identities.
    pub certificates: Vec<CertificateFiles>,
}

/// Runs the command: makes the certificates, and prints what was made.
///
/// # Errors
///
/// Returns an error if the directory holds what was not made here, or cannot be written: see [`CertsError`].
pub fn certs(args: &CertsArgs) -> Result<(), CertsError> {
    let services =
        SERVICES.iter().map(|service| Identity::service(service.name, &args.namespace, args.hosts_of(service)));
    let identities: Vec<_> = services.chain(args.client.iter().map(|name| Identity::client(name.as_str()))).collect();
    let issued = issue(&args.directory, &identities, args.validity(), args.force)?;
    let summary = Summary { args, issued: &issued };
    let text = if args.output.json { summary.json() } else { summary.text(args.output.terminal()) };
    stdout::print(&text).map_err(CertsError::Output)
}

/// Makes a certificate for each identity, signed by the authority of the directory. Makes the authority first if there is
/// none, or if `replace` says so.
///
/// No certificate outlives the authority. Files are replaced as a whole, a key before its certificate: a reader between
/// the two finds a pair that does not match, and has to read again.
///
/// # Errors
///
/// Returns an error if the directory cannot be written, if its authority cannot sign, or, without `replace`, if a file
/// that would be replaced was not made by it.
pub fn issue(path: &Path, identities: &[Identity], validity: Duration, replace: bool) -> Result<Issued, CertsError> {
    let now = SystemTime::now();
    let directory = Directory::create(path)?;
    let known = if replace { None } else { Authority::load(&directory)? };
    if !replace {
        for Identity { name, .. } in identities {
            directory.check_replaceable(name, known.as_ref())?;
        }
    }
    let is_new_authority = known.is_none();
    let authority = match known {
        Some(authority) => authority.valid_at(now)?,
        None => Authority::make(&directory, now)?,
    };
    let certificates = identities.iter().map(|identity| authority.issue(&directory, identity, now, validity));
    let certificates = certificates.collect::<Result<_, _>>()?;
    Ok(Issued {
        authority: directory.authority(),
        is_new_authority,
        authority_not_after: authority.not_after(),
        certificates,
    })
}
