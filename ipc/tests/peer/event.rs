//! - `wait EVENT TIMES`: waits, says `released`, and waits for a line on standard input before the next time.
//! - `set EVENT`: sets it.
//! - `wait_and_clear PING PONG TIMES`: waits for one event, clears it, and sets the other.

use std::io::BufRead;

use crate::print_line;
use ipc::event::Event;
use ipc::shared::Location;

pub fn run(role: &str, arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let event = |at: usize| Event::open(arguments[at].parse::<Location>()?);
    match role {
        "wait" => {
            let event = event(0)?;
            let mut input = std::io::stdin().lock();
            for _ in 0..arguments[1].parse()? {
                print_line("waiting")?;
                event.wait();
                print_line("released")?;
                if input.read_line(&mut String::new())? == 0 {
                    return Ok(());
                }
            }
        }
        "set" => event(0)?.set(),
        "wait_and_clear" => {
            let (ping, pong) = (event(0)?, event(1)?);
            for _ in 0..arguments[2].parse()? {
                ping.wait();
                ping.clear();
                pong.set();
            }
        }
        other => return Err(format!("nothing called {other:?}").into()),
    }
    Ok(())
}
