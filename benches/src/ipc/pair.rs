//! The two processes, from the outside: started, told what to do, timed, and ended.

use super::cases::{Case, Contestant, Cores, Pattern};
use super::endpoints::ENTRY;
use super::exchange::{Side, Spec};
use super::objects::Objects;
use crate::Placement;
use ipc::pipe::{Reader, Writer};
use ipc::process::Process;
use std::error::Error;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// An endpoint that prints nothing for so long is stuck.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The two endpoints, and what they have in common.
pub struct Pair {
    near: Endpoint,
    far: Endpoint,
    pattern: Pattern,
    /// After the processes: they end first.
    _objects: Objects,
}

impl Pair {
    pub fn start(
        placement: Placement,
        case: &Case,
        contestant: Contestant,
        thorough: bool,
        mut objects: Objects,
    ) -> Result<Pair, Box<dyn Error>> {
        let cores = match placement {
            Placement::Unpinned => [None, None],
            Placement::Pinned { server, client, .. } => match case.cores {
                Cores::One => [Some(client), Some(client)],
                Cores::Two => [Some(client), Some(server)],
            },
        };
        let spec = |side, core| Spec {
            case: *case,
            contestant,
            side,
            core,
            parent: std::process::id().cast_signed(),
            thorough,
            addresses: objects.addresses.clone(),
        };
        let (near, far) = (spec(Side::Near, cores[0]), spec(Side::Far, cores[1]));
        let mut far = Endpoint::start(&far, std::mem::take(&mut objects.far))?;
        let mut near = Endpoint::start(&near, std::mem::take(&mut objects.near))?;
        far.send_line(&format!("peer {}", near.process.pid()))?;
        near.send_line(&format!("peer {}", far.process.pid()))?;
        far.expect_line("ready")?;
        near.expect_line("ready")?;
        Ok(Pair { near, far, pattern: case.pattern, _objects: objects })
    }

    /// So many round trips, or messages one way: how many nanoseconds they took.
    pub fn exchange(&mut self, count: u64) -> Result<u64, Box<dyn Error>> {
        let (near, far) = match self.pattern {
            Pattern::RoundTrip => ("ping", "echo"),
            Pattern::OneWay => ("send", "take"),
        };
        self.far.send_line(&format!("{far} {count}"))?;
        self.far.expect_line("go")?;
        self.near.send_line(&format!("{near} {count}"))?;
        // The far one first: its error is the better one, unless it waits for one that is dead.
        let taken = self.far.expect_line("done").map_err(|error| match self.near.process.exit() {
            Ok(Some(exit)) => format!("the Near end ended with {exit}").into(),
            _ => error,
        });
        let (_, taken) = times(&taken?)?;
        let (begun, back) = times(&self.near.expect_line("done")?)?;
        let ended = if self.pattern == Pattern::RoundTrip { back } else { taken };
        Ok(ended.saturating_sub(begun).max(1))
    }

    /// How many messages fill so much time; exchanges some in order to know.
    pub fn count_for(&mut self, time: Duration) -> Result<u64, Box<dyn Error>> {
        let mut count = 16;
        loop {
            let took = Duration::from_nanos(self.exchange(count)?);
            match next_count(count, took, time) {
                Step::Enough(messages) => return Ok(messages),
                Step::More(more) => count = more,
            }
        }
    }

    pub fn end(mut self) -> Result<(), Box<dyn Error>> {
        self.near.end()?;
        self.far.end()
    }
}

/// The result of a trial of some messages.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// So many fill the time.
    Enough(u64),
    /// The trial was too short; try so many.
    More(u64),
}

/// A trial counts if it took a quarter of the time; it grows at most sixteenfold, since the first few are the slowest.
fn next_count(count: u64, took: Duration, time: Duration) -> Step {
    let wanted = count as f64 * time.as_secs_f64() / took.as_secs_f64().max(1e-9);
    match took * 4 >= time {
        true => Step::Enough((wanted as u64).max(1)),
        false => Step::More((wanted * 0.5).clamp(count as f64 * 2.0, count as f64 * 16.0) as u64),
    }
}

/// Beginning and end, from `done BEGINNING END`.
fn times(line: &str) -> Result<(u64, u64), Box<dyn Error>> {
    let mut numbers = line.split(' ').skip(1).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(begun), Some(ended)) => Ok((begun?, ended?)),
        _ => Err(format!("an endpoint answered {line:?}").into()),
    }
}

/// One of the two processes, with the pipes to its standard input and output.
struct Endpoint {
    process: Process,
    to: Option<Writer>,
    from: Reader,
    unread: Vec<u8>,
    side: Side,
}

impl Endpoint {
    fn start(spec: &Spec, descriptors: Vec<OwnedFd>) -> Result<Endpoint, Box<dyn Error>> {
        let mut launch = Process::new(ENTRY)
            .arg(serde_json::to_string(spec)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for descriptor in descriptors {
            launch = launch.pass(descriptor);
        }
        let mut process = launch.start()?;
        let stdin: ChildStdin = process.take_stdin().ok_or("no standard input")?;
        let stdout: ChildStdout = process.take_stdout().ok_or("no standard output")?;
        let to = Some(Writer::from_fd(stdin.into())?);
        let from = Reader::from_fd(stdout.into())?;
        Ok(Endpoint { process, to, from, unread: Vec::new(), side: spec.side })
    }

    fn send_line(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        // If it has ended, what it printed before tells more.
        let _ = self
            .to
            .as_mut()
            .ok_or("already told to end")?
            .write_all(format!("{line}\n").as_bytes());
        Ok(())
    }

    /// The next line, which begins with `word`.
    fn expect_line(&mut self, word: &str) -> Result<String, Box<dyn Error>> {
        let side = self.side;
        let line = self.read_line().map_err(|error| format!("the {side:?} end: {error}"))?;
        match line.strip_prefix("failed ") {
            Some(why) => Err(format!("the {side:?} end: {why}").into()),
            None if line.starts_with(word) => Ok(line),
            None => Err(format!("the {side:?} end printed {line:?} in place of {word:?}").into()),
        }
    }

    fn read_line(&mut self) -> Result<String, Box<dyn Error>> {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=at).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            let mut buffer = [0; 256];
            let left = TIMEOUT.saturating_sub(begun.elapsed());
            match self.from.read_timeout(&mut buffer, left)? {
                0 => {
                    let exit = self.process.join_timeout(TIMEOUT)?;
                    return Err(format!("it ended with {exit}").into());
                }
                read => self.unread.extend_from_slice(&buffer[..read]),
            }
        }
    }

    fn end(&mut self) -> Result<(), Box<dyn Error>> {
        self.to = None;
        match self.process.join_timeout(TIMEOUT)? {
            exit if exit.success() => Ok(()),
            exit => Err(format!("the {:?} end ended with {exit}", self.side).into()),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // It may be stuck, or spin without end; if it has ended, nothing happens.
        let _ = self.process.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_grows_until_time_is_filled() {
        let time = Duration::from_millis(10);
        let micros = Duration::from_micros;
        assert_eq!(next_count(16, micros(5_000), time), Step::Enough(32));
        assert_eq!(next_count(16, micros(160_000), time), Step::Enough(1));
        assert_eq!(next_count(16, micros(1), time), Step::More(256));
        assert_eq!(next_count(16, micros(2_400), time), Step::More(33));
        // However slow or quick, it comes to an end.
        for nanos in [1, 30, 1_000, 50_000, 10_000_000] {
            let (mut count, mut steps) = (16, 0);
            let messages = loop {
                steps += 1;
                match next_count(count, Duration::from_nanos(nanos * count), time) {
                    Step::Enough(messages) => break messages,
                    Step::More(more) => count = more,
                }
            };
            assert!(steps < 12, "{nanos} ns: {steps} steps");
            assert_eq!(messages, (10_000_000 / nanos).max(1));
        }
    }

    #[test]
    fn times_of_endpoint_are_parsed() {
        assert_eq!(times("done 5 17").ok(), Some((5, 17)));
        assert!(times("done 5").is_err());
        assert!(times("done five six").is_err());
    }
}
