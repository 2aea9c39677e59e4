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
use std::time::Duration;

use ipc::event::Event;
use ipc::process::{self, Process};
use ipc::shared::{Array, Location, Value};

const PROCESSES: usize = 4;
const TIMES: u64 = 500_000;
const SQUARES: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("count", count)]);

    let name = |which| format!("/ipc-example-{which}-{}", std::process::id());
    let squares = Array::<u64>::create(Location::Memfd("squares".into()), PROCESSES * SQUARES)?;
    for how in ["three steps", "one step"] {
        let sum = Value::create(name("sum"), 0_u64)?;
        let go = Event::create(name("go"))?; // so that they all count at the same time
        let start = |number: usize| -> Result<Process, Box<dyn Error>> {
            let descriptor = squares.memory().descriptor().ok_or("a memfd has one")?;
            Ok(Process::new("count")
                .args([how, sum.memory().name(), go.memory().name(), &number.to_string()])
                .pass(descriptor.try_clone_to_owned()?)
                .start()?)
        };
        let children: Vec<_> = (0..PROCESSES).map(start).collect::<Result<_, _>>()?;
        go.set();
        for child in children {
            child.join()?;
        }
        let all = PROCESSES as u64 * TIMES;
        println!("{how}: {} of {all} additions are in the sum", sum.get());
    } // The creator drops the value here, and with it the name.
    println!("squares: {:?}", &squares[..]);
    Ok(())
}

/// A child: counts, and writes its squares.
fn count(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [how, name, go, number] = arguments else { return Err("four arguments".into()) };
    let number: usize = number.parse()?;
    let sum = Value::<u64>::open(name)?;
    Event::open(go)?.wait_timeout(Duration::from_secs(10))?;
    for _ in 0..TIMES {
        match how.as_str() {
            "three steps" => sum.set(sum.get() + 1),
            _ => drop(sum.fetch_add(1)),
        }
    }
    let squares = Array::<u64>::open(process::passed(0)?)?;
    for (at, square) in squares.iter().enumerate().skip(number * SQUARES).take(SQUARES) {
        square.set((at * at) as u64);
    }
    Ok(())
}
