//! One interface over five transports: the short header that both sides share.

use std::error::Error;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};

use ipc::pipe::{self, pipe};
use ipc::process::{Launch, passed};
use ipc::queue::{PosixQueue, Queue, SysvQueue};
use ipc::shared::ring::{self, Many, RingMany, WaitStrategy};
use ipc::socket::Packets;
use ipc::{Error as IpcError, Key};

/// What each message is long: the number of its producer and its own, four bytes each.
pub const LENGTH: usize = 8;

/// How many messages wait in a queue or ring before producers do.
const CAPACITY: usize = 8;

pub const KINDS: [&str; 5] = ["pipe", "posix queue", "system v queue", "ring", "socket"];

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The parent's side: it makes the channel, hands it to its children, and ends it.
pub struct Channel {
    kind: &'static str,
    /// How children open it; empty if they get a descriptor.
    address: String,
    /// As long as this is there, a pipe, a ring and a socket do not end.
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    /// What lives as long as its creator.
    _ring: Option<RingMany>,
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
    pub fn create(kind: &'static str) -> Outcome<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("/ipc-producers-{}-{number}", std::process::id());
        let (mut address, mut receiver, mut ring) = (String::new(), None, None);
        let sender = match kind {
            "pipe" => {
                let (reading, writing) = pipe()?;
                receiver = Some(Receiver::Pipe(reading));
                Sender::Pipe(writing)
            }
            "posix queue" => {
                address.clone_from(&name);
                Sender::Queue(Box::new(PosixQueue::create(&name, CAPACITY, LENGTH)?))
            }
            "system v queue" => {
                let queue = SysvQueue::create(Key::PRIVATE, CAPACITY, LENGTH)?;
                address = queue.id().to_string();
                Sender::Queue(Box::new(queue))
            }
            "ring" => {
                address.clone_from(&name);
                let ring = ring.insert(RingMany::create(
                    name.as_str(),
                    CAPACITY,
                    LENGTH,
                    WaitStrategy::Sleep,
                )?);
                Sender::Ring(ring.sender()?)
            }
            _ => {
                let (ours, theirs) = Packets::pair()?;
                receiver = Some(Receiver::Socket(theirs));
                Sender::Socket(ours)
            }
        };
        Ok(Self { kind, address, sender: Some(sender), receiver, _ring: ring })
    }

    pub fn pass_sender(&self, launch: Launch) -> ipc::Result<Launch> {
        let launch = launch.args([self.kind, &self.address]);
        Ok(match &self.sender {
            Some(Sender::Pipe(writer)) => launch.pass(copy(writer)?),
            Some(Sender::Socket(socket)) => launch.pass(copy(socket)?),
            _ => launch,
        })
    }

    pub fn pass_receiver(&self, launch: Launch) -> ipc::Result<Launch> {
        let launch = launch.args([self.kind, &self.address]);
        Ok(match &self.receiver {
            Some(Receiver::Pipe(reader)) => launch.pass(copy(reader)?),
            Some(Receiver::Socket(socket)) => launch.pass(copy(socket)?),
            _ => launch,
        })
    }

    /// Nothing more will come. What was put is still delivered.
    pub fn end(&mut self, consumers: usize) -> Outcome<()> {
        if let Some(Sender::Queue(queue)) = &self.sender {
            for _ in 0..consumers {
                queue.put(b"")?;
            }
        } else {
            self.sender = None; // the last that can send has gone
        }
        Ok(())
    }
}

/// A second descriptor of the same end, for a child.
fn copy(end: &impl AsFd) -> ipc::Result<std::os::fd::OwnedFd> {
    end.as_fd().try_clone_to_owned().map_err(|error| IpcError::Unusable {
        object: "a copy of a descriptor".into(),
        reason: error.to_string(),
    })
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
            "ring" => Self::Ring(RingMany::open(address.as_str())?.sender()?),
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
            "ring" => Self::Ring(RingMany::open(address.as_str())?.receiver()?),
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
                    Err(IpcError::Closed { .. }) => return Ok(None),
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
