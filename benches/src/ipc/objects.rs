//! What the two processes have in common: made for every measurement again, by the process that measures, so that its
//! address in memory varies too. It holds the names, and removes them when it drops the objects.

use super::cases::{Case, Contestant, Mechanism, Pattern, Waiting};
use super::endpoints::SLOTS;
use ipc::baseline;
use ipc::event::Event;
use ipc::lock::{Condition, Mutex};
use ipc::pipe::{Fifo, pipe};
use ipc::queue::{PosixQueue, SysvQueue};
use ipc::semaphore::{OnDeath, SharedSemaphore, SysvSemaphore};
use ipc::shared::ring::{Ring, RingMany, WaitStrategy};
use ipc::shared::{Location, Memory, Value};
use ipc::socket::{Datagram, Packets, Stream};
use ipc::{Error, Key};
use nix::errno::Errno;
use rustix::event::{EventfdFlags, eventfd};
use std::any::Any;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// What two processes are given.
#[derive(Default)]
pub struct Objects {
    /// Descriptors for the near one.
    pub near: Vec<OwnedFd>,
    /// Descriptors for the far one.
    pub far: Vec<OwnedFd>,
    /// Names for both: that from near to far first.
    pub addresses: Vec<String>,
    kept: Vec<Box<dyn Any>>,
}

type Made = Result<Objects, Box<dyn std::error::Error>>;

/// Bytes in a ring for short messages.
const RING: usize = 64 << 10;

/// Messages in a queue, if they are short.
const QUEUE: usize = 10;

impl Objects {
    /// Makes what a case needs.
    ///
    /// # Errors
    ///
    /// The machine does not allow it; the error says which limit it is.
    pub fn make(case: &Case, contestant: Contestant) -> Made {
        let size = case.size;
        let mut made = Objects::default();
        match (case.mechanism, contestant) {
            (Mechanism::Pipe, _) => {
                let (forth, back) = (pipe()?, pipe()?);
                made.near = vec![forth.1.into(), back.0.into()];
                made.far = vec![back.1.into(), forth.0.into()];
            }
            (Mechanism::Fifo, _) => {
                let directory = tempfile::Builder::new().prefix("ipc-bench-").tempdir()?;
                for way in ["forth", "back"] {
                    let fifo = Fifo::create(directory.path().join(way), 0o600)?;
                    made.addresses.push(fifo.path().to_string_lossy().into_owned());
                    made.kept.push(Box::new(fifo));
                }
                made.kept.push(Box::new(directory));
            }
            (Mechanism::Stream, _) => made.pair(Stream::pair()?),
            (Mechanism::Packets, _) => made.pair(Packets::pair()?),
            (Mechanism::Datagram, _) => made.pair(Datagram::pair()?),
            (Mechanism::Tcp, _) => made.pair(tcp()?),
            (Mechanism::PosixQueue, _) => {
                // As many as the machine's limit of bytes has room for, twice.
                let capacity = QUEUE.min((300 << 10) / size).max(1);
                for way in ["forth", "back"] {
                    let queue = PosixQueue::create(&unique(way), capacity, size)?;
                    made.addresses.push(queue.name().to_owned());
                    made.kept.push(Box::new(queue));
                }
            }
            (Mechanism::SysvQueue, _) => {
                let capacity = ((16 << 10) / size).max(1);
                for _ in 0..2 {
                    let queue = SysvQueue::create(Key::PRIVATE, capacity, size)?;
                    made.addresses.push(queue.id().to_string());
                    made.kept.push(Box::new(queue));
                }
            }
            (Mechanism::Ring | Mechanism::Value, Contestant::CacheLine) => {
                made.both(&baseline::Words::create()?)?;
            }
            (Mechanism::Ring, Contestant::Library) => {
                for way in ["forth", "back"] {
                    let ring = Ring::create(memfd(way), room(size), wait(case))?;
                    made.address_of(ring.memory());
                    made.kept.push(Box::new(ring));
                }
            }
            (Mechanism::Ring, Contestant::Iceoryx2) => made.addresses.push(unique("iceoryx2")),
            (Mechanism::Ring, _) => {
                for _ in 0..2 {
                    let sleeping = case.waiting == Waiting::Sleeping;
                    made.both(&baseline::Ring::create(slots(size), size, sleeping)?)?;
                }
            }
            (Mechanism::ManyRing, Contestant::Library) => {
                for way in ["forth", "back"] {
                    let ring = RingMany::create(memfd(way), slots(size), size, wait(case))?;
                    made.address_of(ring.memory());
                    made.kept.push(Box::new(ring));
                }
            }
            (Mechanism::ManyRing, _) => {
                for _ in 0..2 {
                    let sleeping = case.waiting == Waiting::Sleeping;
                    made.both(&baseline::ManyRing::create(slots(size), size, sleeping)?)?;
                }
            }
            (Mechanism::Value, _) => {
                for way in ["forth", "back"] {
                    let value = Value::<u64>::create(memfd(way), 0)?;
                    made.address_of(value.memory());
                    made.kept.push(Box::new(value));
                }
            }
            (Mechanism::PosixSemaphore, Contestant::Library) => {
                made.both(&baseline::Words::create()?)?;
                for units in units(case) {
                    made.both(&SharedSemaphore::create(units)?)?;
                }
            }
            (Mechanism::PosixSemaphore, _) => {
                made.both(&baseline::Words::create()?)?;
                for units in units(case) {
                    made.both(&baseline::Semaphore::create(units)?)?;
                }
            }
            (Mechanism::SysvSemaphore, _) => {
                made.both(&baseline::Words::create()?)?;
                for units in units(case) {
                    let semaphore = SysvSemaphore::create(Key::PRIVATE, units, OnDeath::Keep)?;
                    made.addresses.push(semaphore.id().to_string());
                    made.kept.push(Box::new(semaphore));
                }
            }
            (Mechanism::Signal, _) => {}
            (Mechanism::Event, Contestant::Library) => {
                made.both(&baseline::Words::create()?)?;
                for way in ["forth", "back"] {
                    let event = Event::create(memfd(way))?;
                    made.address_of(event.memory());
                    made.kept.push(Box::new(event));
                }
            }
            (Mechanism::Event, _) => made.both(&baseline::Words::create()?)?,
            (Mechanism::Eventfd, _) => {
                for _ in 0..2 {
                    made.both(&eventfd(0, EventfdFlags::CLOEXEC)?)?;
                }
            }
            (Mechanism::Condition, Contestant::Library) => {
                for way in ["forth", "back"] {
                    let mutex = Mutex::<u64>::create(memfd(way), 2 + SLOTS)?;
                    made.address_of(mutex.memory());
                    made.kept.push(Box::new(mutex));
                }
                for way in ["forth", "back"] {
                    let condition = Condition::create(memfd(way))?;
                    made.address_of(condition.memory());
                    made.kept.push(Box::new(condition));
                }
            }
            (Mechanism::Condition, _) => {
                for _ in 0..2 {
                    made.both(&baseline::Monitor::create()?)?;
                }
            }
        }
        Ok(made)
    }

    fn pair(&mut self, (near, far): (impl Into<OwnedFd>, impl Into<OwnedFd>)) {
        self.near.push(near.into());
        self.far.push(far.into());
    }

    fn both(&mut self, object: &impl AsFd) -> io::Result<()> {
        self.near.push(object.as_fd().try_clone_to_owned()?);
        self.far.push(object.as_fd().try_clone_to_owned()?);
        Ok(())
    }

    fn address_of(&mut self, memory: &Memory) {
        self.addresses.push(memory.address());
    }
}

/// Which limit of the machine an error means, in words; `None` if something is broken instead.
pub fn limit(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    match error.downcast_ref::<Error>()? {
        Error::OutOfRange { quantity, least, most, .. } => {
            Some(format!("this machine allows a {quantity} of {least} to {most}"))
        }
        error => match error.errno()? {
            Errno::ENOSYS | Errno::ENOSPC | Errno::EPERM => Some(error.to_string()),
            _ => None,
        },
    }
}

/// A name that is not in use.
fn unique(suffix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("/ipc-bench-{}-{next}-{suffix}", std::process::id())
}

fn memfd(way: &str) -> Location {
    Location::Memfd(format!("ipc bench {way}"))
}

fn wait(case: &Case) -> WaitStrategy {
    match case.waiting {
        Waiting::Sleeping => WaitStrategy::Sleep,
        Waiting::Spinning => WaitStrategy::Spin,
    }
}

/// The bytes of a ring: the same for the library and the baseline.
fn room(size: usize) -> usize {
    RING.max((4 * (size + 16)).next_power_of_two())
}

/// As many slots as find room in a ring.
fn slots(size: usize) -> usize {
    let all = room(size) / (size + 16).next_multiple_of(64);
    (all / 2 + 1).next_power_of_two()
}

/// The initial values of four semaphores: filled and free slots, there and back.
fn units(case: &Case) -> [u32; 4] {
    let free = if case.pattern == Pattern::OneWay { SLOTS as u32 } else { 0 };
    [0, free, 0, free]
}

fn tcp() -> io::Result<(TcpStream, TcpStream)> {
    let listener = server_core::listen("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::cases::SIZES;

    #[test]
    fn both_rings_have_the_same_room() {
        for size in SIZES {
            let stride = (size + 16).next_multiple_of(64);
            let slots = slots(size);
            assert!(slots.is_power_of_two() && slots >= 4, "{size}: {slots}");
            assert!(slots * stride <= room(size), "{size}: {slots}");
            assert!(slots * stride * 4 >= room(size), "{size}: {slots}");
            assert!(size <= room(size) / 2 - 8, "{size}");
        }
    }

    #[test]
    fn limit_is_not_a_fault() {
        let too_long = SysvQueue::create(Key::PRIVATE, 1, 1 << 30).map(drop).unwrap_err();
        assert!(limit(&too_long).unwrap().starts_with("this machine allows a message length"));
        assert_eq!(limit(&io::Error::other("broken")), None);
    }
}
