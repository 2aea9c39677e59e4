//! Shared memory: numbers, arrays and rings that several processes see at the same time.
//!
//! # What it is
//!
//! The same physical pages mapped into several processes. What one writes, the others read, without a
//! system call and without a copy through the kernel. [`Value`] and [`Array`] hold numbers, the [rings](ring)
//! carry messages; [`lock`](crate::lock) and [`event`](crate::event) build on the same
//! segments. ([TLPI](https://man7.org/tlpi/), chapters 48, 49 and 54; shm_overview(7), memfd_create(2), shmop(2).)
//!
//! ```
//! use ipc::shared::Value;
//!
//! let name = format!("/doc-shared-{}", std::process::id());
//! let hits = Value::create(name.as_str(), 0_u64)?;
//! // In any other process of this user:
//! let same = Value::<u64>::open(name.as_str())?;
//! same.fetch_add(1);
//!
//! assert_eq!(hits.get(), 1);
//! # Ok::<(), ipc::Error>(())
//! ```
//!
//! # When to choose it
//!
//! For speed, and for state that many read. Everything else is easier with a pipe or a queue: shared memory
//! has no end of file, no back-pressure and no order but what is built on it.
//!
//! # Reading and writing at the same time
//!
//! There is never a `&mut` into shared memory, nor a `&u64`: another process may write at any time, which the
//! compiler must know. So everything in it is an atomic, behind [`Cell`], and each call on a cell is one
//! indivisible step. Two calls are two steps: `value.set(value.get() + 1)` in two processes loses updates, as the
//! course shows with its `Value` and no lock. Use [`Cell::fetch_add`], [`Cell::fetch_update`], or keep
//! the cells in a [`Mutex`](crate::lock::Mutex) when several of them must change together.
//!
//! # Locations, and the lifetime of their names
//!
//! | [`Location`] | name | lives until |
//! |---|---|---|
//! | POSIX | `/name` in `/dev/shm` | the name is removed *and* the last mapping is gone, or the machine stops |
//! | memfd | none; a descriptor | the last descriptor and the last mapping are gone |
//! | System V | a key, or a number | it is removed *and* the last process has detached, or the machine stops |
//!
//! The process that created an object removes its name when it drops it; others who have it mapped go on. If the
//! creator is killed, a POSIX or System V name stays. What becomes of it depends on the name:
//!
//! - A name that is the same in every run is met by the next `create`, which replaces what was left behind: an object of
//!   this library and this user whose creator has ended, in this pid namespace, and which no process uses. Of several
//!   processes that try at the same time exactly one succeeds.
//! - A name that carries a pid is never met again. [`list`] finds it, and so does the command `ipc` (`cargo run -p ipc`),
//!   which removes it.
//!
//! A memfd leaves nothing behind, ever. (A POSIX queue, a named semaphore and a FIFO carry no mark of their creator: there
//! `create` fails with `EEXIST`, and the command `ipc` shows which processes use them.)
//!
//! A process killed *inside* `create` leaves nothing, or a whole object: a POSIX object is made without a name (`O_TMPFILE`,
//! open(2)), filled, and then named by one call (linkat(2)). Where `/dev/shm` is not a tmpfs and has no such files, the
//! object has a temporary name until then, `/ipc-half-made-PID-N`, which [`list`] finds. A System V segment cannot be made
//! that way. [`Value::open`] says that one with a key is not complete, and the next `create` with that key replaces it; one
//! without a key is found by [`list`].
//!
//! Others get at an object by its name, or by its [address](Memory::address) as an argument when they are started.
//! A memfd can also be passed as a descriptor over a [socket](crate::socket), which needs no common
//! name and no rights in `/proc`.
//!
//! # What is refused
//!
//! Each segment begins with a header: a magic number, a version, the size, the creator and its pid namespace, what it
//! holds, and a flag that is set last. A segment is opened only if all of it is right; a foreign one, one that is half-made,
//! of another type, of another size, or left behind by a dead creator, is answered with
//! [`Error::Unusable`](crate::Error::Unusable), and nothing is written into it. Of two creators of one name the second gets
//! `EEXIST`.
//!
//! A process in another pid namespace (pid_namespaces(7)), in a container, say, that shares `/dev/shm`, cannot see whether
//! the creator runs. It opens the segment and never takes it for stale: [`Creator::OtherNamespace`]. An end of a
//! [ring] and a [`Mutex`](crate::lock::Mutex) are refused to it: both know a process by its number.
//!
//! # SIGBUS
//!
//! A mapping does not own its pages. If somebody truncates the file under it, the next access beyond the new
//! end kills the process with SIGBUS, and no check beforehand helps. Nobody truncates by accident: a POSIX
//! object has mode 0600, so only the same user can. A memfd is sealed (`F_SEAL_SHRINK`, see
//! fcntl(2)): the kernel refuses to shrink it for anybody, so prefer it where the other side is not trusted that far. A
//! System V segment cannot change its size. The other cause of SIGBUS, a full `/dev/shm`, is met when the
//! object is created: its pages are allocated then, and `ENOSPC` is the answer.
//!
//! # When a peer dies
//!
//! The memory stays as the peer left it: numbers are whole, since each was written in one step, but two that
//! belong together may not be. Use a [`Mutex`](crate::lock::Mutex), which tells the next owner. Rings
//! notice the death of a peer, see [`ring`]. [All cases](crate#when-a-process-is-killed), each with its test.
//!
//! # Cost
//!
//! Creating and opening: a handful of system calls. A cell: one atomic instruction, 1 ns when nobody else
//! touches it and some 50 to 100 ns when another processor has just written it. Messages: see [`ring`].

mod cell;
mod event_count;
mod header;
mod identity;
mod location;
mod memory;
pub mod ring;
mod segment;
pub(crate) mod sync;
mod value;

pub use cell::{Cell, Integer, Scalar};
pub use identity::Creator;
pub use location::Location;
pub use memory::Memory;
pub use segment::{Segment, list};
pub use value::{Array, Value};

pub(crate) use memory::{Part, Shared};
