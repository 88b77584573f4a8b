//! Compiles the contract with `protox`, which is pure Rust: no `protoc` is needed.
//!
//! Every file `fanout/NAME/VERSION/*.proto` belongs to the contract. For its package `fanout.NAME.VERSION` there are two
//! modules of generated code:
//!
//! * `NAME::VERSION`: the messages, the client and the server, as tonic generates them.
//! * `NAME::VERSION::spliced`: a server whose replies are passed on as bytes. On the wire it is the same service:
//!   1. A message of another package of the contract is `Encoded`: its bytes, not decoded.
//!   2. A message that has such a field, directly or in a message of its own package, is generated again, with (1).
//!   3. Any other reply of an RPC is `Encoded` too, so that a service can keep it ready.
//!   4. Everything else is the type of `NAME::VERSION`.
//!
//! The tree of these modules is the generated file `contract.rs`, which `src/lib.rs` includes.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    error::Error,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use prost::Message as _;
use protox::prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, field_descriptor_proto::Type,
};
use tonic_prost_build::Builder;

/// The directory of the contract, and the package that all of its packages are in.
const ROOT: &str = "fanout";

/// A package of the contract.
struct Package<'a> {
    /// Its name, such as `fanout.user.v1`.
    name: &'a str,
    files: Vec<&'a FileDescriptorProto>,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    println!("cargo:rerun-if-changed=google");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let spliced = out.join("spliced");
    fs::create_dir_all(&spliced)?;

    let mut files = BTreeSet::new();
    find_proto_files(Path::new(ROOT), &mut files)?;
    let contract = protox::compile(files, ["."])?;
    // The servers' reflection serves these.
    fs::write(out.join("fanout.binpb"), contract.encode_to_vec())?;

    let packages = Package::all(&contract);
    fs::write(out.join("contract.rs"), module_tree(&packages)?)?;
    builder().compile_fds(contract.clone())?;
    for package in packages.iter().filter(|package| package.has_service()) {
        let mut builder = builder().build_client(false).out_dir(&spliced);
        let mut contract = contract.clone();
        for other in contract.file.iter_mut().filter(|other| other.package() != package.name) {
            other.service.clear();
            let name = format!(".{}", other.package());
            if is_of_contract(&name) {
                builder = builder.extern_path(&name, rust_path(&name));
            }
        }
        package.spliced(builder).compile_fds(contract)?;
        let file = format!("{}.rs", package.name);
        for generated in [out.join(&file), spliced.join(&file)] {
            use_our_server(&generated)?;
        }
    }
    Ok(())
}

/// Lets a generated server answer with `crate::server::Grpc`: tonic's generator has a setting for the codec, but none for
/// this.
fn use_our_server(generated: &Path) -> Result<(), Box<dyn Error>> {
    const TONICS: &str = "tonic::server::Grpc::new(";
    let code = fs::read_to_string(generated)?;
    if !code.contains(TONICS) {
        return Err(format!("{}: tonic no longer generates {TONICS}", generated.display()).into());
    }
    Ok(fs::write(generated, code.replace(TONICS, "crate::server::Grpc::new("))?)
}

/// Returns a builder of code that uses tonic's own types for the error model, and our codec.
fn builder() -> Builder {
    tonic_prost_build::configure().extern_path(".google.rpc", "::tonic_types::pb").codec_path("crate::codec::Codec")
}

/// Adds the `.proto` files below a directory.
fn find_proto_files(directory: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            find_proto_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.insert(path);
        }
    }
    Ok(())
}

/// Writes the modules of the packages, each with the code generated for it.
fn module_tree(packages: &[Package<'_>]) -> Result<String, std::fmt::Error> {
    let mut names: BTreeMap<&str, Vec<&Package<'_>>> = BTreeMap::new();
    for package in packages {
        names.entry(package.name_and_version().0).or_default().push(package);
    }
    let mut tree = String::new();
    for (name, versions) in names {
        writeln!(tree, "/// The package `{ROOT}.{name}`.\npub mod {name} {{")?;
        for package in versions {
            let (file, version) = (package.name, package.name_and_version().1);
            writeln!(tree, "/// Messages, client and server of `{file}`.")?;
            writeln!(tree, "#[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = \"generated\")]")?;
            writeln!(tree, "pub mod {version} {{ include!(concat!(env!(\"OUT_DIR\"), \"/{file}.rs\"));")?;
            if package.has_service() {
                writeln!(
                    tree,
                    "/// A server of `{file}` whose replies are [`Encoded`](crate::Encoded), or hold such."
                )?;
                writeln!(tree, "pub mod spliced {{ include!(concat!(env!(\"OUT_DIR\"), \"/spliced/{file}.rs\")); }}")?;
            }
            writeln!(tree, "}}")?;
        }
        writeln!(tree, "}}")?;
    }
    Ok(tree)
}

// === impl Package ===

impl<'a> Package<'a> {
    /// Returns the packages of the contract in the order of their names.
    fn all(contract: &'a FileDescriptorSet) -> Vec<Self> {
        let mut packages: BTreeMap<&str, Vec<&FileDescriptorProto>> = BTreeMap::new();
        for file in contract.file.iter().filter(|file| is_of_contract(&format!(".{}", file.package()))) {
            packages.entry(file.package()).or_default().push(file);
        }
        packages.into_iter().map(|(name, files)| Self { name, files }).collect()
    }

    /// Splits `fanout.user.v1` into `user` and `v1`.
    fn name_and_version(&self) -> (&'a str, &'a str) {
        let split = self.name.split_once('.').and_then(|(_, rest)| rest.split_once('.'));
        split.expect("a package of the contract is named as its directory: fanout.NAME.VERSION")
    }

    fn has_service(&self) -> bool {
        self.files.iter().any(|file| !file.service.is_empty())
    }

    fn messages(&self) -> impl Iterator<Item = &'a DescriptorProto> {
        self.files.iter().flat_map(|file| &file.message_type)
    }

    /// Tells the builder which type each message has in the module `spliced`.
    fn spliced(&self, builder: Builder) -> Builder {
        let enums = self.files.iter().flat_map(|file| &file.enum_type).map(EnumDescriptorProto::name);
        let own = self.messages().map(DescriptorProto::name).chain(enums).map(|name| format!(".{}.{name}", self.name));
        let mut types: BTreeMap<String, String> = own.map(|name| (name.clone(), rust_path(&name))).collect();
        let methods = self.files.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
        let embedded = self.messages().flat_map(message_fields).filter(|name| self.is_foreign(name));
        for name in methods.map(MethodDescriptorProto::output_type).chain(embedded).filter(|name| is_of_contract(name))
        {
            types.insert(name.to_owned(), format!("crate::Encoded::<{}>", rust_path(name)));
        }
        let regenerated = self.regenerated();
        types.retain(|name, _| !regenerated.contains(name));
        types.into_iter().fold(builder, |builder, (name, path)| builder.extern_path(name, path))
    }

    /// Returns the messages of the package that have a message of another package in them, at any depth.
    fn regenerated(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        loop {
            let embeds = |name: &str| self.is_foreign(name) || found.contains(name);
            let more: Vec<_> = self
                .messages()
                .filter(|message| message_fields(message).into_iter().any(embeds))
                .map(|message| format!(".{}.{}", self.name, message.name()))
                .filter(|name| !found.contains(name))
                .collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    /// Returns whether a full name is of another package of the contract.
    fn is_foreign(&self, name: &str) -> bool {
        is_of_contract(name) && !name.starts_with(&format!(".{}.", self.name))
    }
}

fn is_of_contract(full_name: &str) -> bool {
    full_name.strip_prefix('.').and_then(|name| name.strip_prefix(ROOT)).is_some_and(|rest| rest.starts_with('.'))
}

/// Returns the path of the type that is generated for `.fanout.user.v1.User`: `crate::user::v1::User`.
fn rust_path(full_name: &str) -> String {
    full_name.replacen(&format!(".{ROOT}"), "crate", 1).replace('.', "::")
}

/// Returns the full names of the messages that are fields of this one or of those nested in it.
fn message_fields(message: &DescriptorProto) -> Vec<&str> {
    let own = message.field.iter().filter(|field| field.r#type() == Type::Message).map(FieldDescriptorProto::type_name);
    own.chain(message.nested_type.iter().flat_map(message_fields)).collect()
}
