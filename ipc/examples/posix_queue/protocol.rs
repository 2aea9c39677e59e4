//! What writer and reader agree on. Both include this file; it is the whole protocol.

/// The queue holds this many jobs. A machine allows at least ten without special rights.
pub const CAPACITY: usize = 4;

/// The longest job, in bytes.
pub const JOB_SIZE: usize = 64;

/// How urgent a job is: the priority of its message. The highest comes out first.
pub const URGENT: u32 = 9;
pub const USUAL: u32 = 1;

/// The end of the work. With the lowest priority it comes out after every job, whenever it was put in.
pub const END: &[u8] = b"";
pub const LAST: u32 = 0;
