//! The flags of `fanout view`.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use service_kit::settings::{Listen, LogArgs};

use crate::{
    gateway_client::{
        address::GatewayAddress,
        credentials::CredentialsFile,
        request::{DEFAULT_TIMEOUT, RequestOptions, positive_duration},
        tls::TlsArgs,
    },
    view::size::Size,
};

/// The flags of `fanout view`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  fanout view
  fanout view --listen 127.0.0.1:9090 --max-memory 1GiB
  fanout view --gateway http://127.0.0.1:50051")]
pub struct ViewArgs {
    /// Where the page is; stdin takes the listeners that `fanout up` hands over
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: Listen,

    /// Where OTLP is received over gRPC
    #[arg(long, default_value = "127.0.0.1:4317", value_name = "ADDRESS")]
    pub otlp_grpc: SocketAddr,

    /// Where OTLP is received over HTTP
    #[arg(long, default_value = "127.0.0.1:4318", value_name = "ADDRESS")]
    pub otlp_http: SocketAddr,

    /// A name besides localhost by which browsers may reach the page; may be repeated
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,

    /// How much memory the traces may take: the oldest make room
    #[arg(long, default_value = "128MiB", value_name = "SIZE")]
    pub max_memory: Size,

    /// A directory whose database keeps traces over a restart; created if missing
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,

    /// Hand everything that is received on to this receiver of OTLP over gRPC, such as `http://127.0.0.1:14317`
    #[arg(long, value_name = "URL", value_parser = forward_url)]
    pub forward: Option<String>,

    /// The gateway that the page sends requests to; without it there is no panel for them
    #[arg(long, env = "FANOUT_GATEWAY", value_name = "URL")]
    pub gateway: Option<GatewayAddress>,

    /// How to speak TLS with it.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// A file with the API key to send to the gateway; the variable `FANOUT_API_KEY` has the key itself
    #[arg(long, value_name = "FILE", value_parser = CredentialsFile::read)]
    pub api_key_file: Option<CredentialsFile>,

    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

fn forward_url(text: &str) -> Result<String, String> {
    let uri = text.parse::<http::Uri>().ok().filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
    uri.map(|_| text.to_owned()).ok_or_else(|| "expected http://HOST:PORT, such as http://127.0.0.1:14317".to_owned())
}

// === impl ViewArgs ===

impl ViewArgs {
    /// Checks what clap cannot.
    ///
    /// # Errors
    ///
    /// Returns a message for the command line if flags do not go together, or a variable cannot be used.
    pub fn check(&self) -> Result<(), String> {
        match self.request_options() {
            Some(options) => options.check(),
            None if self.tls.tls_ca.is_some() || self.tls.tls_server_name.is_some() => {
                Err("there is a flag for TLS with a gateway, and no gateway: expected --gateway https://HOST:PORT"
                    .to_owned())
            }
            None => Ok(()),
        }
    }

    /// Returns whether the listeners are handed over.
    pub(super) fn is_inherited(&self) -> bool {
        matches!(self.listen, Listen::Stdin)
    }

    /// Returns where requests go and how, if there is a gateway.
    pub(super) fn request_options(&self) -> Option<RequestOptions> {
        Some(RequestOptions {
            gateway: self.gateway.clone()?,
            tls: self.tls.clone(),
            failure_policy: None,
            delay: Vec::new(),
            baggage: Vec::new(),
            api_key_file: self.api_key_file.clone(),
            timeout: positive_duration(DEFAULT_TIMEOUT).expect("the default is valid"),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: ViewArgs,
    }

    /// Returns the options for requests to a gateway on this machine.
    pub(in crate::view) fn options() -> RequestOptions {
        let args = Command::parse_from(["view", "--gateway", "http://127.0.0.1:50051"]).args;
        args.request_options().unwrap()
    }

    #[test]
    fn flags_for_tls_need_a_gateway() {
        let args = Command::parse_from(["view", "--tls-ca", "ca.pem"]).args;
        assert!(args.check().unwrap_err().contains("expected --gateway https://HOST:PORT"));
    }
}
