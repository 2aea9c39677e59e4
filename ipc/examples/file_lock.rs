//! A lock on a file, which keeps two steps together that belong together.
//!
//! Four processes each add 200 times one to the number in a file: read it, add, write it. Without a lock two of them
//! read the same number, and one addition is lost; or one reads while the file is just empty. With a
//! lock on a second file, only one at a time is between its reading and its writing.
//!
//! Then a child takes the lock and is killed. The kernel closes its files, which releases the lock: nothing to
//! recover, but also nobody who says that the child's work was half done.
//!
//! Run it: `cargo run -p ipc --example file_lock`
//!
//! Look at: the number without and with the lock.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ipc::lock::FileLock;
use ipc::process::{self, Process};

const PROCESSES: usize = 4;
const TIMES: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("add", add), ("hold", hold)]);

    let directory =
        std::env::temp_dir().join(format!("ipc-example-file-lock-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let result = show(&directory);
    fs::remove_dir_all(&directory)?;
    result
}

fn show(directory: &Path) -> Result<(), Box<dyn Error>> {
    let (number, lock) = (directory.join("number"), directory.join("lock"));
    let (number, lock) = (number.to_string_lossy(), lock.to_string_lossy());
    for how in ["without", "with"] {
        fs::write(&*number, "0")?;
        let start = |_| Process::new("add").args([how, &number, &lock]).start();
        let children: Vec<_> = (0..PROCESSES).map(start).collect::<Result<_, _>>()?;
        for child in children {
            child.join()?;
        }
        let sum = fs::read_to_string(&*number)?;
        println!("{how} a lock: {sum:?} after {} additions", PROCESSES * TIMES);
    }

    // A daemon, so that it does not outlive us if something goes wrong here.
    let holder = Process::new("hold").arg(&*lock).daemon(true);
    let mut holder = holder.stdout(Stdio::piped()).start()?;
    let stdout = holder.take_stdout().ok_or("it was asked for")?;
    BufReader::new(stdout).read_line(&mut String::new())?;
    let mut own = FileLock::open(&*lock)?;
    match own.lock_timeout(Duration::from_millis(50)) {
        Ok(_) => println!("got the lock, which must not be"),
        Err(_) => println!("a child holds the lock; no luck within 50 ms"),
    }
    holder.kill()?;
    let _held = own.lock()?;
    println!("the child was killed, and the lock is ours");
    Ok(())
}

fn add(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [how, number, lock] = arguments else { return Err("three arguments".into()) };
    let mut lock = FileLock::open(lock)?;
    for _ in 0..TIMES {
        let _held = if how == "with" { Some(lock.lock()?) } else { None };
        // Empty is what a reader without a lock may find: another one is about to write.
        let now: usize = fs::read_to_string(number)?.parse().unwrap_or(0);
        fs::write(number, (now + 1).to_string())?;
    }
    Ok(())
}

fn hold(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let mut lock = FileLock::open(&arguments[0])?;
    let _held = lock.lock()?;
    println!("held");
    loop {
        std::thread::park();
    }
}
