//! One operation between two marks, for `tests/kills.rs`. The first argument is the object; what else an operation uses
//! comes after it.

use std::error::Error;
use std::hint::black_box;

use crate::mark;
use ipc::event::Event;
use ipc::lock::{Condition, FileLock, Mutex};
use ipc::semaphore::{NamedSemaphore, OnDeath, Semaphore, SharedSemaphore, SysvSemaphore};
use ipc::shared::ring::{Ring, RingMany};
use ipc::shared::{Array, Location, Value};

const MESSAGE: &[u8] = b"from the dead";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub fn run(role: &str, arguments: &[String]) -> Result<()> {
    let place = || -> Result<Location> { Ok(arguments[0].parse()?) };
    match role {
        "set" => {
            let event = Event::open(place()?)?;
            marked(|| event.set());
        }
        "clear" => {
            let event = Event::open(place()?)?;
            marked(|| event.clear());
        }
        "wait" => {
            let event = Event::open(place()?)?;
            marked(|| event.wait());
        }
        "notify_one" => {
            let condition = Condition::open(place()?)?;
            marked(|| condition.notify_one());
        }
        "notify_all" => {
            let condition = Condition::open(place()?)?;
            marked(|| condition.notify_all());
        }
        "wait_condition" => {
            let condition = Condition::open(place()?)?;
            let mutex = Mutex::<i64>::open(arguments[1].parse::<Location>()?)?;
            marked(|| {
                let mut guard = mutex.lock()?;
                guard.mark_consistent();
                let guard = condition.wait_while(guard, |basket| basket[0].get() == 0)?;
                guard[0].fetch_sub(1);
                ipc::Result::Ok(())
            })?;
        }
        "move" => {
            let mutex = Mutex::<i64>::open(place()?)?;
            marked(|| {
                let mut both = mutex.lock()?;
                if both.recovered() {
                    both[1].set(-both[0].get());
                    both.mark_consistent();
                }
                both[0].set(both[0].get() - 1);
                both[1].set(both[1].get() + 1);
                ipc::Result::Ok(())
            })?;
        }
        "acquire" => {
            let semaphore = semaphore(arguments)?;
            marked(|| semaphore.acquire())?;
        }
        "release" => {
            let semaphore = semaphore(arguments)?;
            marked(|| semaphore.release())?;
        }
        "use_unit" => {
            let semaphore = semaphore(arguments)?;
            marked(|| semaphore.acquire().and_then(|()| semaphore.release()))?;
        }
        "unlock" => {
            let mutex = Mutex::<i64>::open(place()?)?;
            let guard = mutex.lock()?;
            marked(|| drop(guard));
        }
        "put" => {
            let mut sender = Ring::open(place()?)?.sender()?;
            marked(|| sender.put(MESSAGE))?;
        }
        "get" => {
            let mut receiver = Ring::open(place()?)?.receiver()?;
            let mut message = Vec::with_capacity(100);
            marked(|| receiver.get(&mut message))?;
        }
        "put_many" => {
            let mut sender = RingMany::open(place()?)?.sender()?;
            marked(|| sender.put(MESSAGE))?;
        }
        "get_many" => {
            let mut receiver = RingMany::open(place()?)?.receiver()?;
            let mut message = Vec::with_capacity(100);
            marked(|| receiver.get(&mut message))?;
        }
        "join" => {
            let ring = Ring::open(place()?)?;
            marked(|| ring.sender().map(drop))?;
        }
        "join_many" => {
            let ring = RingMany::open(place()?)?;
            marked(|| ring.sender().map(drop))?;
        }
        "receive" => {
            let ring = Ring::open(place()?)?;
            marked(|| ring.receiver().map(drop))?;
        }
        "lock_file" => {
            let mut lock = FileLock::open(&arguments[0])?;
            marked(|| lock.lock().map(drop))?;
        }
        "add" => {
            let value = Value::<u64>::open(place()?)?;
            let array = Array::<u64>::open(arguments[1].parse::<Location>()?)?;
            marked(|| {
                value.fetch_add(1);
                array[1].set(u64::MAX);
            });
        }
        other => return Err(format!("nothing called {other:?}").into()),
    }
    Ok(())
}

fn marked<T>(operation: impl FnOnce() -> T) -> T {
    mark();
    let result = black_box(operation());
    mark();
    result
}

fn semaphore(arguments: &[String]) -> Result<Box<dyn Semaphore>> {
    let [kind, name] = arguments else { return Err("usage: KIND NAME".into()) };
    Ok(match kind.as_str() {
        "named" => Box::new(NamedSemaphore::open(name)?),
        "shared" => {
            let (pid, fd) = name.split_once(':').ok_or("no PID:FD")?;
            Box::new(SharedSemaphore::of_process(pid.parse()?, fd.parse()?)?)
        }
        "undo" => Box::new(SysvSemaphore::from_id(name.parse()?, OnDeath::Undo)?),
        _ => Box::new(SysvSemaphore::from_id(name.parse()?, OnDeath::Keep)?),
    })
}
