//! Searches an error and its sources.

use std::{error::Error, iter};

/// Returns an iterator over `error`, its source, the source of that, and so on.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}

/// Returns the first error of type `E` among `error` and its sources, from the outside in.
pub fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(<dyn Error>::downcast_ref)
}

/// Returns the last error of the chain: usually what the operating system said.
pub fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    chain(error).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn finds_an_error_by_its_type_at_any_depth() {
        let error = Outer(io::Error::other(Outer(io::Error::from(io::ErrorKind::TimedOut))));
        assert_eq!(chain(&error).count(), 3, "io::Error's source is the source of its inner error");
        assert_eq!(find::<io::Error>(&error).map(io::Error::kind), Some(io::ErrorKind::Other), "the outermost first");
        assert!(find::<std::fmt::Error>(&error).is_none());
        assert_eq!(root(&error).to_string(), io::Error::from(io::ErrorKind::TimedOut).to_string());
    }
}
