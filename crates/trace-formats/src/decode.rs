//! From bytes to messages.

mod document;

use std::fmt::{self, Display, Formatter};

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use crate::{
    gzip,
    limits::Limits,
    otlp,
    problem::{Fault, Problem},
    sink::Sink,
};

/// A format of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// OTLP as JSON: one document, or one in each line.
    OtlpJson,
    /// OTLP as protobuf: one message, or several with their lengths in front of them.
    OtlpProtobuf,
    /// What Jaeger's UI downloads and its API replies.
    JaegerJson,
    /// A list of spans of Zipkin's API, version 2.
    ZipkinJson,
}

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The format of the input; of its first document, if there are several.
    pub format: Format,
    /// The spans, in the order of the input. All of them have ids and a start.
    pub spans: Vec<ResourceSpans>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// How many problems there are besides, above [`Limits::problems`].
    pub more_problems: usize,
}

/// Nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The input has no bytes, or only white space.
    #[error("it is empty, expected {EXPECTED}")]
    Empty,
    /// The input is in another format.
    #[error("{0}")]
    Unrecognized(Problem),
    /// The input is larger than [`Limits::bytes`], maybe only after it is decompressed.
    #[error("it has more than {limit} bytes, the most that are read")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The input begins like a gzip file, and is none.
    #[error("it is compressed with gzip, and cannot be decompressed: {0}")]
    Gzip(std::io::Error),
}

/// The formats, as error messages name them.
pub(crate) const EXPECTED: &str = "OTLP (JSON or protobuf), Jaeger JSON or Zipkin JSON";

/// Reads traces in any [`Format`], which may be compressed with gzip.
///
/// A span that cannot be read is left out, and is one of [`Decoded::problems`]; so is a line of newline-delimited JSON.
/// A single document that is no JSON, or cut off, is lost as a whole. Spans without ids or a start are left out, because
/// they are in no trace. Metrics and logs are ignored.
///
/// # Errors
///
/// Returns an error if nothing of the input could be recognized: see [`DecodeError`].
pub fn decode(input: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    let inflated = gzip::inflate(input, limits.bytes)?;
    let bytes = &inflated.bytes[..];
    let mut sink = Sink::new(limits);
    let format = match otlp::protobuf::detect(bytes) {
        Some(framing) => {
            otlp::protobuf::decode(bytes, framing, &mut sink);
            Some(Format::OtlpProtobuf)
        }
        None => document::decode(bytes, &mut sink)?,
    };
    if let Some(error) = inflated.broken {
        let message = format!("the compressed data end or break here: {error}");
        sink.report(Fault::new(bytes.len(), String::new(), None, message));
    }
    let mut problems = sink.problems(bytes, format != Some(Format::OtlpProtobuf));
    let Sink { spans, more_problems, .. } = sink;
    match format {
        Some(format) => Ok(Decoded { format, spans, problems, more_problems }),
        None if problems.is_empty() => Err(DecodeError::Empty),
        None => Err(DecodeError::Unrecognized(problems.swap_remove(0))),
    }
}

// === impl Format ===

impl Display for Format {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtlpJson => "OTLP JSON",
            Self::OtlpProtobuf => "OTLP protobuf",
            Self::JaegerJson => "Jaeger JSON",
            Self::ZipkinJson => "Zipkin JSON",
        })
    }
}

// === impl Decoded ===

impl Decoded {
    /// Returns the number of spans that were read.
    pub fn len(&self) -> usize {
        self.spans.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len()).sum()
    }

    /// Returns whether no span was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
