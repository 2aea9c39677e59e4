//! The two processes that are measured, from inside.
//!
//! Each is told on its standard input what to do, and says on its standard output when it was done: the clock
//! (CLOCK_MONOTONIC) is the same for both. What one does with a mechanism is behind the trait `End`, once for the library
//! and once for the bare calls; `work` is compiled for each of them anew, so that no dispatch stands between.

use super::cases::{Case, Course, Mechanism, NUMBER, Who};
use super::message::Message;
use ipc::Wait;
use ipc::baseline;
use ipc::event::Event;
use ipc::lock::{Condition, Mutex};
use ipc::pipe::{Reader, Writer};
use ipc::queue::{PosixQueue, Queue, SysvQueue};
use ipc::semaphore::{OnDeath, Semaphore, SharedSemaphore, SysvSemaphore};
use ipc::shared::ring::{self, Many, Ring, RingMany};
use ipc::shared::{Location, Value};
use ipc::signal::{self, Blocked, Signal};
use ipc::socket::{Datagram, Packets, Stream};
use rustix::process::{Pid, getppid, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::ffi::c_long;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

type Failure = Box<dyn Error>;
type Outcome<T> = Result<T, Failure>;

/// The name under which both processes are started.
pub const ENTRY: &str = "ipc-end";

/// How many numbers find room where they are handed over one by one.
pub const PLACES: usize = 16;

/// Which of the two it is. The near one sends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// It sends first, and takes the time of round trips.
    Near,
    /// It answers, or only takes.
    Far,
}

/// All that a process is told when it is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// What is measured.
    pub case: Case,
    /// With what.
    pub who: Who,
    /// Which end this is.
    pub side: Side,
    /// The core to stay on.
    pub core: Option<usize>,
    /// Who measures: this process ends with it.
    pub parent: i32,
    /// Whether every byte of every message is compared.
    pub thorough: bool,
    /// The names of what the two have in common: that from near to far, and that from far to near.
    pub addresses: Vec<String>,
}

/// One end of a mechanism.
trait End {
    /// Sends a message, and waits until there is room for it.
    fn send(&mut self, message: &Message) -> Outcome<()>;
    /// Waits for the next message.
    fn receive(&mut self) -> Outcome<&[u8]>;
    /// Does what is to be done before the other end sends, when both are there.
    fn settle(&mut self) -> Outcome<()> {
        Ok(())
    }
}

/// Runs as one end. The first argument is a [`Spec`].
pub fn main(arguments: &[String]) -> Result<(), Failure> {
    let result = arguments
        .first()
        .ok_or_else(|| "a specification is missing".into())
        .and_then(|json| Ok(serde_json::from_str::<Spec>(json)?))
        .and_then(|spec| open_and_work(&spec));
    if let Err(error) = result {
        // One line, for the process that measures; it kills the other end.
        say(&format!("failed {}", error.to_string().replace('\n', " ")));
    }
    Ok(())
}

fn open_and_work(spec: &Spec) -> Outcome<()> {
    // Not a daemon of `ipc::process`, which has a second thread for this: with one thread the kernel counts no references to
    // descriptors, and signals have nobody else to go to.
    set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    if getppid().map(Pid::as_raw_pid) != Some(spec.parent) {
        return Ok(());
    }
    if let Some(core) = spec.core {
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only)?;
    }
    let peer: i32 = listen()?.strip_prefix("peer ").ok_or("no peer was named")?.parse()?;
    let size = spec.case.size;
    let buffer = || vec![0; size];
    let (out, inn) = if spec.side == Side::Near { (0, 1) } else { (1, 0) };
    let address = |at: usize| spec.addresses.get(at).map(String::as_str).ok_or("no address");
    let place = |at: usize| -> Outcome<Location> { Ok(address(at)?.parse::<Location>()?) };
    let one_way = spec.case.course == Course::OneWay;
    match (spec.case.mechanism, spec.who) {
        (Mechanism::Pipe, who) => {
            let (to, from) = (Writer::from_fd(passed(0)?)?, Reader::from_fd(passed(1)?)?);
            pipes(to, from, who, buffer(), spec)
        }
        (Mechanism::Fifo, who) => {
            // Each opening waits for the other side's: both begin with the same FIFO.
            let (to, from) = if spec.side == Side::Near {
                (Writer::open(address(out)?)?, Reader::open(address(inn)?)?)
            } else {
                let from = Reader::open(address(inn)?)?;
                (Writer::open(address(out)?)?, from)
            };
            pipes(to, from, who, buffer(), spec)
        }
        (Mechanism::Stream, Who::Library) => {
            let to = Stream::from_fd(passed(0)?)?;
            let from = Stream::from_fd(to.as_fd().try_clone_to_owned()?)?;
            work(Bytes { to, from, buffer: buffer() }, spec)
        }
        (Mechanism::Stream | Mechanism::Tcp, _) => {
            work(BareStream { socket: passed(0)?, buffer: buffer() }, spec)
        }
        (Mechanism::Packets, Who::Library) => {
            work(LibraryPackets(Packets::from_fd(passed(0)?)?, buffer()), spec)
        }
        (Mechanism::Datagram, Who::Library) => {
            work(Datagrams(Datagram::from_fd(passed(0)?)?, buffer()), spec)
        }
        (Mechanism::Packets | Mechanism::Datagram, _) => {
            work(BarePackets(passed(0)?, buffer()), spec)
        }
        (Mechanism::PosixQueue, who) => {
            let to = PosixQueue::open(address(out)?)?;
            let from = PosixQueue::open(address(inn)?)?;
            match who {
                Who::Library => work(Queues { to, from, buffer: buffer() }, spec),
                _ => work(BarePosixQueues { to, from, buffer: buffer() }, spec),
            }
        }
        (Mechanism::SysvQueue, who) => {
            let (to, from) = (address(out)?.parse()?, address(inn)?.parse()?);
            match who {
                Who::Library => {
                    let to = SysvQueue::from_id(to, size)?;
                    let from = SysvQueue::from_id(from, size)?;
                    work(Queues { to, from, buffer: buffer() }, spec)
                }
                _ => {
                    work(BareSysvQueues { to, from, buffer: vec![0; size + baseline::TYPE] }, spec)
                }
            }
        }
        (Mechanism::Ring, Who::Library) => {
            let sender = Ring::open(place(out)?)?.sender()?;
            let receiver = Ring::open(place(inn)?)?.receiver()?;
            work(LibraryRing { sender, receiver, buffer: Vec::with_capacity(size) }, spec)
        }
        (Mechanism::Ring, Who::Bare) => {
            let (forth, back) = (passed(0)?, passed(1)?);
            let (to, from) = if spec.side == Side::Near { (forth, back) } else { (back, forth) };
            let sender = baseline::Ring::from_fd(to)?.sender()?;
            let receiver = baseline::Ring::from_fd(from)?.receiver()?;
            work(BareRing { sender, receiver, buffer: buffer() }, spec)
        }
        (Mechanism::ManyRing, Who::Library) => {
            let sender = RingMany::open(place(out)?)?.sender()?;
            let receiver = RingMany::open(place(inn)?)?.receiver()?;
            work(LibraryManyRing { sender, receiver, buffer: Vec::with_capacity(size) }, spec)
        }
        (Mechanism::ManyRing, _) => {
            let (forth, back) = (passed(0)?, passed(1)?);
            let (to, from) = if spec.side == Side::Near { (forth, back) } else { (back, forth) };
            let sender = baseline::ManyRing::from_fd(to)?.sender();
            let receiver = baseline::ManyRing::from_fd(from)?.receiver()?;
            work(BareManyRing { sender, receiver, buffer: buffer() }, spec)
        }
        (Mechanism::Ring | Mechanism::Value, Who::Line) => {
            let line = baseline::Words::from_fd(passed(0)?)?;
            work(Lines { line, out, seen: 0, number: [0; 8] }, spec)
        }
        (Mechanism::Ring, Who::Iceoryx2) => iceoryx(spec, address(0)?),
        (Mechanism::Value, _) => {
            let (to, from) = (Value::open(place(out)?)?, Value::open(place(inn)?)?);
            work(Values { to, from, seen: 0, number: [0; 8] }, spec)
        }
        (Mechanism::PosixSemaphore, Who::Library) => {
            let words = baseline::Words::from_fd(passed(0)?)?;
            let mut all = Vec::new();
            for at in 1..=4 {
                all.push(SharedSemaphore::from_fd(passed(at)?)?);
            }
            work(Turns::new(words, all, out, one_way)?, spec)
        }
        (Mechanism::PosixSemaphore, _) => {
            let words = baseline::Words::from_fd(passed(0)?)?;
            let mut all = Vec::new();
            for at in 1..=4 {
                all.push(baseline::Semaphore::from_fd(passed(at)?)?);
            }
            work(Turns::new(words, all, out, one_way)?, spec)
        }
        (Mechanism::SysvSemaphore, who) => {
            let words = baseline::Words::from_fd(passed(0)?)?;
            let ids = spec.addresses.iter().map(|id| id.parse::<i32>());
            let ids = ids.collect::<Result<Vec<i32>, _>>()?;
            match who {
                Who::Library => {
                    let open = |id| SysvSemaphore::from_id(id, OnDeath::Keep);
                    let all = ids.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
                    work(Turns::new(words, all, out, one_way)?, spec)
                }
                _ => {
                    let all = ids.into_iter().map(BareSysv).collect();
                    work(Turns::new(words, all, out, one_way)?, spec)
                }
            }
        }
        (Mechanism::Signal, who) => {
            let signal = Signal::realtime(0)?;
            let blocked = Blocked::new(signal)?;
            match who {
                Who::Library => work(Signals { peer, signal, blocked, number: [0; 8] }, spec),
                _ => {
                    let (signal, _blocked) = (signal.number(), blocked);
                    work(BareSignals { peer, signal, number: [0; 8] }, spec)
                }
            }
        }
        (Mechanism::Event, Who::Library) => {
            let words = baseline::Words::from_fd(passed(0)?)?;
            let (to, from) = (Event::open(place(out)?)?, Event::open(place(inn)?)?);
            work(Events { words, to, from, out, number: [0; 8] }, spec)
        }
        (Mechanism::Event, _) => {
            let words = baseline::Words::from_fd(passed(0)?)?;
            work(BareEvents { words, out, number: [0; 8] }, spec)
        }
        (Mechanism::Eventfd, _) => {
            work(Eventfds { to: passed(out)?, from: passed(inn)?, number: [0; 8] }, spec)
        }
        (Mechanism::Condition, Who::Library) => {
            let to = (Mutex::open(place(out)?)?, Condition::open(place(out + 2)?)?);
            let from = (Mutex::open(place(inn)?)?, Condition::open(place(inn + 2)?)?);
            work(Conditions { to, from, bounded: one_way, number: [0; 8] }, spec)
        }
        (Mechanism::Condition, _) => {
            let (forth, back) = (passed(0)?, passed(1)?);
            let (to, from) = if spec.side == Side::Near { (forth, back) } else { (back, forth) };
            let (to, from) = (baseline::Monitor::from_fd(to)?, baseline::Monitor::from_fd(from)?);
            work(Monitors { to, from, bounded: one_way, number: [0; 8] }, spec)
        }
    }
}

fn passed(at: usize) -> Outcome<OwnedFd> {
    Ok(ipc::process::passed(at)?)
}

// What is said and heard.

fn say(line: &str) {
    let mut out = io::stdout().lock();
    // Nobody is left to be told when this fails; the next line that is not heard ends the process.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The next line; empty at the end.
fn listen() -> Outcome<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Nanoseconds on the clock that all processes share.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Does what it is told until the other end of standard input is closed.
fn work<E: End>(mut end: E, spec: &Spec) -> Outcome<()> {
    // Two cache lines that go to and fro are the floor of longer messages too, and carry a number.
    let size = if spec.who == Who::Line { NUMBER } else { spec.case.size };
    let (mut out, mut model) = (Message::new(size), Message::new(size));
    say("ready");
    loop {
        let line = listen()?;
        let Some((what, count)) = line.split_once(' ') else { return Ok(()) };
        let count: u64 = count.parse()?;
        let begun;
        match what {
            "ping" => {
                begun = now();
                for left in (0..count).rev() {
                    end.send(out.advance())?;
                    take(&mut end, &mut model, spec.thorough || left == 0)?;
                }
            }
            "echo" => {
                end.settle()?;
                say("go");
                begun = now();
                for left in (0..count).rev() {
                    take(&mut end, &mut model, spec.thorough || left == 0)?;
                    end.send(out.advance())?;
                }
            }
            "send" => {
                begun = now();
                for _ in 0..count {
                    end.send(out.advance())?;
                }
            }
            "take" => {
                end.settle()?;
                say("go");
                begun = now();
                for left in (0..count).rev() {
                    take(&mut end, &mut model, spec.thorough || left == 0)?;
                }
            }
            other => return Err(format!("what is {other:?}?").into()),
        }
        let ended = now();
        say(&format!("done {begun} {ended}"));
    }
}

/// Takes the next message, which is to be that of the model.
#[inline]
fn take<E: End>(end: &mut E, model: &mut Message, whole: bool) -> Outcome<()> {
    let got = end.receive()?;
    model.advance();
    if !model.resembles(got) || (whole && got != model.bytes()) {
        return Err(wrong(model, got));
    }
    Ok(())
}

#[cold]
fn wrong(model: &Message, got: &[u8]) -> Failure {
    let number = got.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    let (wanted, length) = (model.number(), got.len());
    format!("WRONG DATA: message {wanted} came as {length} bytes that begin with {number}").into()
}

// Bytes, whose messages are as long as was agreed.

struct Bytes<W, R> {
    to: W,
    from: R,
    buffer: Vec<u8>,
}

impl<W: Write, R: Read> End for Bytes<W, R> {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        Ok(self.to.write_all(message.bytes())?)
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        self.from.read_exact(&mut self.buffer)?;
        Ok(&self.buffer)
    }
}

/// What the library has opened, in its hands or in bare ones.
fn pipes(to: Writer, from: Reader, who: Who, buffer: Vec<u8>, spec: &Spec) -> Outcome<()> {
    match who {
        Who::Library => work(Bytes { to, from, buffer }, spec),
        _ => work(BarePipes { to: to.into(), from: from.into(), buffer }, spec),
    }
}

struct BarePipes {
    to: OwnedFd,
    from: OwnedFd,
    buffer: Vec<u8>,
}

impl End for BarePipes {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        all_of(message.bytes(), |rest| baseline::write(self.to.as_fd(), rest))
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let from = self.from.as_fd();
        full(&mut self.buffer, |rest| baseline::read(from, rest))?;
        Ok(&self.buffer)
    }
}

struct BareStream {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl End for BareStream {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        all_of(message.bytes(), |rest| baseline::send(self.socket.as_fd(), rest))
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let socket = self.socket.as_fd();
        full(&mut self.buffer, |rest| baseline::receive(socket, rest))?;
        Ok(&self.buffer)
    }
}

#[inline]
fn all_of(bytes: &[u8], mut call: impl FnMut(&[u8]) -> io::Result<usize>) -> Outcome<()> {
    let mut sent = 0;
    while sent < bytes.len() {
        sent += call(&bytes[sent..])?;
    }
    Ok(())
}

#[inline]
fn full(buffer: &mut [u8], mut call: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Outcome<()> {
    let mut got = 0;
    while got < buffer.len() {
        match call(&mut buffer[got..])? {
            0 => return Err("the other end is closed".into()),
            more => got += more,
        }
    }
    Ok(())
}

// Messages.

struct LibraryPackets(Packets, Vec<u8>);

impl End for LibraryPackets {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        Ok(self.0.send(message.bytes())?)
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let length = self.0.receive(&mut self.1)?.unwrap_or(0);
        Ok(&self.1[..length])
    }
}

struct Datagrams(Datagram, Vec<u8>);

impl End for Datagrams {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        Ok(self.0.send(message.bytes())?)
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let letter = self.0.receive(&mut self.1)?;
        Ok(&self.1[..letter.length])
    }
}

struct BarePackets(OwnedFd, Vec<u8>);

impl End for BarePackets {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        baseline::send(self.0.as_fd(), message.bytes())?;
        Ok(())
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let length = baseline::receive(self.0.as_fd(), &mut self.1)?;
        Ok(&self.1[..length])
    }
}

struct Queues<Q> {
    to: Q,
    from: Q,
    buffer: Vec<u8>,
}

impl<Q: Queue> End for Queues<Q> {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        Ok(self.to.put(message.bytes())?)
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let received = self.from.receive(&mut self.buffer, Wait::Forever)?;
        Ok(&self.buffer[..received.length])
    }
}

struct BarePosixQueues {
    to: PosixQueue,
    from: PosixQueue,
    buffer: Vec<u8>,
}

impl End for BarePosixQueues {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        Ok(baseline::mq_send(self.to.as_fd(), message.bytes())?)
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let length = baseline::mq_receive(self.from.as_fd(), &mut self.buffer)?;
        Ok(&self.buffer[..length])
    }
}

struct BareSysvQueues {
    to: i32,
    from: i32,
    buffer: Vec<u8>,
}

impl End for BareSysvQueues {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        Ok(baseline::msgsnd(self.to, message.typed())?)
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        // The most urgent first, as the library: for this order the kernel looks at all that wait.
        let length = baseline::msgrcv(self.from, &mut self.buffer, -c_long::MAX)?;
        Ok(&self.buffer[baseline::TYPE..baseline::TYPE + length])
    }
}

// Rings.

struct LibraryRing {
    sender: ring::Sender,
    receiver: ring::Receiver,
    buffer: Vec<u8>,
}

impl End for LibraryRing {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        Ok(self.sender.put(message.bytes())?)
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        self.receiver.get(&mut self.buffer)?;
        Ok(&self.buffer)
    }
}

struct LibraryManyRing {
    sender: ring::Sender<Many>,
    receiver: ring::Receiver<Many>,
    buffer: Vec<u8>,
}

impl End for LibraryManyRing {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        Ok(self.sender.put(message.bytes())?)
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        self.receiver.get(&mut self.buffer)?;
        Ok(&self.buffer)
    }
}

struct BareRing {
    sender: baseline::Sender,
    receiver: baseline::Receiver,
    buffer: Vec<u8>,
}

impl End for BareRing {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        self.sender.put(message.bytes());
        Ok(())
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let length = self.receiver.get(&mut self.buffer);
        Ok(&self.buffer[..length])
    }
}

struct BareManyRing {
    sender: baseline::ManySender,
    receiver: baseline::ManyReceiver,
    buffer: Vec<u8>,
}

impl End for BareManyRing {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        self.sender.put(message.bytes());
        Ok(())
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let length = self.receiver.get(&mut self.buffer);
        Ok(&self.buffer[..length])
    }
}

/// The next publish-subscribe service, for comparison: shared memory and spinning too.
#[cfg(feature = "iceoryx2")]
fn iceoryx(spec: &Spec, name: &str) -> Outcome<()> {
    use iceoryx2::port::publisher::Publisher;
    use iceoryx2::port::subscriber::Subscriber;
    use iceoryx2::prelude::{
        BackpressureStrategy, LogLevel, NodeBuilder, ServiceName, ipc, set_log_level,
    };

    struct Iceoryx {
        to: Publisher<ipc::Service, [u8], ()>,
        from: Subscriber<ipc::Service, [u8], ()>,
        size: usize,
        buffer: Vec<u8>,
    }

    impl End for Iceoryx {
        #[inline]
        fn send(&mut self, message: &Message) -> Outcome<()> {
            let sample = self.to.loan_slice_uninit(self.size)?;
            sample.write_from_slice(message.bytes()).send()?;
            Ok(())
        }

        #[inline]
        fn receive(&mut self) -> Outcome<&[u8]> {
            loop {
                if let Some(sample) = self.from.receive()? {
                    // As the others do, who give a message that stays.
                    self.buffer.clear();
                    self.buffer.extend_from_slice(sample.payload());
                    return Ok(&self.buffer);
                }
            }
        }

        fn settle(&mut self) -> Outcome<()> {
            // A subscriber connects when it looks first, and what was sent before is lost once the buffer is full.
            self.from.has_samples()?;
            Ok(())
        }
    }

    // It warns that it was not configured.
    set_log_level(LogLevel::Error);
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let open = |way: &str| -> Outcome<_> {
        let name = ServiceName::new(&format!("{name}/{way}"))?;
        let builder = node.service_builder(&name).publish_subscribe::<[u8]>();
        let builder = builder.enable_safe_overflow(false).history_size(0);
        Ok(builder.subscriber_max_buffer_size(128).open_or_create()?)
    };
    let size = spec.case.size;
    let (forth, back) = (open("forth")?, open("back")?);
    let (out, inn) = if spec.side == Side::Near { (forth, back) } else { (back, forth) };
    let to = out
        .publisher_builder()
        .initial_max_slice_len(size)
        .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
        .create()?;
    let from = inn.subscriber_builder().create()?;
    work(Iceoryx { to, from, size, buffer: Vec::with_capacity(size) }, spec)
}

#[cfg(not(feature = "iceoryx2"))]
fn iceoryx(_: &Spec, _: &str) -> Outcome<()> {
    Err("built without the feature iceoryx2".into())
}

// Numbers, which stand for messages of eight bytes.

struct Lines {
    line: baseline::Words,
    out: usize,
    seen: u64,
    number: [u8; 8],
}

impl End for Lines {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        self.line.word(self.out).store(message.number(), Release);
        Ok(())
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let side = self.line.word(1 - self.out);
        self.seen = until_changed(self.seen, || side.load(Acquire));
        self.number = self.seen.to_le_bytes();
        Ok(&self.number)
    }
}

struct Values {
    to: Value<u64>,
    from: Value<u64>,
    seen: u64,
    number: [u8; 8],
}

impl End for Values {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        self.to.set(message.number());
        Ok(())
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        self.seen = until_changed(self.seen, || self.from.get());
        self.number = self.seen.to_le_bytes();
        Ok(&self.number)
    }
}

#[inline]
fn until_changed(seen: u64, look: impl Fn() -> u64) -> u64 {
    loop {
        match look() {
            now if now != seen => return now,
            _ => {}
        }
    }
}

/// Numbers in shared memory, and semaphores that say whose turn it is: one for those that are there, and, one way, one
/// for those that there is room for.
struct Turns<S> {
    words: baseline::Words,
    /// From near to far: filled, free. Then the same from far to near.
    semaphores: Vec<S>,
    out: usize,
    bounded: bool,
    sent: usize,
    received: usize,
    number: [u8; 8],
}

/// The two calls of a semaphore.
trait Turn {
    fn up(&self) -> Outcome<()>;
    fn down(&self) -> Outcome<()>;
}

impl<S: Turn> Turns<S> {
    fn new(words: baseline::Words, semaphores: Vec<S>, out: usize, bounded: bool) -> Outcome<Self> {
        if semaphores.len() != 4 {
            return Err("there are to be four semaphores".into());
        }
        Ok(Turns { words, semaphores, out, bounded, sent: 0, received: 0, number: [0; 8] })
    }
}

impl<S: Turn> End for Turns<S> {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        let (filled, free) = (&self.semaphores[2 * self.out], &self.semaphores[2 * self.out + 1]);
        if self.bounded {
            free.down()?;
        }
        let at = self.out * PLACES + self.sent % PLACES;
        self.words.word(at).store(message.number(), Relaxed);
        self.sent += 1;
        filled.up()
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let inn = 1 - self.out;
        let (filled, free) = (&self.semaphores[2 * inn], &self.semaphores[2 * inn + 1]);
        filled.down()?;
        let at = inn * PLACES + self.received % PLACES;
        self.number = self.words.word(at).load(Relaxed).to_le_bytes();
        self.received += 1;
        if self.bounded {
            free.up()?;
        }
        Ok(&self.number)
    }
}

impl Turn for SharedSemaphore {
    #[inline]
    fn up(&self) -> Outcome<()> {
        Ok(self.release()?)
    }

    #[inline]
    fn down(&self) -> Outcome<()> {
        Ok(self.acquire()?)
    }
}

impl Turn for SysvSemaphore {
    #[inline]
    fn up(&self) -> Outcome<()> {
        Ok(self.release()?)
    }

    #[inline]
    fn down(&self) -> Outcome<()> {
        Ok(self.acquire()?)
    }
}

impl Turn for baseline::Semaphore {
    #[inline]
    fn up(&self) -> Outcome<()> {
        Ok(self.post()?)
    }

    #[inline]
    fn down(&self) -> Outcome<()> {
        Ok(self.wait()?)
    }
}

struct BareSysv(i32);

impl Turn for BareSysv {
    #[inline]
    fn up(&self) -> Outcome<()> {
        Ok(baseline::semop(self.0, 1)?)
    }

    #[inline]
    fn down(&self) -> Outcome<()> {
        Ok(baseline::semop(self.0, -1)?)
    }
}

struct Signals {
    peer: i32,
    signal: Signal,
    blocked: Blocked,
    number: [u8; 8],
}

impl End for Signals {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        Ok(signal::queue(self.peer, self.signal, i32::try_from(message.number())?)?)
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let value = self.blocked.wait()?.value.ok_or("a signal without a number")?;
        self.number = u64::from(value.cast_unsigned()).to_le_bytes();
        Ok(&self.number)
    }
}

struct BareSignals {
    peer: i32,
    signal: i32,
    number: [u8; 8],
}

impl End for BareSignals {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        Ok(baseline::sigqueue(self.peer, self.signal, i32::try_from(message.number())?)?)
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let value = baseline::sigwait(self.signal)?;
        self.number = u64::from(value.cast_unsigned()).to_le_bytes();
        Ok(&self.number)
    }
}

struct Events {
    words: baseline::Words,
    to: Event,
    from: Event,
    out: usize,
    number: [u8; 8],
}

impl End for Events {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        self.words.word(self.out).store(message.number(), Relaxed);
        self.to.set();
        Ok(())
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        self.from.wait();
        self.from.clear();
        self.number = self.words.word(1 - self.out).load(Relaxed).to_le_bytes();
        Ok(&self.number)
    }
}

struct BareEvents {
    words: baseline::Words,
    out: usize,
    number: [u8; 8],
}

impl End for BareEvents {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        self.words.word(self.out).store(message.number(), Relaxed);
        let futex = self.words.futex(self.out);
        futex.store(1, Release);
        baseline::futex_wake_all(futex);
        Ok(())
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let futex = self.words.futex(1 - self.out);
        while futex.load(Acquire) == 0 {
            baseline::futex_wait(futex, 0);
        }
        futex.store(0, Relaxed);
        self.number = self.words.word(1 - self.out).load(Relaxed).to_le_bytes();
        Ok(&self.number)
    }
}

struct Eventfds {
    to: OwnedFd,
    from: OwnedFd,
    number: [u8; 8],
}

impl End for Eventfds {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        baseline::write(self.to.as_fd(), &message.number().to_ne_bytes())?;
        Ok(())
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let mut sum = [0; 8];
        baseline::read(self.from.as_fd(), &mut sum)?;
        self.number = u64::from_ne_bytes(sum).to_le_bytes();
        Ok(&self.number)
    }
}

/// The numbers that a mutex protects: how many were put, how many were taken, and [`PLACES`] of them.
struct Conditions {
    to: (Mutex<u64>, Condition),
    from: (Mutex<u64>, Condition),
    /// Whether anybody waits for room.
    bounded: bool,
    number: [u8; 8],
}

impl End for Conditions {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        let (mutex, changed) = &self.to;
        let mut held = mutex.lock()?;
        while held[0].get() - held[1].get() == PLACES as u64 {
            held = changed.wait(held)?;
        }
        let put = held[0].get();
        held[2 + put as usize % PLACES].set(message.number());
        held[0].set(put + 1);
        drop(held);
        changed.notify_one();
        Ok(())
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let (mutex, changed) = &self.from;
        let mut held = mutex.lock()?;
        while held[0].get() == held[1].get() {
            held = changed.wait(held)?;
        }
        let taken = held[1].get();
        self.number = held[2 + taken as usize % PLACES].get().to_le_bytes();
        held[1].set(taken + 1);
        drop(held);
        if self.bounded {
            changed.notify_one();
        }
        Ok(&self.number)
    }
}

/// The same with the C library alone.
struct Monitors {
    to: baseline::Monitor,
    from: baseline::Monitor,
    bounded: bool,
    number: [u8; 8],
}

impl End for Monitors {
    #[inline]
    fn send(&mut self, message: &Message) -> Outcome<()> {
        let mut held = self.to.lock();
        while held[0].load(Relaxed) - held[1].load(Relaxed) == PLACES as u64 {
            held.wait();
        }
        let put = held[0].load(Relaxed);
        held[2 + put as usize % PLACES].store(message.number(), Relaxed);
        held[0].store(put + 1, Relaxed);
        drop(held);
        self.to.notify();
        Ok(())
    }

    #[inline]
    fn receive(&mut self) -> Outcome<&[u8]> {
        let mut held = self.from.lock();
        while held[0].load(Relaxed) == held[1].load(Relaxed) {
            held.wait();
        }
        let taken = held[1].load(Relaxed);
        self.number = held[2 + taken as usize % PLACES].load(Relaxed).to_le_bytes();
        held[1].store(taken + 1, Relaxed);
        drop(held);
        if self.bounded {
            self.from.notify();
        }
        Ok(&self.number)
    }
}
