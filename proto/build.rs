//! Compiles the contract with `protox`: pure Rust, so that nobody needs `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;
use protox::prost_reflect::prost_types::FileDescriptorSet;

const USER: &str = "fanout/user/v1/user.proto";
const COUNTRY: &str = "fanout/country/v1/country.proto";
const GATEWAY: &str = "fanout/gateway/v1/gateway.proto";

/// Messages that the country service's server shares with its client: all but the list,
/// which never changes and is encoded once, not for every request.
const COUNTRY_SHARED: [&str; 3] = ["Country", "GetCountryRequest", "ListCountriesRequest"];

/// Messages and enumerations that the gateway's server shares with its client.
const GATEWAY_SHARED: [&str; 8] = [
    "GetProfileRequest",
    "GetHomeCountryRequest",
    "StreamUsersRequest",
    "Strategy",
    "FailurePolicy",
    "FanOutReport",
    "CallReport",
    "CallState",
];

/// The one reply that the country service has ready as bytes.
const COUNTRY_LIST: (&str, &str) =
    (".fanout.country.v1.ListCountriesResponse", "crate::country::v1::ListCountriesResponse");

/// Replies of services that the gateway embeds as they came.
const SPLICED: [(&str, &str); 3] = [
    (".fanout.user.v1.User", "crate::user::v1::User"),
    (".fanout.country.v1.Country", "crate::country::v1::Country"),
    COUNTRY_LIST,
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=fanout");
    println!("cargo:rerun-if-changed=google");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    // What the servers' reflection answers with.
    let everything = compile(&[USER, COUNTRY, GATEWAY])?;
    fs::write(out.join("fanout.binpb"), everything.encode_to_vec())?;

    let google = |builder: tonic_prost_build::Builder| builder.extern_path(".google.rpc", "::tonic_types::pb");
    google(tonic_prost_build::configure()).compile_fds(compile(&[USER])?)?;
    google(tonic_prost_build::configure()).build_server(false).compile_fds(compile(&[COUNTRY])?)?;

    let messages = |builder: tonic_prost_build::Builder| {
        google(builder)
            .extern_path(".fanout.user.v1", "crate::user::v1")
            .extern_path(".fanout.country.v1", "crate::country::v1")
    };
    messages(tonic_prost_build::configure()).build_server(false).compile_fds(only(&everything, GATEWAY))?;

    // Servers that answer with bytes: the same on the wire.
    let spliced = out.join("spliced");
    fs::create_dir_all(&spliced)?;
    let server = || tonic_prost_build::configure().build_client(false).out_dir(&spliced);
    let encoded = |path: &str| format!("crate::Encoded::<{path}>");

    let mut country = google(server());
    for name in COUNTRY_SHARED {
        country = country.extern_path(format!(".fanout.country.v1.{name}"), format!("crate::country::v1::{name}"));
    }
    let (list, list_path) = COUNTRY_LIST;
    country.extern_path(list, encoded(list_path)).compile_fds(compile(&[COUNTRY])?)?;

    let mut gateway = messages(server());
    for name in GATEWAY_SHARED {
        gateway = gateway.extern_path(format!(".fanout.gateway.v1.{name}"), format!("crate::gateway::v1::{name}"));
    }
    for (message, path) in SPLICED {
        gateway = gateway.extern_path(message, encoded(path));
    }
    gateway.compile_fds(only(&everything, GATEWAY))?;
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
