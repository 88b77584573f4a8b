//! `fanout analyze`: how calls overlapped in traces of any program, and what joining would still save.
//!
//! # Layout
//!
//! * [`args`]: the flags; `input`: reads files, directories and standard input; [`error`]: what can go wrong.
//! * [`report`]: the traces with their analysis, what is above the limit, which of them are shown.
//! * `text`, with `waterfall`: for people; [`json`], `github`, `junit`: for programs; `svg`: a picture; `rows`, `sentence`: what they share.
//! * `help`: how to read it, in `--help`.

pub mod args;
pub mod error;
mod github;
mod help;
mod input;
pub mod json;
mod junit;
pub mod report;
mod rows;
mod sentence;
mod svg;
mod text;
mod waterfall;
mod xml;

use std::fs;

pub use self::{args::AnalyzeArgs, error::AnalyzeError, input::Failure};
use self::{args::Format, input::Inputs, report::Report};
use crate::{
    completion::Completion,
    terminal::{stdout, text_layout::printable},
};

/// Runs the command: reads the traces, analyses them, and shows what was found.
///
/// Inputs that cannot be read are named on standard error, each with its place; the others are analysed.
///
/// # Errors
///
/// Returns an error if there are no traces, if one that is asked for is not there, or if a result cannot be written.
pub fn analyze(args: &AnalyzeArgs) -> Result<Completion, AnalyzeError> {
    let inputs = Inputs::read(&args.files);
    for line in inputs.problem_lines() {
        eprintln!("fanout: {}", printable(&line));
    }
    let report = Report::new(&inputs, args)?;
    if let (Some(path), Some(trace)) = (&args.svg, report.picture()) {
        fs::write(path, svg::picture(trace)).map_err(|source| AnalyzeError::Write { path: path.clone(), source })?;
    }
    let text = match args.format() {
        Format::Text => text::text(&report, args.output.terminal()),
        Format::Json => json::document(&report).map_err(AnalyzeError::Json)?,
        Format::Github => github::annotations(&report),
        Format::Junit => junit::document(&report),
    };
    stdout::print(&text).map_err(AnalyzeError::Output)?;
    Ok(match inputs.failure() {
        // What is missing may be above the limit too.
        Some(failure) => Completion::BrokenInput(failure),
        None if report.is_exceeded() => Completion::LimitExceeded,
        None => Completion::Success,
    })
}
