//! What a process has used, by Linux's own accounting in `/proc`: processor time and memory. For tests and measurements.

use std::{fs, io, process, time::Duration};

/// A process that is looked at. It need not be a child of this one.
#[derive(Clone, Copy, Debug)]
pub struct ProcessUsage {
    pid: u32,
}

/// The processor time of all threads of a process, those that have ended among them. Its resolution is a tick of the
/// kernel's, mostly 10 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessorTime {
    /// In its own code.
    pub user: Duration,
    /// In the kernel, for it.
    pub system: Duration,
}

// === impl ProcessUsage ===

impl ProcessUsage {
    /// Returns the usage of a process.
    pub fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// Returns the usage of this process.
    pub fn of_this() -> Self {
        Self::of(process::id())
    }

    /// Returns the processor time that it has used.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended, or if there is no `/proc`.
    pub fn processor_time(self) -> io::Result<ProcessorTime> {
        let text = fs::read_to_string(self.file("stat"))?;
        let ticks = ticks(&text).ok_or_else(|| io::Error::other("/proc/PID/stat has another form"))?;
        let per_second = rustix::param::clock_ticks_per_second();
        let [user, system] = ticks.map(|ticks| Duration::from_millis(ticks * 1_000 / per_second));
        Ok(ProcessorTime { user, system })
    }

    /// Returns its resident memory in KiB.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended, or if there is no `/proc`.
    pub fn memory(self) -> io::Result<u64> {
        self.status("VmRSS")
    }

    /// Returns its largest resident memory since [`forget_peak`](Self::forget_peak) in KiB.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended, or if there is no `/proc`.
    pub fn peak_memory(self) -> io::Result<u64> {
        self.status("VmHWM")
    }

    /// Lets the largest resident memory begin at that of now.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended, or belongs to another user.
    pub fn forget_peak(self) -> io::Result<()> {
        fs::write(self.file("clear_refs"), "5")
    }

    /// Returns a number from its `/proc/PID/status`, such as `VmRSS` in KiB.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended, or if there is no such number.
    pub fn status(self, name: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.file("status"))?;
        number(&text, name).ok_or_else(|| io::Error::other(format!("/proc/PID/status has no {name}")))
    }

    /// Returns the names of its threads. The kernel cuts them to 15 bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended, or if there is no `/proc`.
    pub fn thread_names(self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for thread in fs::read_dir(self.file("task"))? {
            match fs::read_to_string(thread?.path().join("comm")) {
                Ok(name) => names.push(name.trim_end().to_owned()),
                // It has ended meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(names)
    }

    fn file(self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid)
    }
}

// === impl ProcessorTime ===

impl ProcessorTime {
    /// Returns both together.
    pub fn total(self) -> Duration {
        self.user + self.system
    }

    /// Returns what was used since then.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { user: self.user.saturating_sub(earlier.user), system: self.system.saturating_sub(earlier.system) }
    }
}

/// Returns user and system time: the 14th and 15th field of `/proc/PID/stat`.
fn ticks(stat: &str) -> Option<[u64; 2]> {
    // The second is the program's name, in brackets, which may have spaces and brackets.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).map_while(|field| field.parse().ok());
    Some([fields.next()?, fields.next()?])
}

fn number(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs_may_look_like_fields() {
        let stat = "7 (a) b (c 1) S 1 7 7 0 -1 4194304 100 0 0 0 350 27 0 0 20 0 1 0 99 1000 10";
        assert_eq!(ticks(stat), Some([350, 27]));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn a_name_is_not_taken_for_another_that_begins_with_it() {
        let status = "VmRSSX:\t 1 kB\nVmRSS:\t  5120 kB\n";
        assert_eq!(number(status, "VmRSS"), Some(5120));
        assert_eq!(number(status, "Vm"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_used_something() {
        let usage = ProcessUsage::of_this();
        usage.forget_peak().unwrap();
        assert!(usage.memory().unwrap() > 0 && usage.peak_memory().unwrap() > 0);
        assert!(usage.processor_time().unwrap().total() < Duration::from_mins(10));
    }
}
