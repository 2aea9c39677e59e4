//! A condition: waiting, under a lock, until the state is as one needs it.
//!
//! A baker puts loaves on a shelf that holds three; two customers each take four. The baker waits while
//! the shelf is full, a customer while it is empty. Waiting gives the lock up and goes to sleep in one step as
//! seen by the others, so no notification falls in between.
//!
//! Whoever wakes looks again, in a loop (`wait_while`): the other customer may have been faster. Two conditions are used,
//! one for "there is bread" and one for "there is room", so that nobody is woken for what does not concern it.
//!
//! Run it: `cargo run -p ipc --example condition`
//!
//! Look at: the number on the shelf, which is never below 0 nor above 3.

use std::error::Error;

use ipc::lock::{Condition, Mutex};
use ipc::process::{self, Process};

const ROOM: i32 = 3;
const LOAVES_EACH: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("customer", customer)]);

    let name = |what| format!("/ipc-example-{what}-{}", std::process::id());
    let names = [name("shelf"), name("bread"), name("space")];
    let shelf = Mutex::<i32>::create(&names[0], 1)?;
    let bread = Condition::create(&names[1])?;
    let space = Condition::create(&names[2])?;
    let start = |customer_name: &str| {
        Process::new("customer").arg(customer_name).args(names.clone()).start()
    };
    let customers = [start("Ada")?, start("Bob")?];

    for loaf in 1..=customers.len() * LOAVES_EACH {
        let shelf = space.wait_while(shelf.lock()?, |shelf| shelf[0].get() == ROOM)?;
        let before = shelf[0].fetch_add(1);
        println!("baker: loaf {loaf}, {} on the shelf", before + 1);
        // One loaf is enough for one customer.
        bread.notify_one();
    }
    for customer in customers {
        customer.join()?;
    }
    println!("closed; {} left on the shelf", shelf.lock()?[0].get());
    Ok(())
}

fn customer(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [customer_name, shelf, bread, space] = arguments else {
        return Err("four arguments".into());
    };
    let shelf = Mutex::<i32>::open(shelf)?;
    let (bread, space) = (Condition::open(bread)?, Condition::open(space)?);
    for _ in 0..LOAVES_EACH {
        let shelf = bread.wait_while(shelf.lock()?, |shelf| shelf[0].get() == 0)?;
        let before = shelf[0].fetch_sub(1);
        println!("{customer_name}: takes one, {} left", before - 1);
        space.notify_one();
    }
    Ok(())
}
