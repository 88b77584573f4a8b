//! Lists the files of `page/`, so that a new one is embedded without being named anywhere.

use std::{
    env,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("page");
    println!("cargo:rerun-if-changed=page");
    let mut files = Vec::new();
    list(&root, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        let path = file.strip_prefix(&root).map_err(io::Error::other)?.display().to_string();
        let url = if path == "index.html" { "/".to_owned() } else { format!("/{path}") };
        let Some(content_type) = content_type(&path) else { continue };
        let bytes = file.display().to_string();
        writeln!(
            table,
            "    File {{ path: {url:?}, content_type: {content_type:?}, bytes: include_bytes!({bytes:?}) }},"
        )
        .map_err(io::Error::other)?;
    }
    table += "]\n";
    fs::write(Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("page.rs"), table)
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", directory.display());
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// Returns the type of what a page loads; other files, such as notes, are not embedded.
fn content_type(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit_once('.')?;
    Some(match extension {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        _ => return None,
    })
}
