//! - `add ADDRESS TIMES`: adds one to a value, in one step.
//! - `add_in_two_steps ADDRESS`: reads a value, says so, waits for a line, writes one more.
//! - `abandon NAME`, `abandon 'system v'`: makes a value, says its address, and waits to be killed.
//! - `create NAME`, `create 'system v' KEY`: makes a value between two marks, and waits to be killed.
//! - `put RING COUNT NUMBER`: puts numbered messages of differing lengths into a ring of one sender.
//! - `put_many RING COUNT NUMBER`: the same for a ring of many senders.
//! - `tear RING`, `tear_many RING`: puts a message whole, then stops in the middle of the next one.
//! - `get RING COUNT`: takes messages out, and says each; with COUNT 0, holds the end and takes nothing.

use std::error::Error;
use std::io::BufRead;

use crate::{mark, print_line, wait_for_eof};
use ipc::shared::ring::{Ring, RingMany};
use ipc::shared::{Location, Value};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub fn run(role: &str, arguments: &[String]) -> Result<()> {
    let place = || -> Result<Location> { Ok(arguments[0].parse()?) };
    let number = |at: usize| -> Result<u64> { Ok(arguments[at].parse()?) };
    match role {
        "add" => {
            let value = Value::<u64>::open(place()?)?;
            for _ in 0..number(1)? {
                value.fetch_add(1);
            }
        }
        "add_in_two_steps" => {
            let value = Value::<u64>::open(place()?)?;
            let read = value.get();
            print_line("read")?;
            std::io::stdin().lock().read_line(&mut String::new())?;
            value.set(read + 1);
        }
        "abandon" => {
            let place = if arguments[0] == "system v" { Location::SystemV(0) } else { place()? };
            let value = Value::create(place, 1_u32)?;
            print_line(&value.memory().address())?;
            wait_for_eof()?;
        }
        "create" => {
            let place = match &arguments[0][..] {
                "system v" => Location::SystemV(arguments[1].parse()?),
                name => Location::from(name),
            };
            mark();
            let value = Value::create(place, 7_u32)?;
            mark();
            wait_for_eof()?;
            drop(value);
        }
        "put" => {
            let mut sender = Ring::open(place()?)?.sender()?;
            print_line("here")?;
            for count in 0..number(1)? {
                sender.put(&message(number(2)?, count))?;
            }
        }
        "put_many" => {
            let mut sender = RingMany::open(place()?)?.sender()?;
            print_line("here")?;
            for count in 0..number(1)? {
                sender.put(&message(number(2)?, count))?;
            }
        }
        "tear" => {
            let mut sender = Ring::open(place()?)?.sender()?;
            sender.put(b"whole")?;
            sender.put_stopping(b"torn", || stop().expect("the test listens"));
        }
        "tear_many" => {
            let mut sender = RingMany::open(place()?)?.sender()?;
            sender.put(b"whole")?;
            sender.put_stopping(b"torn", || stop().expect("the test listens"));
        }
        "get" => {
            let mut receiver = Ring::open(place()?)?.receiver()?;
            print_line("here")?;
            let mut message = Vec::new();
            for _ in 0..number(1)? {
                receiver.get(&mut message)?;
                print_line(&String::from_utf8_lossy(&message))?;
            }
            wait_for_eof()?;
        }
        other => return Err(format!("nothing called {other:?}").into()),
    }
    Ok(())
}

/// The sender's number, the message's, and a tail that depends on both: 16 to 111 bytes.
fn message(sender: u64, count: u64) -> Vec<u8> {
    let mut message = Vec::with_capacity(112);
    message.extend(sender.to_le_bytes());
    message.extend(count.to_le_bytes());
    let length = (sender * 31 + count) % 96;
    message.extend((0..length).map(|at| (sender + count + at) as u8));
    message
}

fn stop() -> Result<()> {
    print_line("in the middle")?;
    wait_for_eof()
}
