//! The commands of other clients that make the same request.

use std::iter;

use http::Uri;

use crate::{
    call::rpc::Rpc,
    gateway_client::request::{DEFAULT_TIMEOUT, RequestOptions, positive_duration},
    terminal::text_layout::width,
};

/// Returns the commands of grpcurl and buf. A command that is wider than `columns` is continued on further lines.
pub(super) fn commands(rpc: &Rpc, options: &RequestOptions, columns: usize) -> [String; 2] {
    let (url, name) = (options.gateway.to_string(), rpc.full_name());
    let authority = url.parse::<Uri>().ok().and_then(|url| Some(url.authority()?.to_string())).unwrap_or_default();
    // A header for each entry: buf ends a header at a comma.
    let baggage = options.baggage_entries();
    let headers = baggage.iter().map(|entry| format!("-H {}", quoted(&format!("baggage: {}", entry.encoded()))));
    let message = format!("-d {}", quoted(&rpc.request_json().to_string()));
    let shared: Vec<String> = headers.chain([message]).collect();
    // buf has no flag for it.
    let is_default = positive_duration(DEFAULT_TIMEOUT).is_ok_and(|default| default == options.timeout);
    let timeout = (!is_default).then(|| format!("-max-time {}", options.timeout.as_secs_f64()));
    let grpcurl = iter::once("grpcurl -plaintext".to_owned()).chain(timeout).chain(shared.iter().cloned());
    let buf = iter::once("buf curl --protocol grpc --http2-prior-knowledge".to_owned()).chain(shared.iter().cloned());
    [fill(grpcurl.chain([format!("{authority} {name}")]), columns), fill(buf.chain([format!("{url}/{name}")]), columns)]
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

/// Quotes a word for a POSIX shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
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
    fn a_quote_in_a_word_stays_one() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
