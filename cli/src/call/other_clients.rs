//! The commands of other clients that make the same request.

use http::Uri;

use crate::{call::rpc::Rpc, gateway_client::request::RequestOptions, terminal::text_layout::width};

/// Returns the commands of grpcurl and buf. A command that is wider than `columns` is continued on further lines.
pub(super) fn commands(rpc: &Rpc, options: &RequestOptions, columns: usize) -> [String; 2] {
    let message = format!("-d {}", quoted(&rpc.request_json().to_string()));
    let header = options.baggage_header().and_then(|value| Some(quoted(&format!("baggage: {}", value.to_str().ok()?))));
    let header = header.map(|header| format!("-H {header}")).unwrap_or_default();
    let (url, name) = (options.gateway.to_string(), rpc.full_name());
    let authority = url.parse::<Uri>().ok().and_then(|url| Some(url.authority()?.to_string())).unwrap_or_default();
    [
        fill(&["grpcurl -plaintext", &header, &message, &format!("{authority} {name}")], columns),
        fill(
            &["buf curl --protocol grpc --http2-prior-knowledge", &header, &message, &format!("{url}/{name}")],
            columns,
        ),
    ]
}

/// Joins the parts of a command, with an escaped end of line where the next part would not fit.
fn fill(parts: &[&str], columns: usize) -> String {
    let mut command = String::new();
    let mut used = 0;
    for part in parts.iter().filter(|part| !part.is_empty()) {
        // The space before a part, and the space and backslash that may follow it.
        if used > 0 && used + 1 + width(part) + 2 > columns {
            command.push_str(" \\\n  ");
            used = 2;
        } else if used > 0 {
            command.push(' ');
            used += 1;
        }
        command.push_str(part);
        used += width(part);
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
        assert_eq!(
            fill(&["grpcurl -plaintext", "", "-d '{}'", "host method"], 80),
            "grpcurl -plaintext -d '{}' host method"
        );
        let narrow = fill(&["grpcurl -plaintext", "-d '{}'", "host method"], 28);
        assert_eq!(narrow, "grpcurl -plaintext -d '{}' \\\n  host method");
    }

    #[test]
    fn a_quote_in_a_word_stays_one() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
