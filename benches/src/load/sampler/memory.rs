//! Memory and descriptors of the server's processes.

use crate::procfs::{number_after, read};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Sums over all processes, as they were read last.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// In bytes.
    pub(super) pss: u64,
    /// In bytes.
    pub(super) page_tables: u64,
    pub(super) descriptors: u64,
}

impl Memory {
    /// Reads these processes.
    pub(super) fn read(pids: &[i32], buffer: &mut Vec<u8>) -> Memory {
        let mut sums = Memory::default();
        for pid in pids {
            let mut kib = |file: &str, name: &[u8]| {
                read(&format!("/proc/{pid}/{file}"), buffer).ok()?;
                number_after(buffer, name)
            };
            sums.pss += kib("smaps_rollup", b"\nPss:").unwrap_or(0) * 1024;
            sums.page_tables += kib("status", b"\nVmPTE:").unwrap_or(0) * 1024;
            sums.descriptors += descriptors(*pid);
        }
        sums
    }
}

/// How many descriptors are open: the size of the directory, where the kernel reports it (since Linux 6.2).
fn descriptors(pid: i32) -> u64 {
    let directory = format!("/proc/{pid}/fd");
    match fs::metadata(&directory).map(|directory| directory.size()) {
        Ok(0) => fs::read_dir(&directory).map_or(0, |entries| entries.count() as u64),
        Ok(size) => size,
        Err(_) => 0,
    }
}
