//! A file that is shown and not kept.

use http::StatusCode;
use overlap::{Operations, split};
use serde::Serialize;
use trace_formats::{DecodeError, Limits};

use crate::{
    analyst::Analysed,
    api::{
        respond::ApiError,
        trace::{Origins, TraceDocument},
    },
};

/// How many bytes a file may have.
pub(super) const MAX_FILE: usize = 32 << 20;

/// What is read of a file, in bytes when decompressed, in spans, and in their parts.
const LIMITS: Limits = Limits { bytes: 64 << 20, span_bytes: 4 << 20, spans: 200_000, items: 3_000_000, problems: 50 };

/// How many traces, and how many spans of all of them, are shown.
const MAX_TRACES: usize = 500;
const MAX_SPANS: usize = 20_000;

/// How many bytes the resources and scopes of all traces that are shown may have, as they are encoded: each trace is shown
/// with its own, and thousands may share one.
const MAX_SOURCES: usize = 32 << 20;

/// The document of `/api/analyze`.
#[derive(Debug, Serialize)]
pub(super) struct AnalyzeDocument {
    format: String,
    traces: Vec<TraceDocument>,
    problems: Vec<String>,
}

/// Analyses a file. What its traces show together counts for each, and nothing else.
pub(super) fn document(bytes: &[u8]) -> Result<AnalyzeDocument, ApiError> {
    let decoded = trace_formats::decode(bytes, &LIMITS).map_err(|error| {
        let status = match error {
            DecodeError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            DecodeError::Empty | DecodeError::Unrecognized(_) | DecodeError::Gzip(_) => StatusCode::BAD_REQUEST,
        };
        ApiError::new(status, format!("the file cannot be read: {error}"))
    })?;
    let mut problems: Vec<String> = decoded.problems.iter().map(ToString::to_string).collect();
    if decoded.more_problems > 0 {
        problems.push(format!("{} more like these", decoded.more_problems));
    }
    let mut operations = Operations::default();
    let mut found = Vec::new();
    for trace in split(trace_formats::to_overlap(&decoded.spans)) {
        let analysed = Analysed::by(trace, operations.evidence());
        operations.add(&analysed.trace, &analysed.analysis);
        found.push(analysed.trace);
    }
    let (origins, all) = (Origins::of(&decoded.spans), found.len());
    let (mut documents, mut spans_left, mut bytes_left) = (Vec::new(), MAX_SPANS, MAX_SOURCES);
    for trace in found.into_iter().take(MAX_TRACES) {
        if spans_left == 0 || bytes_left == 0 {
            break;
        }
        let count = trace.spans().len();
        let document = TraceDocument::new(&Analysed::by(trace, operations.evidence()), &origins, spans_left);
        spans_left = spans_left.saturating_sub(count);
        bytes_left = bytes_left.saturating_sub(document.source_bytes);
        documents.push(document);
    }
    if documents.len() < all {
        problems.push(format!("{} of {all} traces are shown", documents.len()));
    }
    Ok(AnalyzeDocument { format: decoded.format.to_string(), traces: documents, problems })
}
