//! The limit on the file descriptors of the process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit on open files to the hard one.
///
/// The soft limit is 1,024 on most systems, for programs that use `select`; each connection is one file.
///
/// # Errors
///
/// Returns an error if the system refuses it. The process can go on with the limit that it has.
pub(crate) fn raise_limit() -> rustix::io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise_limit().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
