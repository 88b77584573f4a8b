//! Compiles the contract with `protox`: pure Rust, so that nobody needs `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;
use protox::prost_reflect::prost_types::FileDescriptorSet;

const SERVICES: [&str; 2] = ["fanout/user/v1/user.proto", "fanout/country/v1/country.proto"];
const GATEWAY: &str = "fanout/gateway/v1/gateway.proto";

/// Messages and enumerations that the gateway's server shares with its client.
const SHARED: [&str; 8] = [
    "GetProfileRequest",
    "GetHomeCountryRequest",
    "StreamUsersRequest",
    "Strategy",
    "FailurePolicy",
    "FanOutReport",
    "CallReport",
    "CallState",
];

/// Replies of services that the gateway embeds as they came.
const SPLICED: [(&str, &str); 3] = [
    (".fanout.user.v1.User", "crate::user::v1::User"),
    (".fanout.country.v1.Country", "crate::country::v1::Country"),
    (".fanout.country.v1.ListCountriesResponse", "crate::country::v1::ListCountriesResponse"),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=fanout");
    println!("cargo:rerun-if-changed=google");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    // What the servers' reflection answers with.
    let everything = compile(&[SERVICES[0], SERVICES[1], GATEWAY])?;
    fs::write(out.join("fanout.binpb"), everything.encode_to_vec())?;

    let google = |builder: tonic_prost_build::Builder| builder.extern_path(".google.rpc", "::tonic_types::pb");
    google(tonic_prost_build::configure()).compile_fds(compile(&SERVICES)?)?;

    let messages = |builder: tonic_prost_build::Builder| {
        google(builder)
            .extern_path(".fanout.user.v1", "crate::user::v1")
            .extern_path(".fanout.country.v1", "crate::country::v1")
    };
    messages(tonic_prost_build::configure()).build_server(false).compile_fds(only(&everything, GATEWAY))?;

    let spliced = out.join("spliced");
    fs::create_dir_all(&spliced)?;
    let mut server = messages(tonic_prost_build::configure()).build_client(false).out_dir(spliced);
    for name in SHARED {
        server = server.extern_path(format!(".fanout.gateway.v1.{name}"), format!("crate::gateway::v1::{name}"));
    }
    for (message, path) in SPLICED {
        server = server.extern_path(message, format!("crate::Encoded::<{path}>"));
    }
    server.compile_fds(only(&everything, GATEWAY))?;
    Ok(())
}

/// The descriptors of these files and of all that they import.
fn compile(files: &[&str]) -> Result<FileDescriptorSet, protox::Error> {
    protox::compile(files, ["."])
}

/// The descriptors without the services of the other packages.
fn only(set: &FileDescriptorSet, file: &str) -> FileDescriptorSet {
    let mut set = set.clone();
    for other in set.file.iter_mut().filter(|other| other.name() != file) {
        other.service.clear();
    }
    set
}
