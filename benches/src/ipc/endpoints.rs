//! The endpoints: each mechanism as a pair of closures that send and receive, once with the library and once with
//! its baseline.

use super::cases::{Contestant, Mechanism, Pattern};
use super::exchange::{Result, Side, Spec, exchange, print_line, read_line};
use ipc::Wait;
use ipc::baseline::{self, Words};
use ipc::event::Event;
use ipc::lock::{Condition, Mutex};
use ipc::pipe::{Reader, Writer};
use ipc::queue::{PosixQueue, Queue, SysvQueue};
use ipc::semaphore::{OnDeath, Semaphore, SharedSemaphore, SysvSemaphore};
use ipc::shared::ring::{Ring, RingMany};
use ipc::shared::{Location, Value};
use ipc::signal::{self, Blocked, Signal};
use ipc::socket::{Datagram, Packets, Stream};
use rustix::process::{Pid, getppid, set_parent_process_death_signal, setpgid};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::ffi::c_long;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The name under which both processes are started.
pub const ENTRY: &str = "ipc-endpoint";

/// How many numbers find room where they are passed one by one.
pub const SLOTS: usize = 16;

/// Runs as one endpoint. The first argument is a [`Spec`].
pub fn main(arguments: &[String]) -> Result<()> {
    let result = arguments
        .first()
        .ok_or_else(|| "a specification is missing".into())
        .and_then(|json| Ok(serde_json::from_str::<Spec>(json)?))
        .and_then(|spec| start(&spec));
    if let Err(error) = result {
        // One line, for the process that measures; it kills the other endpoint.
        print_line(&format!("failed {}", error.to_string().replace('\n', " ")));
    }
    Ok(())
}

fn start(spec: &Spec) -> Result<()> {
    // Not a daemon of `ipc::process`, which has a second thread for this: with one thread the kernel counts no references to
    // descriptors, and signals are delivered to this one.
    set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    if getppid().map(Pid::as_raw_pid) != Some(spec.parent) {
        return Ok(());
    }
    // A Ctrl-C at the terminal is for the process that measures, which ends this one.
    setpgid(None, None)?;
    if let Some(core) = spec.core {
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only)?;
    }
    let peer = read_line()?.strip_prefix("peer ").ok_or("no peer was named")?.parse()?;
    let (out, inn) = if spec.side == Side::Near { (0, 1) } else { (1, 0) };
    run(&Endpoint { spec, peer, out, inn })
}

/// One of the two, before it has opened anything.
struct Endpoint<'a> {
    spec: &'a Spec,
    /// The other process.
    peer: i32,
    /// Which of two objects it sends through.
    out: usize,
    /// Which of two objects it receives from.
    inn: usize,
}

impl Endpoint<'_> {
    fn address(&self, at: usize) -> Result<&str> {
        Ok(self.spec.addresses.get(at).ok_or("no address")?)
    }

    fn location(&self, at: usize) -> Result<Location> {
        Ok(self.address(at)?.parse()?)
    }

    /// Whether a sender may have to wait for room.
    fn is_bounded(&self) -> bool {
        self.spec.case.pattern == Pattern::OneWay
    }
}

fn passed(at: usize) -> Result<OwnedFd> {
    Ok(ipc::process::passed(at)?)
}

fn four<T>(open: impl Fn(usize) -> Result<T>) -> Result<[T; 4]> {
    Ok([open(0)?, open(1)?, open(2)?, open(3)?])
}

/// Opens both objects and exchanges messages.
fn run(end: &Endpoint<'_>) -> Result<()> {
    let &Endpoint { spec, out, inn, .. } = end;
    match (spec.case.mechanism, spec.contestant) {
        (Mechanism::Pipe, _) => {
            pipes(end, Writer::from_fd(passed(0)?)?, Reader::from_fd(passed(1)?)?)
        }
        (Mechanism::Fifo, _) => {
            // Each opening waits for the other side's: both begin with the same FIFO.
            let (to, from) = if spec.side == Side::Near {
                (Writer::open(end.address(out)?)?, Reader::open(end.address(inn)?)?)
            } else {
                let from = Reader::open(end.address(inn)?)?;
                (Writer::open(end.address(out)?)?, from)
            };
            pipes(end, to, from)
        }
        (Mechanism::Stream, Contestant::Library) => {
            let to = Stream::from_fd(passed(0)?)?;
            let from = Stream::from_fd(to.as_fd().try_clone_to_owned()?)?;
            streams(end, to, from)
        }
        (Mechanism::Stream | Mechanism::Tcp, _) => {
            let socket = passed(0)?;
            messages(
                end,
                |bytes| write_all(bytes, |rest| baseline::send(socket.as_fd(), rest)),
                |buffer| read_exact(buffer, |rest| baseline::receive(socket.as_fd(), rest)),
            )
        }
        (Mechanism::Packets, Contestant::Library) => {
            let socket = Packets::from_fd(passed(0)?)?;
            messages(
                end,
                |bytes| Ok(socket.send(bytes)?),
                |buffer| Ok(socket.receive(buffer)?.unwrap_or(0)),
            )
        }
        (Mechanism::Datagram, Contestant::Library) => {
            let socket = Datagram::from_fd(passed(0)?)?;
            messages(
                end,
                |bytes| Ok(socket.send(bytes)?),
                |buffer| Ok(socket.receive(buffer)?.length),
            )
        }
        (Mechanism::Packets | Mechanism::Datagram, _) => {
            let socket = passed(0)?;
            messages(
                end,
                |bytes| Ok(baseline::send(socket.as_fd(), bytes).map(drop)?),
                |buffer| Ok(baseline::receive(socket.as_fd(), buffer)?),
            )
        }
        (Mechanism::PosixQueue, contestant) => {
            let to = PosixQueue::open(end.address(out)?)?;
            let from = PosixQueue::open(end.address(inn)?)?;
            if contestant == Contestant::Library {
                return queues(end, to, from);
            }
            messages(
                end,
                |bytes| Ok(baseline::mq_send(to.as_fd(), bytes)?),
                |buffer| Ok(baseline::mq_receive(from.as_fd(), buffer)?),
            )
        }
        (Mechanism::SysvQueue, contestant) => {
            let (to, from) = (end.address(out)?.parse()?, end.address(inn)?.parse()?);
            let size = spec.case.size;
            if contestant == Contestant::Library {
                return queues(end, SysvQueue::from_id(to, size)?, SysvQueue::from_id(from, size)?);
            }
            let mut buffer = vec![0; size + baseline::TYPE];
            exchange(
                spec,
                |message| Ok(baseline::msgsnd(to, message.typed())?),
                |expected| {
                    // The most urgent first, as the library: for this order the kernel looks at all that wait.
                    let length = baseline::msgrcv(from, &mut buffer, -c_long::MAX)?;
                    expected.check(&buffer[baseline::TYPE..][..length])
                },
            )
        }
        (Mechanism::Ring, Contestant::Library) => {
            let mut sender = Ring::open(end.location(out)?)?.sender()?;
            let mut receiver = Ring::open(end.location(inn)?)?.receiver()?;
            messages(
                end,
                |bytes| Ok(sender.put(bytes)?),
                |buffer| Ok(receiver.get(buffer).map(|()| buffer.len())?),
            )
        }
        (Mechanism::Ring, Contestant::Baseline) => {
            let mut sender = baseline::Ring::from_fd(passed(out)?)?.sender()?;
            let mut receiver = baseline::Ring::from_fd(passed(inn)?)?.receiver()?;
            messages(
                end,
                |bytes| {
                    sender.put(bytes);
                    Ok(())
                },
                |buffer| Ok(receiver.get(buffer)),
            )
        }
        (Mechanism::ManyRing, Contestant::Library) => {
            let mut sender = RingMany::open(end.location(out)?)?.sender()?;
            let mut receiver = RingMany::open(end.location(inn)?)?.receiver()?;
            messages(
                end,
                |bytes| Ok(sender.put(bytes)?),
                |buffer| Ok(receiver.get(buffer).map(|()| buffer.len())?),
            )
        }
        (Mechanism::ManyRing, _) => {
            let mut sender = baseline::ManyRing::from_fd(passed(out)?)?.sender();
            let mut receiver = baseline::ManyRing::from_fd(passed(inn)?)?.receiver()?;
            messages(
                end,
                |bytes| {
                    sender.put(bytes);
                    Ok(())
                },
                |buffer| Ok(receiver.get(buffer)),
            )
        }
        (Mechanism::Ring | Mechanism::Value, Contestant::CacheLine) => {
            let words = Words::from_fd(passed(0)?)?;
            let (to, from) = (words.word(out), words.word(inn));
            values(end, |number| to.store(number, Release), || from.load(Acquire))
        }
        (Mechanism::Ring, Contestant::Iceoryx2) => iceoryx2(end),
        (Mechanism::Value, _) => {
            let (to, from) = (Value::open(end.location(out)?)?, Value::open(end.location(inn)?)?);
            values(end, |number| to.set(number), || from.get())
        }
        (Mechanism::PosixSemaphore, Contestant::Library) => {
            let all = four(|at| Ok(SharedSemaphore::from_fd(passed(1 + at)?)?))?;
            semaphores(end, |at| Ok(all[at].release()?), |at| Ok(all[at].acquire()?))
        }
        (Mechanism::PosixSemaphore, _) => {
            let all = four(|at| Ok(baseline::Semaphore::from_fd(passed(1 + at)?)?))?;
            semaphores(end, |at| Ok(all[at].post()?), |at| Ok(all[at].wait()?))
        }
        (Mechanism::SysvSemaphore, contestant) => {
            let ids = four(|at| Ok(end.address(at)?.parse::<i32>()?))?;
            if contestant == Contestant::Library {
                let all = four(|at| Ok(SysvSemaphore::from_id(ids[at], OnDeath::Keep)?))?;
                return semaphores(end, |at| Ok(all[at].release()?), |at| Ok(all[at].acquire()?));
            }
            let semop = |at: usize, by| Ok(baseline::semop(ids[at], by)?);
            semaphores(end, |at| semop(at, 1), |at| semop(at, -1))
        }
        (Mechanism::Signal, contestant) => {
            let signal = Signal::realtime(0)?;
            let blocked = Blocked::new(signal)?;
            if contestant == Contestant::Library {
                return signals(
                    end,
                    |value| Ok(signal::queue(end.peer, signal, value)?),
                    || Ok(blocked.wait()?.value.ok_or("a signal without a number")?),
                );
            }
            let number = signal.number();
            signals(
                end,
                |value| Ok(baseline::sigqueue(end.peer, number, value)?),
                || Ok(baseline::sigwait(number)?),
            )
        }
        (Mechanism::Event, Contestant::Library) => {
            let (to, from) = (Event::open(end.location(out)?)?, Event::open(end.location(inn)?)?);
            events(
                end,
                |_| to.set(),
                |_| {
                    from.wait();
                    from.clear();
                },
            )
        }
        (Mechanism::Event, _) => events(
            end,
            |to| {
                to.store(1, Release);
                baseline::futex_wake_all(to);
            },
            |from| {
                while from.load(Acquire) == 0 {
                    baseline::futex_wait(from, 0);
                }
                from.store(0, Relaxed);
            },
        ),
        (Mechanism::Eventfd, _) => {
            let (to, from) = (passed(out)?, passed(inn)?);
            let mut sum = [0; 8];
            numbers(
                end,
                |number| Ok(baseline::write(to.as_fd(), &number.to_ne_bytes()).map(drop)?),
                || {
                    baseline::read(from.as_fd(), &mut sum)?;
                    Ok(u64::from_ne_bytes(sum))
                },
            )
        }
        (Mechanism::Condition, Contestant::Library) => conditions(end),
        (Mechanism::Condition, _) => monitors(end),
    }
}

/// Whole messages: `get` returns the length of one that it has written into the buffer.
fn messages(
    end: &Endpoint<'_>,
    mut put: impl FnMut(&[u8]) -> Result<()>,
    mut get: impl FnMut(&mut Vec<u8>) -> Result<usize>,
) -> Result<()> {
    let mut buffer = vec![0; end.spec.case.size];
    exchange(
        end.spec,
        |message| put(message.bytes()),
        |expected| {
            let length = get(&mut buffer)?;
            expected.check(&buffer[..length])
        },
    )
}

/// Numbers, which stand for messages of eight bytes.
fn numbers(
    end: &Endpoint<'_>,
    mut put: impl FnMut(u64) -> Result<()>,
    mut get: impl FnMut() -> Result<u64>,
) -> Result<()> {
    exchange(
        end.spec,
        |message| put(message.number()),
        |expected| expected.check(&get()?.to_le_bytes()),
    )
}

/// What the library has opened, used by the library or by system calls.
fn pipes(end: &Endpoint<'_>, to: Writer, from: Reader) -> Result<()> {
    if end.spec.contestant == Contestant::Library {
        return streams(end, to, from);
    }
    let (to, from) = (OwnedFd::from(to), OwnedFd::from(from));
    messages(
        end,
        |bytes| write_all(bytes, |rest| baseline::write(to.as_fd(), rest)),
        |buffer| read_exact(buffer, |rest| baseline::read(from.as_fd(), rest)),
    )
}

/// Bytes, whose messages are as long as was agreed.
fn streams(end: &Endpoint<'_>, mut to: impl Write, mut from: impl Read) -> Result<()> {
    messages(
        end,
        |bytes| Ok(to.write_all(bytes)?),
        |buffer| Ok(from.read_exact(buffer).map(|()| buffer.len())?),
    )
}

fn queues(end: &Endpoint<'_>, to: impl Queue, from: impl Queue) -> Result<()> {
    messages(
        end,
        |bytes| Ok(to.put(bytes)?),
        |buffer| Ok(from.receive(buffer, Wait::Forever)?.length),
    )
}

/// A number that one side writes and the other looks at until it changes.
fn values(end: &Endpoint<'_>, set: impl Fn(u64), get: impl Fn() -> u64) -> Result<()> {
    let mut seen = 0;
    let next = || {
        loop {
            let now = get();
            if now != seen {
                seen = now;
                return Ok(now);
            }
        }
    };
    let put = |number| {
        set(number);
        Ok(())
    };
    numbers(end, put, next)
}

/// Numbers in shared memory, and four semaphores: from near to far one that counts the numbers that are there, and one
/// that counts the slots that are free; then the same from far to near.
fn semaphores(
    end: &Endpoint<'_>,
    up: impl Fn(usize) -> Result<()>,
    down: impl Fn(usize) -> Result<()>,
) -> Result<()> {
    let words = Words::from_fd(passed(0)?)?;
    let (bounded, out, inn) = (end.is_bounded(), end.out, end.inn);
    let (mut sent, mut received) = (0, 0);
    numbers(
        end,
        |number| {
            if bounded {
                down(2 * out + 1)?;
            }
            words.word(out * SLOTS + sent % SLOTS).store(number, Relaxed);
            sent += 1;
            up(2 * out)
        },
        || {
            down(2 * inn)?;
            let number = words.word(inn * SLOTS + received % SLOTS).load(Relaxed);
            received += 1;
            if bounded {
                up(2 * inn + 1)?;
            }
            Ok(number)
        },
    )
}

/// Signals that carry a number.
fn signals(
    end: &Endpoint<'_>,
    queue: impl Fn(i32) -> Result<()>,
    wait: impl Fn() -> Result<i32>,
) -> Result<()> {
    let get = || Ok(u64::from(wait()?.cast_unsigned()));
    numbers(end, |number| queue(i32::try_from(number)?), get)
}

/// Numbers in shared memory, and an event for each direction, or the futex next to each number.
fn events(end: &Endpoint<'_>, set: impl Fn(&AtomicU32), wait: impl Fn(&AtomicU32)) -> Result<()> {
    let words = Words::from_fd(passed(0)?)?;
    numbers(
        end,
        |number| {
            words.word(end.out).store(number, Relaxed);
            set(words.futex(end.out));
            Ok(())
        },
        || {
            wait(words.futex(end.inn));
            Ok(words.word(end.inn).load(Relaxed))
        },
    )
}

/// The numbers that a mutex protects: how many were put, how many were taken, and [`SLOTS`] of them.
fn conditions(end: &Endpoint<'_>) -> Result<()> {
    let open = |at: usize| -> Result<_> {
        Ok((Mutex::<u64>::open(end.location(at)?)?, Condition::open(end.location(at + 2)?)?))
    };
    let (to, from, bounded) = (open(end.out)?, open(end.inn)?, end.is_bounded());
    numbers(
        end,
        |number| {
            let (mutex, changed) = &to;
            let mut held = mutex.lock()?;
            while held[0].get() - held[1].get() == SLOTS as u64 {
                held = changed.wait(held)?;
            }
            let put = held[0].get();
            held[2 + put as usize % SLOTS].set(number);
            held[0].set(put + 1);
            drop(held);
            changed.notify_one();
            Ok(())
        },
        || {
            let (mutex, changed) = &from;
            let mut held = mutex.lock()?;
            while held[0].get() == held[1].get() {
                held = changed.wait(held)?;
            }
            let taken = held[1].get();
            let number = held[2 + taken as usize % SLOTS].get();
            held[1].set(taken + 1);
            drop(held);
            if bounded {
                changed.notify_one();
            }
            Ok(number)
        },
    )
}

/// The same with the C library alone.
fn monitors(end: &Endpoint<'_>) -> Result<()> {
    let open = |at| -> Result<_> { Ok(baseline::Monitor::from_fd(passed(at)?)?) };
    let (to, from, bounded) = (open(end.out)?, open(end.inn)?, end.is_bounded());
    numbers(
        end,
        |number| {
            let mut held = to.lock();
            while held[0].load(Relaxed) - held[1].load(Relaxed) == SLOTS as u64 {
                held.wait();
            }
            let put = held[0].load(Relaxed);
            held[2 + put as usize % SLOTS].store(number, Relaxed);
            held[0].store(put + 1, Relaxed);
            drop(held);
            to.notify();
            Ok(())
        },
        || {
            let mut held = from.lock();
            while held[0].load(Relaxed) == held[1].load(Relaxed) {
                held.wait();
            }
            let taken = held[1].load(Relaxed);
            let number = held[2 + taken as usize % SLOTS].load(Relaxed);
            held[1].store(taken + 1, Relaxed);
            drop(held);
            if bounded {
                from.notify();
            }
            Ok(number)
        },
    )
}

/// A publish-subscribe service of others, for comparison: shared memory and spinning too.
#[cfg(feature = "iceoryx2")]
fn iceoryx2(end: &Endpoint<'_>) -> Result<()> {
    use super::exchange::exchange_after;
    use iceoryx2::prelude::{
        BackpressureStrategy, LogLevel, NodeBuilder, ServiceName, ipc, set_log_level,
    };

    // It warns that it was not configured.
    set_log_level(LogLevel::Error);
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let name = end.address(0)?;
    let open = |at: usize| -> Result<_> {
        let name = ServiceName::new(&format!("{name}/{}", ["forth", "back"][at]))?;
        let builder = node.service_builder(&name).publish_subscribe::<[u8]>();
        let builder = builder.enable_safe_overflow(false).history_size(0);
        Ok(builder.subscriber_max_buffer_size(128).open_or_create()?)
    };
    let size = end.spec.case.size;
    let (out, inn) = (open(end.out)?, open(end.inn)?);
    let to = out
        .publisher_builder()
        .initial_max_slice_len(size)
        .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
        .create()?;
    let from = inn.subscriber_builder().create()?;
    let mut buffer = Vec::with_capacity(size);
    exchange_after(
        end.spec,
        // A subscriber connects when it looks first, and what was sent before is lost once the buffer is full.
        || Ok(from.has_samples().map(drop)?),
        |message| {
            to.loan_slice_uninit(size)?.write_from_slice(message.bytes()).send()?;
            Ok(())
        },
        |expected| {
            loop {
                if let Some(sample) = from.receive()? {
                    // As the others, which return a message that stays.
                    buffer.clear();
                    buffer.extend_from_slice(sample.payload());
                    return expected.check(&buffer);
                }
            }
        },
    )
}

#[cfg(not(feature = "iceoryx2"))]
fn iceoryx2(_: &Endpoint<'_>) -> Result<()> {
    Err("built without the feature iceoryx2".into())
}

#[inline]
fn write_all(bytes: &[u8], mut call: impl FnMut(&[u8]) -> io::Result<usize>) -> Result<()> {
    let mut sent = 0;
    while sent < bytes.len() {
        sent += call(&bytes[sent..])?;
    }
    Ok(())
}

#[inline]
fn read_exact(
    buffer: &mut [u8],
    mut call: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match call(&mut buffer[got..])? {
            0 => return Err("the other end is closed".into()),
            more => got += more,
        }
    }
    Ok(got)
}
