//! One interface over five transports: the short header that both sides share.

use std::error::Error;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use ipc::Key;
use ipc::pipe::{self, pipe};
use ipc::process::{Launch, Tracked, Tracker, passed};
use ipc::queue::{PosixQueue, Queue, SysvQueue};
use ipc::shared::Location;
use ipc::shared::ring::{self, Many, RingMany, WaitStrategy};
use ipc::socket::Packets;

use crate::story;

/// What each message is long: the number of its producer and its own, four bytes each.
pub const LENGTH: usize = 8;

/// How many messages wait in a queue or ring before producers do.
const CAPACITY: usize = 8;

pub const KINDS: [&str; 5] = ["pipe", "posix queue", "system v queue", "ring", "socket"];

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The parent's side: it makes the channel, hands it to its children, and ends it.
pub struct Channel {
    kind: &'static str,
    /// How children open a queue; the others pass a descriptor.
    address: String,
    /// As long as this is there, a pipe, a ring and a socket do not end.
    sender: Option<Sender>,
    /// As long as this is there, a producer does not notice that the consumers have gone.
    receiver: Option<Receiver>,
    ring: Option<RingMany>,
}

pub enum Sender {
    Pipe(pipe::Writer),
    Queue(Box<dyn Queue>),
    Ring(ring::Sender<Many>),
    Socket(Packets),
}

pub enum Receiver {
    Pipe(pipe::Reader),
    Queue(Box<dyn Queue>),
    Ring(ring::Receiver<Many>),
    Socket(Packets),
}

impl Channel {
    /// A queue has a name or a key, which the tracker removes if this process is killed.
    pub fn create(kind: &'static str, tracker: &mut Tracker) -> Outcome<Self> {
        let name = story::unique_name("producers");
        let (mut address, mut receiver, mut ring) = (String::new(), None, None);
        let sender = match kind {
            "pipe" => {
                let (reading, writing) = pipe()?;
                receiver = Some(Receiver::Pipe(reading));
                Sender::Pipe(writing)
            }
            "posix queue" => {
                tracker.track(Tracked::PosixQueue(name.clone()))?;
                address.clone_from(&name);
                Sender::Queue(Box::new(PosixQueue::create(&name, CAPACITY, LENGTH)?))
            }
            "system v queue" => {
                let key = Key::of_name(&name)?;
                tracker.track(Tracked::SysvQueue(key))?;
                let queue = SysvQueue::create(key, CAPACITY, LENGTH)?;
                address = queue.id().to_string();
                Sender::Queue(Box::new(queue))
            }
            "ring" => {
                let memory = Location::Memfd("producers".into());
                let made = RingMany::create(memory, CAPACITY, LENGTH, WaitStrategy::Sleep)?;
                Sender::Ring(ring.insert(made).sender()?)
            }
            _ => {
                let (ours, theirs) = Packets::pair()?;
                receiver = Some(Receiver::Socket(theirs));
                Sender::Socket(ours)
            }
        };
        Ok(Self { kind, address, sender: Some(sender), receiver, ring })
    }

    pub fn pass_sender(&self, launch: Launch) -> Outcome<Launch> {
        let launch = launch.args([self.kind, &self.address]);
        Ok(match (&self.sender, &self.ring) {
            (Some(Sender::Pipe(writer)), _) => launch.pass(story::copy(writer.as_fd())?),
            (Some(Sender::Socket(socket)), _) => launch.pass(story::copy(socket.as_fd())?),
            (_, Some(ring)) => launch.pass(story::descriptor(ring.memory())?),
            _ => launch,
        })
    }

    pub fn pass_receiver(&self, launch: Launch) -> Outcome<Launch> {
        let launch = launch.args([self.kind, &self.address]);
        Ok(match (&self.receiver, &self.ring) {
            (Some(Receiver::Pipe(reader)), _) => launch.pass(story::copy(reader.as_fd())?),
            (Some(Receiver::Socket(socket)), _) => launch.pass(story::copy(socket.as_fd())?),
            (_, Some(ring)) => launch.pass(story::descriptor(ring.memory())?),
            _ => launch,
        })
    }

    /// Closes this process's own end to receive from: only the consumers have one then.
    pub fn close_receiver(&mut self) {
        self.receiver = None;
    }

    /// Nothing more will come. What was put is still delivered.
    pub fn end(&mut self, consumers: usize) -> Outcome<()> {
        if let Some(Sender::Queue(queue)) = &self.sender {
            for _ in 0..consumers {
                queue.put_timeout(b"", story::LIMIT)?;
            }
        } else {
            self.sender = None; // the last that can send has gone
        }
        Ok(())
    }
}

/// Opens a queue by its address.
fn queue(kind: &str, address: &str) -> Outcome<Box<dyn Queue>> {
    Ok(match kind {
        "posix queue" => Box::new(PosixQueue::open(address)?),
        _ => Box::new(SysvQueue::from_id(address.parse()?, LENGTH)?),
    })
}

impl Sender {
    /// In a child: opens what the parent's arguments say.
    pub fn open(arguments: &[String]) -> Outcome<Self> {
        let [kind, address] = arguments else { return Err("usage: KIND ADDRESS".into()) };
        Ok(match kind.as_str() {
            "pipe" => Self::Pipe(pipe::Writer::from_fd(passed(0)?)?),
            "ring" => Self::Ring(RingMany::open(passed(0)?)?.sender()?),
            "socket" => Self::Socket(Packets::from_fd(passed(0)?)?),
            _ => Self::Queue(queue(kind, address)?),
        })
    }

    pub fn put(&mut self, message: &[u8; LENGTH]) -> Outcome<()> {
        match self {
            Self::Pipe(writer) => writer.write_all(message)?,
            Self::Queue(queue) => queue.put(message)?,
            Self::Ring(ring) => ring.put(message)?,
            Self::Socket(socket) => socket.send(message)?,
        }
        Ok(())
    }
}

impl Receiver {
    pub fn open(arguments: &[String]) -> Outcome<Self> {
        let [kind, address] = arguments else { return Err("usage: KIND ADDRESS".into()) };
        Ok(match kind.as_str() {
            "pipe" => Self::Pipe(pipe::Reader::from_fd(passed(0)?)?),
            "ring" => Self::Ring(RingMany::open(passed(0)?)?.receiver()?),
            "socket" => Self::Socket(Packets::from_fd(passed(0)?)?),
            _ => Self::Queue(queue(kind, address)?),
        })
    }

    /// The next message; nothing at the end.
    pub fn get(&mut self) -> Outcome<Option<[u8; LENGTH]>> {
        let mut message = [0; LENGTH];
        let length = match self {
            // Whole messages only are in the pipe, so a read cannot give a part of one.
            Self::Pipe(reader) => reader.read(&mut message)?,
            Self::Queue(queue) => queue.receive(&mut message, ipc::Wait::Forever)?.length,
            Self::Socket(socket) => socket.receive(&mut message)?.unwrap_or(0),
            Self::Ring(ring) => {
                let mut taken = Vec::new();
                match ring.get(&mut taken) {
                    Err(ipc::Error::Closed { .. }) => return Ok(None),
                    outcome => outcome?,
                }
                message = taken.try_into().map_err(|_| "a message of another length")?;
                LENGTH
            }
        };
        match length {
            0 => Ok(None),
            LENGTH => Ok(Some(message)),
            other => Err(format!("a message of {other} bytes").into()),
        }
    }
}
