//! Signs certificates.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType,
};
use x509_parser::{certificate::X509Certificate, pem::Pem};

use crate::certs::{
    CertificateFiles,
    directory::{Directory, Files},
    error::CertsError,
    identity::Identity,
};

/// How long a new authority is valid.
const AUTHORITY_VALIDITY: Duration = Duration::from_hours(3650 * 24);

/// How far the clock of whoever checks a new certificate may be behind.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// Signs certificates with the key in its directory.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    not_after: SystemTime,
    /// The certificates in its file: its own, and those of authorities before it that are still trusted.
    trusted: Vec<Pem>,
    /// The same as the file has them.
    pem: String,
    path: PathBuf,
}

// === impl Authority ===

impl Authority {
    /// Makes an authority and writes it into the directory.
    pub(super) fn make(directory: &Directory, now: SystemTime) -> Result<Self, CertsError> {
        let key = new_key()?;
        let mut params = params("fanout certificate authority", now, now + AUTHORITY_VALIDITY);
        // It signs no other authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        directory.write_authority(&certificate.pem(), &key.serialize_pem())?;
        Self::load(directory)?.ok_or_else(|| rcgen::Error::CouldNotParseCertificate.into())
    }

    /// Reads the authority of the directory, or returns `None` if it has none.
    pub(super) fn load(directory: &Directory) -> Result<Option<Self>, CertsError> {
        let (path, key_path) = (directory.authority(), directory.authority_key());
        let (certificates, key) = match (Directory::read(&path)?, Directory::read(&key_path)?) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(CertsError::Incomplete { present: path, missing: key_path }),
            (None, Some(_)) => return Err(CertsError::Incomplete { present: key_path, missing: path }),
            (Some(certificates), Some(key)) => (certificates, key),
        };
        let no_key = || CertsError::Malformed { path: key_path.clone(), expected: "private key in PEM" };
        let no_certificate = || CertsError::Malformed { path: path.clone(), expected: "certificate in PEM" };
        let key = String::from_utf8(key).ok().and_then(|pem| KeyPair::from_pem(&pem).ok()).ok_or_else(no_key)?;
        let trusted: Vec<Pem> =
            Pem::iter_from_buffer(&certificates).collect::<Result<_, _>>().map_err(|_| no_certificate())?;
        let public_key = key.subject_public_key_info();
        let mut own = None;
        for pem in &trusted {
            let certificate = pem.parse_x509().map_err(|_| no_certificate())?;
            if certificate.public_key().raw == public_key {
                own = Some((pem.contents.clone(), not_after(&certificate)));
            }
        }
        if trusted.is_empty() {
            return Err(no_certificate());
        }
        let Some((own, not_after)) = own else {
            return Err(CertsError::OtherKey { key: key_path, certificate: path });
        };
        let pem = String::from_utf8_lossy(&certificates).into_owned();
        let issuer = Issuer::from_ca_cert_der(&own.into(), key)?;
        Ok(Some(Self { issuer, not_after, trusted, pem, path }))
    }

    /// Returns the authority unless it has expired.
    pub(super) fn valid_at(self, now: SystemTime) -> Result<Self, CertsError> {
        if self.not_after <= now {
            let at = humantime::format_rfc3339_seconds(self.not_after).to_string();
            return Err(CertsError::Expired { path: self.path, at });
        }
        Ok(self)
    }

    /// Returns when it expires.
    pub(super) fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Returns whether the authority, or one before it that is still trusted, has signed this certificate in PEM.
    pub(super) fn has_signed(&self, pem: &[u8]) -> bool {
        let Some(Ok(pem)) = Pem::iter_from_buffer(pem).next() else { return false };
        let Ok(certificate) = pem.parse_x509() else { return false };
        self.trusted.iter().filter_map(|trusted| trusted.parse_x509().ok()).any(|trusted| {
            trusted.subject().as_raw() == certificate.issuer().as_raw()
                && certificate.verify_signature(Some(trusted.public_key())).is_ok()
        })
    }

    /// Makes a certificate with a new key, and writes both. It does not outlive the authority.
    pub(super) fn issue(
        &self,
        directory: &Directory,
        identity: &Identity,
        now: SystemTime,
        validity: Duration,
    ) -> Result<CertificateFiles, CertsError> {
        let key = new_key()?;
        let not_after = (now + validity).min(self.not_after);
        let certificate = self.sign(identity, &key, now, not_after)?;
        directory.write(&identity.name, &self.pem, &key.serialize_pem(), &certificate.pem())?;
        let Files { certificate, key, .. } = directory.files(&identity.name);
        Ok(CertificateFiles { name: identity.name.clone(), certificate, key, names: identity.names(), not_after })
    }

    fn sign(
        &self,
        identity: &Identity,
        key: &KeyPair,
        now: SystemTime,
        not_after: SystemTime,
    ) -> Result<Certificate, rcgen::Error> {
        let mut params = params(&identity.name, now, not_after);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A service is a client too: the gateway of its backends, each of itself when it checks its health.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if identity.is_server() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names.push(SanType::URI(identity.spiffe_id().try_into()?));
        for host in &identity.hosts {
            params.subject_alt_names.push(SanType::DnsName(host.as_str().try_into()?));
        }
        params.subject_alt_names.extend(identity.addresses.iter().copied().map(SanType::IpAddress));
        params.signed_by(key, &self.issuer)
    }
}

/// Returns the parameters that all certificates share.
fn params(name: &str, now: SystemTime, not_after: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "fanout");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = not_after.into();
    params
}

fn new_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
}

fn not_after(certificate: &X509Certificate<'_>) -> SystemTime {
    // A time before 1970 has expired like 1970 itself.
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
