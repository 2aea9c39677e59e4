//! - `hold MUTEX`: locks, changes the first number to 1, and waits to be killed before it changes the second.
//! - `add MUTEX TIMES`: moves one from the first number to the second, under the lock.
//! - `wait MUTEX CONDITION`: waits until the first number is not zero, takes one from it, and says `got one`.
//! - `hold_file PATH`, `hold_file_shared PATH`: takes a file lock.
//! - `add_file LOCK FILE TIMES`: adds one to the number in a file, in two steps, under a file lock.

use crate::{print_line, wait_for_eof};
use ipc::lock::{Condition, FileLock, Mutex};
use ipc::shared::Location;

pub fn run(role: &str, arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let mutex = || Mutex::<i64>::open(arguments[0].parse::<Location>()?);
    match role {
        "hold" => {
            let mutex = mutex()?;
            let guard = mutex.lock()?;
            guard[0].set(1);
            print_line("held")?;
            wait_for_eof()?;
            guard[1].set(1);
        }
        "add" => {
            let mutex = mutex()?;
            for _ in 0..arguments[1].parse()? {
                let both = mutex.lock()?;
                both[0].set(both[0].get() - 1);
                both[1].set(both[1].get() + 1);
            }
        }
        "wait" => {
            let mutex = mutex()?;
            let filled = Condition::open(arguments[1].parse::<Location>()?)?;
            let guard = mutex.lock()?;
            // Still locked: whoever reads this line and then locks does so when this one waits.
            print_line("waiting")?;
            let guard = filled.wait_while(guard, |basket| basket[0].get() == 0)?;
            guard[0].fetch_sub(1);
            drop(guard);
            print_line("got one")?;
        }
        "hold_file" => {
            let mut lock = FileLock::open(&arguments[0])?;
            let _held = lock.lock()?;
            print_line("held")?;
            wait_for_eof()?;
        }
        "hold_file_shared" => {
            let mut lock = FileLock::open(&arguments[0])?;
            let _held = lock.lock_shared()?;
            print_line("held")?;
            wait_for_eof()?;
        }
        "add_file" => {
            let mut lock = FileLock::open(&arguments[0])?;
            for _ in 0..arguments[2].parse()? {
                let _held = lock.lock()?;
                let number: u64 = std::fs::read_to_string(&arguments[1])?.parse()?;
                std::fs::write(&arguments[1], (number + 1).to_string())?;
            }
        }
        other => return Err(format!("nothing called {other:?}").into()),
    }
    Ok(())
}
