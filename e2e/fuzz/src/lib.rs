//! What holds for any input: a property for each parser that reads what callers, backends or operators send.
//!
//! Each property takes any bytes, and panics if it does not hold. libFuzzer looks for such bytes, guided by the
//! coverage of the workspace's crates; the tests run the properties on the inputs in `corpus`: what long searches have
//! reached, and seeds for targets that had none. `docs/security.md` says how many inputs each target was given.
//!
//! ```console
//! $ .ci/run fuzz                                                     # a minute for each target
//! $ cargo run -p fuzz --bin baggage -- target/ci/fuzz/baggage/crash-…  # one input, without libFuzzer
//! ```
//!
//! The programs are libFuzzer's own: `target/release/baggage -help=1` after `.ci/run fuzz` shows its flags. To keep what
//! was found, `target/release/baggage -merge=1 e2e/fuzz/corpus/baggage target/ci/fuzz/baggage/corpus` adds the fewest
//! inputs that reach the same code.
//!
//! Cargo builds them on stable, with `instrument.sh` around rustc for the workspace's crates alone. `cargo fuzz` would
//! build every dependency again, which takes longer than the search, and would draw the search into them.
//!
//! # Layout
//!
//! * [`TARGETS`]: the properties by name, a module for each.
//! * `text`, `status`: what holds for every error; `traces`: what holds for traces in every format.
//! * [`target!`]: the program of a target.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is what the fuzzer looks for")]

pub mod baggage;
pub mod delay_flag;
pub mod delays;
pub mod discovery;
pub mod framing;
pub mod grpc_timeout;
pub mod jaeger_json;
pub mod log_line;
pub mod otlp_json;
pub mod otlp_protobuf;
pub mod overlap;
pub mod page_token;
pub mod requests;
pub mod service_config;
mod status;
mod text;
mod traces;
pub mod zipkin_json;

use std::{env, fs, process::ExitCode};

/// A property: panics if it does not hold for these bytes.
pub type Property = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Property); 15] = [
    ("baggage", baggage::run),
    ("delay_flag", delay_flag::run),
    ("delays", delays::run),
    ("discovery", discovery::run),
    ("framing", framing::run),
    ("grpc_timeout", grpc_timeout::run),
    ("jaeger_json", jaeger_json::run),
    ("log_line", log_line::run),
    ("otlp_json", otlp_json::run),
    ("otlp_protobuf", otlp_protobuf::run),
    ("overlap", overlap::run),
    ("page_token", page_token::run),
    ("requests", requests::run),
    ("service_config", service_config::run),
    ("zipkin_json", zipkin_json::run),
];

/// Defines the program of a target: libFuzzer's, or without it one that checks the files in its arguments.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(feature = "libfuzzer")]
        libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::$name::run(input));

        #[cfg(not(feature = "libfuzzer"))]
        fn main() -> std::process::ExitCode {
            $crate::check_files($crate::$name::run)
        }
    };
}

/// Checks a property on each file in the arguments of the program.
pub fn check_files(property: Property) -> ExitCode {
    for path in env::args_os().skip(1) {
        match fs::read(&path) {
            Ok(input) => property(&input),
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn the_documentation_says_of_each_target_how_much_it_was_given() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/security.md");
        let text = fs::read_to_string(path).unwrap();
        let row = text.lines().find(|line| line.ends_with("| `e2e/fuzz` |")).unwrap();
        for (target, _) in TARGETS {
            assert_eq!(row.matches(&format!("`{target}`")).count(), 1, "{target}");
        }
    }

    #[test]
    fn the_properties_hold_for_the_corpus() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        let names = |directory: &Path| -> BTreeSet<String> {
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert_eq!(names(&corpus), TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect());
        for (target, property) in TARGETS {
            let directory = corpus.join(target);
            let inputs = names(&directory);
            assert!(!inputs.is_empty(), "{target} has no corpus");
            for name in inputs {
                // Captured, and shown if the property does not hold.
                println!("{target}/{name}");
                property(&fs::read(directory.join(name)).unwrap());
            }
        }
    }
}
