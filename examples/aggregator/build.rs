//! Compiles the contract with `protox`: no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["shop/v1/shop.proto"], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The channel reads from these which methods stream and which are idempotent.
    fs::write(out.join("descriptors.binpb"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
