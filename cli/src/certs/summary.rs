//! What was made, and what to do with it.

use std::{fmt::Write as _, path::Path, time::SystemTime};

use serde_json::json;

use crate::{
    certs::{CertificateFiles, Issued, args::CertsArgs, identity::spiffe_id},
    services::{Kind, SERVICES, Service, backends},
    terminal::{
        capabilities::Terminal,
        program,
        shell::{command_line, word},
        style::Role,
        text_layout::{pad, width, wrap},
    },
};

/// The message that all certificates are made.
pub(super) struct Summary<'a> {
    pub(super) args: &'a CertsArgs,
    pub(super) issued: &'a Issued,
}

// === impl Summary ===

impl Summary<'_> {
    /// Returns the message as one document of JSON.
    pub(super) fn json(&self) -> String {
        let certificates = self.issued.certificates.iter().map(|made| {
            json!({
                "name": made.name,
                "certificate": made.certificate,
                "key": made.key,
                "names": made.names,
                "not_after": time(made.not_after),
            })
        });
        let document = json!({
            "authority": {
                "certificate": self.issued.authority,
                "not_after": time(self.issued.authority_not_after),
                "new": self.issued.is_new_authority,
            },
            "certificates": certificates.collect::<Vec<_>>(),
        });
        format!("{document:#}\n")
    }

    /// Returns the message for people.
    pub(super) fn text(&self, terminal: Terminal) -> String {
        let Terminal { width: columns, style } = terminal;
        let Issued { authority, certificates, is_new_authority, .. } = self.issued;
        let ca_note = if *is_new_authority {
            "new: give it to everybody who calls"
        } else {
            "as before: it has signed the others"
        };
        let file = |path: &Path| path.strip_prefix(&self.args.directory).unwrap_or(path).display().to_string();
        let first = (file(authority), date(self.issued.authority_not_after), ca_note.to_owned());
        let others = certificates.iter().map(|CertificateFiles { certificate, not_after, names, .. }| {
            (file(certificate), date(*not_after), names.join(" "))
        });
        let rows: Vec<_> = std::iter::once(first).chain(others).collect();
        let widest = rows.iter().map(|(file, ..)| width(file)).max().unwrap_or(0);
        let mut text =
            style.paint(Role::Heading, &format!("Certificates in {}", self.args.directory.display())) + "\n\n";
        for (file, date, note) in rows {
            let start = format!("  {}  until {date}  ", pad(&file, widest));
            let _ = writeln!(text, "{}", wrap(&(start.clone() + &note), columns, width(&start)));
        }
        let keys = "Each directory has what one of them needs: the certificate, its key tls.key, which only you can read, \
                    and ca.crt, a copy of ca.pem. ca-key.pem signs new ones: it belongs on no server.";
        let _ = writeln!(text, "\n{}", style.paint(Role::Quiet, &wrap(keys, columns, 0)));
        let _ = writeln!(text, "\n{}", style.paint(Role::Heading, "What to do with them"));
        for (what, command) in self.steps() {
            let _ = writeln!(text, "{what}:\n{}", command_line(&command, columns));
        }
        text
    }

    /// Returns what to do next: the commands as their words.
    fn steps(&self) -> Vec<(String, Vec<String>)> {
        let (program, directory) = (program::name(), &self.args.directory);
        let path = |file: &str| word(&directory.join(file).display().to_string());
        let own = |service: &Service| {
            let name = service.name;
            let files = [("--tls-cert", "tls.crt"), ("--tls-key", "tls.key")];
            let flags = files.map(|(flag, file)| format!("{flag} {}", path(&format!("{name}/{file}"))));
            [vec![format!("{program} {name}")], flags.to_vec()].concat()
        };
        let trusted = format!("--tls-ca {}", path("ca.pem"));
        let mut steps = Vec::new();
        if let Some(backend) = backends().next() {
            let callers =
                [format!("--tls-client-ca {}", path("ca.pem")), format!("--allow-client {}", spiffe_id("gateway"))];
            let what = format!("A backend that only the gateway may call, such as the {}", backend.words());
            steps.push((what, [own(backend), callers.to_vec()].concat()));
        }
        if let Some(gateway) = SERVICES.iter().find(|service| service.kind == Kind::Gateway) {
            let urls = backends().map(|backend| format!("--{} https://127.0.0.1:{}", backend.name, backend.port));
            steps.push((
                "The gateway".to_owned(),
                own(gateway).into_iter().chain([trusted.clone()]).chain(urls).collect(),
            ));
            let address = format!("--gateway https://127.0.0.1:{}", gateway.port);
            steps.push(("A caller".to_owned(), vec![format!("{program} compare"), address, trusted]));
        }
        if let Some(earliest) = self.issued.certificates.iter().map(|made| made.not_after).min() {
            let words = std::env::args().skip(1).filter(|word| word != "--force").map(|argument| word(&argument));
            let what =
                format!("Before {}, the same again; running services read the new files by themselves", date(earliest));
            steps.push((what, std::iter::once(program).chain(words).collect()));
        }
        steps
    }
}

/// Formats a time such as `2026-11-23T03:10:40Z`.
fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Formats a day such as `2026-11-23`.
fn date(time: SystemTime) -> String {
    self::time(time).split('T').next().unwrap_or_default().to_owned()
}
