//! What the CPU backend knows of the machine.

use std::sync::OnceLock;

use sysinfo::System;

/// Bytes of memory that the machine has, or the container.
pub(super) fn machine_memory() -> usize {
    static MEMORY: OnceLock<usize> = OnceLock::new();
    *MEMORY.get_or_init(|| {
        let mut system = System::new();
        system.refresh_memory();
        let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
        usize::try_from(system.total_memory().min(group)).unwrap_or(usize::MAX)
    })
}
