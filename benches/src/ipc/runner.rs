//! The order of measuring: rounds in which the library and its floor come next to each other, each time two new processes
//! on two new objects.

use super::cases::{Case, Cores, Course, Who};
use super::ends::{ENTRY, Side, Spec};
use super::objects::{self, Objects};
use super::report::{Measured, Outcome, Report, SCHEMA};
use crate::Placement;
use crate::load::recording::Environment;
use ipc::pipe::{Reader, Writer};
use ipc::process::Process;
use std::error::Error;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// An end that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the measuring is.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often each contestant of a case is measured.
    pub rounds: usize,
    /// For how long each time, without the warm-up before.
    pub time: Duration,
    /// Messages in place of a time, every byte of each compared: to see whether it works.
    pub count: Option<u64>,
}

/// What there is to run, and where.
pub struct Setup<'a> {
    /// The cases, those that make no sense among them.
    pub cases: &'a [Case],
    /// For how long.
    pub effort: Effort,
    /// On which cores.
    pub placement: Placement,
    /// Set from elsewhere to stop early.
    pub stop: &'a AtomicBool,
}

/// Runs all cases. A case that fails does not keep the others from being run.
pub fn run(setup: &Setup<'_>, environment: Environment, tell: &mut dyn FnMut(&str)) -> Report {
    let mut results = Vec::new();
    for (nth, &case) in setup.cases.iter().enumerate() {
        let missing = case.senseless().map(str::to_owned).or_else(|| {
            let two = matches!(setup.placement, Placement::Pinned { .. });
            (case.cores == Cores::Two && !two).then(|| "there is one core to run on".to_owned())
        });
        let mut result = Measured { case, missing, outcomes: Vec::new() };
        if result.missing.is_none() {
            let progress = format!("{} of {}, {case}", nth + 1, setup.cases.len());
            rounds(setup, &mut result, &mut |round| {
                tell(&format!("{progress}, round {round} of {}", setup.effort.rounds));
            });
        }
        results.push(result);
        if setup.stop.load(Ordering::Relaxed) {
            break;
        }
    }
    let (rounds, millis) = (setup.effort.rounds, setup.effort.time.as_millis() as u64);
    Report { schema: SCHEMA, environment, rounds, millis, results }
}

fn rounds(setup: &Setup<'_>, result: &mut Measured, tell: &mut dyn FnMut(usize)) {
    let case = result.case;
    let blank = |who| Outcome { who, messages: 0, nanos: Vec::new(), failure: None };
    let mut outcomes: Vec<Outcome> = case.contestants().into_iter().map(blank).collect();
    'rounds: for round in 0..setup.effort.rounds {
        tell(round + 1);
        for at in order(outcomes.len(), round) {
            let outcome = &mut outcomes[at];
            if outcome.failure.is_some() {
                outcome.nanos.push(None);
                continue;
            }
            let measured = measure(setup, &case, outcome.who, outcome.messages);
            if setup.stop.load(Ordering::Relaxed) {
                break 'rounds; // what was cut short is no figure
            }
            match measured {
                Ok((nanos, messages)) => {
                    outcome.nanos.push(Some(nanos));
                    outcome.messages = messages;
                }
                Err(error) => match objects::limit(&*error) {
                    Some(limit) if round == 0 => {
                        result.missing = Some(limit);
                        return;
                    }
                    _ => {
                        outcome.nanos.push(None);
                        outcome.failure = Some(error.to_string());
                    }
                },
            }
        }
    }
    // Pairs are made of what was run in the same round.
    let whole = outcomes.iter().map(|outcome| outcome.nanos.len()).min().unwrap_or(0);
    outcomes.iter_mut().for_each(|outcome| outcome.nanos.truncate(whole));
    result.outcomes = outcomes;
}

/// Who comes when: who was first in one round is last in the next, and who begins changes every second round.
fn order(contestants: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..contestants).collect();
    order.rotate_left((round / 2) % contestants.max(1));
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// One measurement: nanoseconds for each message or round trip, and how many there were of them. `messages` is how many
/// there are to be, 0 for as many as fill the time.
fn measure(
    setup: &Setup<'_>,
    case: &Case,
    who: Who,
    messages: u64,
) -> Result<(f64, u64), Box<dyn Error>> {
    let objects = Objects::make(case, who)?;
    let mut pair = Pair::start(setup, case, who, objects)?;
    if let Some(count) = setup.effort.count {
        pair.exchange(count)?;
        let nanos = pair.exchange(count)? as f64;
        pair.end()?;
        return Ok((each(nanos, count), count));
    }
    let messages = match messages {
        0 => pair.fill(setup.effort.time)?,
        messages => {
            pair.exchange(messages.div_ceil(5))?; // to warm up
            messages
        }
    };
    let nanos = pair.exchange(messages)? as f64;
    pair.end()?;
    Ok((each(nanos, messages), messages))
}

/// To a thousandth of a nanosecond: more would be read back from JSON as something else.
fn each(nanos: f64, messages: u64) -> f64 {
    (nanos / messages as f64 * 1e3).round() / 1e3
}

/// Two processes with something in common.
struct Pair {
    near: Remote,
    far: Remote,
    course: Course,
    /// After the processes: they end first.
    _objects: Objects,
}

impl Pair {
    fn start(
        setup: &Setup<'_>,
        case: &Case,
        who: Who,
        mut objects: Objects,
    ) -> Result<Pair, Box<dyn Error>> {
        let cores = match setup.placement {
            Placement::Unpinned => [None, None],
            Placement::Pinned { server, client, .. } => match case.cores {
                Cores::One => [Some(client), Some(client)],
                Cores::Two => [Some(client), Some(server)],
            },
        };
        let spec = |side, core| Spec {
            case: *case,
            who,
            side,
            core,
            parent: std::process::id().cast_signed(),
            thorough: setup.effort.count.is_some(),
            addresses: objects.addresses.clone(),
        };
        let (near, far) = (spec(Side::Near, cores[0]), spec(Side::Far, cores[1]));
        let mut far = Remote::start(&far, std::mem::take(&mut objects.far))?;
        let mut near = Remote::start(&near, std::mem::take(&mut objects.near))?;
        far.say(&format!("peer {}", near.process.pid()))?;
        near.say(&format!("peer {}", far.process.pid()))?;
        far.hear("ready")?;
        near.hear("ready")?;
        Ok(Pair { near, far, course: case.course, _objects: objects })
    }

    /// So many round trips, or messages one way: how many nanoseconds they took.
    fn exchange(&mut self, count: u64) -> Result<u64, Box<dyn Error>> {
        let (near, far) = match self.course {
            Course::RoundTrip => ("ping", "echo"),
            Course::OneWay => ("send", "take"),
        };
        self.far.say(&format!("{far} {count}"))?;
        self.far.hear("go")?;
        self.near.say(&format!("{near} {count}"))?;
        // The far one first: it knows more of what went wrong, unless it waits for one that is dead.
        let taken = self.far.hear("done").map_err(|error| match self.near.process.exit() {
            Ok(Some(exit)) => format!("the Near end ended with {exit}").into(),
            _ => error,
        });
        let (_, taken) = times(&taken?)?;
        let (begun, back) = times(&self.near.hear("done")?)?;
        let ended = if self.course == Course::RoundTrip { back } else { taken };
        Ok(ended.saturating_sub(begun).max(1))
    }

    /// How many messages fill so much time; exchanges some in order to know.
    fn fill(&mut self, time: Duration) -> Result<u64, Box<dyn Error>> {
        let mut count = 16;
        loop {
            let took = Duration::from_nanos(self.exchange(count)?);
            match next_count(count, took, time) {
                Step::Enough(messages) => return Ok(messages),
                Step::More(more) => count = more,
            }
        }
    }

    fn end(mut self) -> Result<(), Box<dyn Error>> {
        self.near.end()?;
        self.far.end()
    }
}

/// What follows from a trial of some messages.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// So many fill the time.
    Enough(u64),
    /// The trial was too short to tell; try so many.
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
        _ => Err(format!("an end answered {line:?}").into()),
    }
}

/// A process at one end, and what it says.
struct Remote {
    process: Process,
    to: Option<Writer>,
    from: Reader,
    unread: Vec<u8>,
    side: Side,
}

impl Remote {
    fn start(spec: &Spec, descriptors: Vec<OwnedFd>) -> Result<Remote, Box<dyn Error>> {
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
        Ok(Remote { process, to, from, unread: Vec::new(), side: spec.side })
    }

    fn say(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        // If it is gone, what it said before says more.
        let _ = self
            .to
            .as_mut()
            .ok_or("already told to end")?
            .write_all(format!("{line}\n").as_bytes());
        Ok(())
    }

    /// The next line, which begins with `word`.
    fn hear(&mut self, word: &str) -> Result<String, Box<dyn Error>> {
        let side = self.side;
        let line = self.line().map_err(|error| format!("the {side:?} end: {error}"))?;
        match line.strip_prefix("failed ") {
            Some(why) => Err(format!("the {side:?} end: {why}").into()),
            None if line.starts_with(word) => Ok(line),
            None => Err(format!("the {side:?} end said {line:?} in place of {word:?}").into()),
        }
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=at).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            let mut buffer = [0; 256];
            let left = PATIENCE.saturating_sub(begun.elapsed());
            match self.from.read_timeout(&mut buffer, left)? {
                0 => {
                    let exit = self.process.join_timeout(PATIENCE)?;
                    return Err(format!("it ended with {exit}").into());
                }
                read => self.unread.extend_from_slice(&buffer[..read]),
            }
        }
    }

    fn end(&mut self) -> Result<(), Box<dyn Error>> {
        self.to = None;
        match self.process.join_timeout(PATIENCE)? {
            exit if exit.success() => Ok(()),
            exit => Err(format!("the {:?} end ended with {exit}", self.side).into()),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It may be stuck, or spin for ever; if it has ended, nothing happens.
        let _ = self.process.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_begins_and_ends_in_turn() {
        assert_eq!(order(2, 0), [0, 1]);
        assert_eq!(order(2, 1), [1, 0]);
        assert_eq!(order(2, 2), [1, 0]);
        assert_eq!(order(2, 3), [0, 1]);
        for contestants in 1..5 {
            let mut first = vec![0; contestants];
            (0..contestants * 4).for_each(|round| first[order(contestants, round)[0]] += 1);
            assert!(first.iter().all(|times| *times > 0), "{first:?}");
        }
    }

    #[test]
    fn the_count_grows_until_it_fills_the_time() {
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
    fn what_an_end_says_is_read() {
        assert_eq!(times("done 5 17").ok(), Some((5, 17)));
        assert!(times("done 5").is_err());
        assert!(times("done five six").is_err());
    }
}
