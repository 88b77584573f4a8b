//! The page, embedded.

/// A file of the page.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) bytes: &'static [u8],
}

/// Every file of the page. A new file in `page/` is a line here.
static FILES: &[File] =
    &[File { path: "/", content_type: "text/html; charset=utf-8", bytes: include_bytes!("../page/index.html") }];

/// Returns the file at a path.
pub(crate) fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}
