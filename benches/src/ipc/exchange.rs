//! What an endpoint does when it is told: it sends, receives, and checks every message.
//!
//! It reads commands from its standard input, and prints on its standard output when they were done: the clock
//! (CLOCK_MONOTONIC) is the same for both endpoints.

use super::cases::{Case, Contestant, NUMBER};
use super::message::Message;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io::{self, Write};

/// The result of an endpoint, whose error ends it.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Which of the two endpoints it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// It sends first, and takes the time of round trips.
    Near,
    /// It answers, or only receives.
    Far,
}

/// What an endpoint is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// What is measured.
    pub case: Case,
    /// With what.
    pub contestant: Contestant,
    /// Which endpoint this is.
    pub side: Side,
    /// The core to stay on.
    pub core: Option<usize>,
    /// The process that measures: this one ends with it.
    pub parent: i32,
    /// Whether every byte of every message is compared.
    pub thorough: bool,
    /// The names of what the two have in common: that from near to far, and that from far to near.
    pub addresses: Vec<String>,
}

/// The next message, as its receiver expects it.
pub struct Expected {
    model: Message,
    whole: bool,
}

impl Expected {
    /// Compares what was received with it.
    #[inline]
    pub fn check(&mut self, got: &[u8]) -> Result<()> {
        self.model.advance();
        if !self.model.resembles(got) || (self.whole && got != self.model.bytes()) {
            return Err(self.wrong(got));
        }
        Ok(())
    }

    #[cold]
    fn wrong(&self, got: &[u8]) -> Box<dyn Error> {
        let number = got.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let (wanted, length) = (self.model.number(), got.len());
        format!("WRONG DATA: message {wanted} came as {length} bytes that begin with {number}")
            .into()
    }
}

/// Executes commands until standard input is closed. `send` waits until there is room for its message, `receive`
/// waits for the next one. It is compiled once for each pair, so that no call is dispatched at run time.
pub fn exchange(
    spec: &Spec,
    send: impl FnMut(&Message) -> Result<()>,
    receive: impl FnMut(&mut Expected) -> Result<()>,
) -> Result<()> {
    exchange_after(spec, || Ok(()), send, receive)
}

/// As [`exchange`]; `settle` does what is to be done before the other endpoint sends, when both are there.
pub fn exchange_after(
    spec: &Spec,
    settle: impl Fn() -> Result<()>,
    mut send: impl FnMut(&Message) -> Result<()>,
    mut receive: impl FnMut(&mut Expected) -> Result<()>,
) -> Result<()> {
    // Two cache lines that go to and fro are the baseline of longer messages too, and carry a number.
    let is_number = spec.contestant == Contestant::CacheLine;
    let size = if is_number { NUMBER } else { spec.case.size };
    let mut message = Message::new(size);
    let mut expected = Expected { model: Message::new(size), whole: false };
    let mut receive = |left: u64| {
        expected.whole = spec.thorough || left == 0;
        receive(&mut expected)
    };
    print_line("ready");
    loop {
        let line = read_line()?;
        let Some((command, count)) = line.split_once(' ') else { return Ok(()) };
        let count: u64 = count.parse()?;
        if matches!(command, "echo" | "take") {
            settle()?;
            print_line("go");
        }
        let begun = now();
        match command {
            "ping" => {
                for left in (0..count).rev() {
                    send(message.advance())?;
                    receive(left)?;
                }
            }
            "echo" => {
                for left in (0..count).rev() {
                    receive(left)?;
                    send(message.advance())?;
                }
            }
            "send" => {
                for _ in 0..count {
                    send(message.advance())?;
                }
            }
            "take" => {
                for left in (0..count).rev() {
                    receive(left)?;
                }
            }
            other => return Err(format!("unknown command {other:?}").into()),
        }
        let ended = now();
        print_line(&format!("done {begun} {ended}"));
    }
}

pub fn print_line(line: &str) {
    let mut out = io::stdout().lock();
    // If this fails the measuring process has gone; the end of standard input follows.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The next line; empty at the end.
pub fn read_line() -> Result<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Nanoseconds on the clock that all processes share.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
