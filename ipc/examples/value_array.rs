//! A number and a row of numbers that several processes share.
//!
//! Four processes each add 500,000 times one to the same number, in two ways. "Read, add one, write" is three steps,
//! and another process may write between them: its step is then overwritten and lost. An
//! atomic addition is one step, and loses nothing. Both ways write whole numbers: what is lost is not half a number,
//! but an update.
//!
//! Meanwhile each writes its squares into its part of an array, which needs no care at all: nobody
//! else writes there.
//!
//! The number lies in POSIX shared memory and is found by its name. The array lies in a memfd, which has no name:
//! the children are given its descriptor when they are started.
//!
//! Run it: `cargo run -p ipc --example value_array`
//!
//! Look at: the first sum, which differs from run to run, and is less than 2,000,000; the second, which is not.

use std::error::Error;
use std::process::ExitCode;

use ipc::event::Event;
use ipc::process::{self, Process, Tracked, Tracker};
use ipc::shared::{Array, Location, Value};

mod story;

use story::{LIMIT, note, say};

const PROCESSES: usize = 4;
const TIMES: u64 = 500_000;
const SQUARES: usize = 3;

fn main() -> ExitCode {
    process::main(&[("count", count)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    let name = format!("/{}", story::unique_name("sum"));
    let mut tracker = Tracker::start()?; // It removes the name if this process is killed.
    tracker.track(Tracked::SharedMemory(name.clone()))?;
    let squares = Array::<u64>::create(Location::Memfd("squares".into()), PROCESSES * SQUARES)?;
    let all = PROCESSES as u64 * TIMES;
    let mut lost = 0;
    for how in ["three steps", "one step"] {
        note!("-- {PROCESSES} processes each add 1 to one number {TIMES} times, in {how} --")?;
        let sum = Value::create(&name, 0_u64)?;
        let go = Event::create(Location::Memfd("go".into()))?; // so that they all count at the same time
        let start = |number: usize| -> Result<Process, Box<dyn Error>> {
            let child = Process::new("count").name(format!("count-{number}")).daemon(true);
            let child = child.args([how, &name, &number.to_string()]);
            let child = child.pass(story::descriptor(squares.memory())?);
            Ok(child.pass(story::descriptor(go.memory())?).start()?)
        };
        let children: Vec<_> = (0..PROCESSES).map(start).collect::<Result<_, _>>()?;
        go.set();
        story::join_all(&children)?;
        say!("finds the sum {} of {all}: {} are lost\n", sum.get(), all - sum.get())?;
        lost += all - sum.get();
    } // The creator drops the value here, and with it the name.
    say!("finds in the array {:?}", &squares[..])?;
    note!("\nNotice: three steps lose additions, a different number each time, and now {lost}.")?;
    note!("Without the atomic addition: another process writes between the read and the write.")?;
    Ok(())
}

/// A child: counts, and writes its squares.
fn count(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [how, name, number] = arguments else { return Err("three arguments".into()) };
    let number: usize = number.parse()?;
    let sum = Value::<u64>::open(name)?;
    let squares = Array::<u64>::open(process::passed(0)?)?;
    Event::open(process::passed(1)?)?.wait_timeout(LIMIT)?;
    for _ in 0..TIMES {
        match how.as_str() {
            "three steps" => sum.set(sum.get() + 1),
            _ => drop(sum.fetch_add(1)),
        }
    }
    say!("has added {TIMES}, and writes {SQUARES} squares")?;
    for (at, square) in squares.iter().enumerate().skip(number * SQUARES).take(SQUARES) {
        square.set((at * at) as u64);
    }
    Ok(())
}
