//! Gives the memory that a process has freed back to the system.
//!
//! glibc's allocator keeps what is freed unless it is at the end of a heap, and after a burst something small is at the end
//! always. With other allocators, and on other systems, nothing is done.

/// Whether [`trim`] does anything.
pub const CAN_TRIM: bool = cfg!(all(target_os = "linux", target_env = "gnu"));

/// Gives all free pages of the heap back to the system. Returns whether there were any.
///
/// Takes milliseconds for each hundred MiB, and locks one arena of the heap after the other: threads that allocate in it
/// wait for so long. To be called when there is much to give back and little to do, and not by a thread that has to answer.
pub fn trim() -> bool {
    imp::trim()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod imp {
    pub(super) fn trim() -> bool {
        // SAFETY: `malloc_trim` may be called by any thread at any time. It touches nothing but pages that the allocator
        // has and nobody else.
        #[expect(unsafe_code, reason = "a function of the C library")]
        let trimmed = unsafe { libc::malloc_trim(0) };
        trimmed == 1
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod imp {
    pub(super) fn trim() -> bool {
        false
    }
}

#[cfg(test)]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod tests {
    use std::{fs, hint::black_box};

    /// Returns how much memory this process has, in pages.
    fn resident() -> usize {
        fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn what_lies_below_a_block_in_use_is_given_back() {
        // Below the size from which blocks have pages of their own.
        let blocks: Vec<_> = (0..64).map(|_| black_box(vec![1_u8; 64 << 10])).collect();
        let last = black_box(vec![1_u8; 64 << 10]);
        drop(blocks);
        let before = resident();
        assert!(super::trim());
        let pages = before.saturating_sub(resident());
        assert!(pages >= 512, "{pages} of 1,024 pages of 4 KiB were given back");
        drop(last);
    }
}
