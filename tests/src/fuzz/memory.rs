//! What this process uses, as the system counts it. Where there is no `/proc`, nothing is known.

use std::fs;

/// Peak sizes, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// The most memory that was resident at a time.
    pub resident: u64,
    /// The most address space that was reserved at a time: memory that was asked for and never
    /// touched shows here.
    pub reserved: u64,
}

impl Peak {
    /// The peaks so far; `None` where the system does not tell.
    #[must_use]
    pub fn now() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        Some(Self {
            resident: field(&status, "VmHWM:")?,
            reserved: field(&status, "VmPeak:")?,
        })
    }

    /// Lets the resident peak begin anew at what is resident now. Returns whether the system did.
    #[must_use]
    pub fn restart() -> bool {
        fs::write("/proc/self/clear_refs", "5").is_ok()
    }

    /// How far these peaks lie above earlier ones.
    #[must_use]
    pub const fn above(self, before: Self) -> Self {
        Self {
            resident: self.resident.saturating_sub(before.resident),
            reserved: self.reserved.saturating_sub(before.reserved),
        }
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Time that this thread ran on a processor, nanoseconds; `None` where the system does not tell.
#[must_use]
pub fn thread_ran_ns() -> Option<u64> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name() {
        let status = "VmPeak:\t  2048 kB\nVmHWM:\t     3 kB\n";
        assert_eq!(field(status, "VmHWM:"), Some(3072));
        assert_eq!(field(status, "VmPeak:"), Some(2 * 1024 * 1024));
        assert_eq!(field(status, "VmRSS:"), None);
    }
}
