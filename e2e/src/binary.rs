//! The `fanout` executable under test.

use std::{
    env,
    path::{Path, PathBuf},
};

/// Returns the path of the executable: `FANOUT` if that variable is set (relative to the repository's root),
/// otherwise the one that Cargo built for this package's tests.
///
/// # Panics
///
/// Panics outside of a test that Cargo runs, unless `FANOUT` is set.
pub fn fanout() -> PathBuf {
    if let Some(named) = env::var_os("FANOUT") {
        return Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("").join(named);
    }
    let built = env::var_os("CARGO_BIN_EXE_e2e-fanout");
    built.expect("run by `cargo test -p e2e`, or with the path of a fanout binary in FANOUT").into()
}
