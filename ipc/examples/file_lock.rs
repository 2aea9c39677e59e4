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
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ipc::lock::FileLock;
use ipc::pipe::{Writer, pipe};
use ipc::process::{self, Process, Tracked, Tracker};

mod story;

use story::{note, say};

const PROCESSES: usize = 4;
const TIMES: usize = 200;

fn main() -> ExitCode {
    process::main(&[("add", add), ("hold", hold)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(story::unique_name("file-lock"));
    // Removes these, the last one first, if this process is killed; after the end of those that make files.
    let mut tracker = Tracker::start()?;
    for path in [directory.clone(), directory.join("number"), directory.join("lock")] {
        tracker.track(Tracked::Path(path))?;
    }
    fs::create_dir(&directory)
        .map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    let outcome = add_and_hold(&directory, &tracker);
    fs::remove_dir_all(&directory)?;
    outcome?;

    note!(
        "\nNotice: with the lock no addition is lost; the kernel releases the lock of a dead process."
    )?;
    note!("Without the lock: two processes read the same number, and one addition is lost.")?;
    Ok(())
}

fn add_and_hold(directory: &Path, tracker: &Tracker) -> Result<(), Box<dyn Error>> {
    let (number, lock) = (directory.join("number"), directory.join("lock"));
    let (number, lock) = (number.to_string_lossy(), lock.to_string_lossy());
    say!("uses two files, {number}")?;
    say!("  and {lock}")?;
    for how in ["without", "with"] {
        note!("\n-- additions {how} a lock --")?;
        fs::write(&*number, "0")?;
        say!("writes 0 into the first file, and has {PROCESSES} processes add to it")?;
        let start = |n| {
            let add = Process::new("add").name(format!("add-{n}")).daemon(true);
            add.args([how, &number, &lock]).pass(tracker.hold()?).start()
        };
        let children = (1..=PROCESSES).map(start).collect::<Result<Vec<_>, _>>()?;
        story::join_all(&children)?;
        let sum = fs::read_to_string(&*number)?;
        say!("reads {sum:?} after {} additions of 1", PROCESSES * TIMES)?;
    }

    note!("\n-- a holder that is killed --")?;
    let (mut ready, held) = pipe()?;
    let holder = Process::new("hold").name("hold").daemon(true).arg(&*lock);
    let holder = holder.pass(held).pass(tracker.hold()?).start()?;
    if ready.read(&mut [0])? == 0 {
        story::join_all(&[holder])?;
        return Err("the holder has ended".into());
    }
    let mut own = FileLock::open(&*lock)?;
    match own.lock_timeout(Duration::from_millis(50)) {
        Err(ipc::Error::TimedOut { .. }) => say!("wants it, too, and does not get it in 50 ms")?,
        Err(error) => return Err(error.into()),
        Ok(_) => {
            story::join_all(&[holder])?;
            return Err("got a lock that a child holds".into());
        }
    }
    holder.kill()?;
    say!("kills the holder, which ends with {}", holder.join_timeout(story::LIMIT)?)?;
    let _held = own.lock_timeout(story::LIMIT)?;
    say!("has the lock now")?;
    Ok(())
}

fn add(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [how, number, lock] = arguments else { return Err("three arguments".into()) };
    let mut lock = FileLock::open(lock)?;
    say!("adds 1 to the number, {TIMES} times, {how} the lock")?;
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
    say!("holds the lock, and does not release it")?;
    Writer::from_fd(process::passed(0)?)?.write_all(b".")?; // the parent waits for it
    loop {
        std::thread::park();
    }
}
