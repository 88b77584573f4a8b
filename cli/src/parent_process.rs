//! Ends the services when the `fanout up` that started them ends, in whatever way.

/// The variable that tells a service the process id of its parent.
const PARENT: &str = "FANOUT_UP_PID";

/// Returns the environment variable that makes a child's [`end_with_parent`] work.
pub(crate) fn variable() -> (&'static str, String) {
    (PARENT, std::process::id().to_string())
}

/// Makes the operating system end this process when its parent ends, if `fanout up` is its parent.
///
/// Works on Linux; does nothing on other systems.
pub(crate) fn end_with_parent() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        let Some(parent) = std::env::var(PARENT).ok().and_then(|pid| pid.parse::<i32>().ok()) else { return };
        let set = set_parent_process_death_signal(Some(Signal::TERM));
        // The parent may have ended before the call.
        if set.is_ok() && getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
            std::process::exit(0);
        }
    }
}
