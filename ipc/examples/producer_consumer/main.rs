//! The same producers and consumers over a pipe, a POSIX queue, a System V queue, a ring in shared memory,
//! and a socket.
//!
//! Three processes produce, two consume (one, for the ring: it has a single receiver). Producers and
//! consumers know `put` and `get` and nothing else; `channel.rs` holds what differs. Three things do:
//!
//! - how a child gets at the channel: a pipe, a socket pair and the ring's memory have no name, so their
//!   descriptors are *passed*; a queue is opened by its name or number, by any process of this user;
//! - who keeps the messages apart: a pipe carries bytes, and it is the fixed length of 8 bytes, far below
//!   PIPE_BUF, that keeps them whole among several writers and readers; the others carry messages;
//! - how the end is said: a pipe and a socket end when the last writer has closed, which the kernel
//!   notices even if a writer is killed; a ring ends when its last sender has gone; a queue has no end, so
//!   one empty message is put for each consumer.
//!
//! Run it: `cargo run -p ipc --example producer_consumer`
//!
//! Look at: how the messages are shared out, which nobody decides: each consumer takes what is next when it
//! has time. No message is lost or doubled, and the messages of *one* producer reach a consumer in order.
//! Times are not shown: one run on a busy machine says nothing. The benches measure.

mod channel;
#[path = "../story/mod.rs"]
mod story;

use std::error::Error;
use std::io::{self, Read, Write};
use std::process::{ExitCode, Stdio};

use channel::{Channel, KINDS, LENGTH, Receiver, Sender};
use ipc::process::{self, Process, Tracker};
use story::{note, say};

const PRODUCERS: u32 = 3;
const MESSAGES_EACH: u32 = 2_000;

fn main() -> ExitCode {
    process::main(&[("producer", producer), ("consumer", consumer)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    say!(
        "lets {PRODUCERS} producers put {MESSAGES_EACH} messages each into five kinds of channel"
    )?;
    let mut tracker = Tracker::start()?;
    for kind in KINDS {
        note!("\n-- {kind} --")?;
        produce_and_consume(
            Channel::create(kind, &mut tracker)?,
            if kind == "ring" { 1 } else { 2 },
        )?;
    }
    note!("\nNotice: chance decides which consumer takes a message; none is lost or doubled.")?;
    note!("Without an end of the channel: the consumers would wait for more forever.")?;
    Ok(())
}

fn produce_and_consume(mut channel: Channel, count: usize) -> Result<(), Box<dyn Error>> {
    let start_consumer = |n| {
        let launch = Process::new("consumer").name(format!("consumer-{n}")).daemon(true);
        Ok::<_, Box<dyn Error>>(channel.pass_receiver(launch.stdout(Stdio::piped()))?.start()?)
    };
    let mut consumers = (1..=count).map(start_consumer).collect::<Result<Vec<_>, _>>()?;
    channel.close_receiver();
    let start_producer = |n: u32| {
        let launch = Process::new("producer").name(format!("producer-{n}")).daemon(true);
        Ok::<_, Box<dyn Error>>(channel.pass_sender(launch.arg(n.to_string()))?.start()?)
    };
    let producers = (0..PRODUCERS).map(start_producer).collect::<Result<Vec<_>, _>>()?;
    for producer in &producers {
        // A consumer does not end before the channel does: if it ends now, it has failed.
        story::while_alive(&consumers, |step| producer.join_timeout(step))?;
    }
    story::join_all(&producers)?;
    channel.end(count)?;
    story::join_all(&consumers)?; // their reports are short, and wait in pipes

    let mut total = [0; PRODUCERS as usize];
    for consumer in &mut consumers {
        let mut report = String::new();
        consumer.take_stdout().ok_or("no output")?.read_to_string(&mut report)?;
        let counts = report.trim();
        say!("reads that {}[{}] took {counts}", consumer.name(), consumer.pid())?;
        for (sum, got) in total.iter_mut().zip(counts.split(" + ")) {
            *sum += got.parse::<u32>()?;
        }
    }
    say!("adds that up for each producer: {total:?}")?;
    if total != [MESSAGES_EACH; PRODUCERS as usize] {
        return Err("messages were lost or doubled".into());
    }
    Ok(())
}

/// Puts its messages: its own number, and that of the message.
fn producer(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [own, channel @ ..] = arguments else { return Err("usage: NUMBER CHANNEL".into()) };
    let own: u32 = own.parse()?;
    let mut sender = Sender::open(channel)?;
    say!("puts {MESSAGES_EACH} messages")?;
    for number in 0..MESSAGES_EACH {
        let mut message = [0; LENGTH];
        message[..4].copy_from_slice(&own.to_le_bytes());
        message[4..].copy_from_slice(&number.to_le_bytes());
        sender.put(&message)?;
    }
    Ok(())
}

/// Takes messages until the end; prints how many it got of each producer.
fn consumer(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let mut receiver = Receiver::open(arguments)?;
    let mut counts = [0_u32; PRODUCERS as usize];
    let mut next = [0_u32; PRODUCERS as usize];
    while let Some(message) = receiver.get()? {
        let (producer, number) = message.split_at(4);
        let producer = u32::from_le_bytes(producer.try_into()?) as usize;
        let number = u32::from_le_bytes(number.try_into()?);
        if number < *next.get(producer).ok_or("a message of an unknown producer")? {
            return Err(format!("message {number} of producer {producer} is out of order").into());
        }
        next[producer] = number + 1; // those in between went to the other consumer
        counts[producer] += 1;
    }
    Ok(writeln!(io::stdout(), "{} + {} + {}", counts[0], counts[1], counts[2])?)
}
