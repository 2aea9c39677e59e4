//! How memory goes back to the system when the clients that it was for have left.

/// From this size on, in bytes, a block of memory is a mapping of its own, which goes back to the system when it is
/// freed.
const MAPPED: i32 = 128 * 1024;

/// Keeps the allocator from raising that size.
///
/// glibc raises it, up to 32 MiB, to the largest block that was ever freed, and keeps twice as much free memory for
/// each of its arenas. That is quick for a program that needs large blocks again and again. A server whose clients
/// have left would keep what the snapshots of their directories and the buffers of their uploads took.
pub(crate) fn return_freed_blocks() {
    // SAFETY: mallopt(3) takes two numbers, and this one is in range. `launch` calls this before it starts a thread.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED) };
}
