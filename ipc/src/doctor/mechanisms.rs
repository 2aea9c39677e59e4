//! One try of each mechanism.

use std::fmt::Debug;
use std::fs;
use std::io::{self, Read, Write};
use std::time::Duration;

use ipc::Key;
use ipc::event::Event;
use ipc::lock::{FileLock, Mutex};
use ipc::pipe::{Fifo, Reader, Writer, pipe};
use ipc::process::{Pool, Process, Worker};
use ipc::queue::{PosixQueue, Queue, SysvQueue};
use ipc::semaphore::{NamedSemaphore, OnDeath, Semaphore, SharedSemaphore, SysvSemaphore};
use ipc::shared::{Location, Value};
use ipc::signal::{Blocked, Signal, raise};
use ipc::socket::{Address, Datagram, Stream};

use crate::Outcome;

/// The timeout of each step of a check.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// One try of a mechanism.
type Check = fn() -> Outcome<()>;

/// Everything that is tried, in the order of the modules.
const CHECKS: &[(&str, Check)] = &[
    ("pipe", || {
        let (mut reader, mut writer) = pipe()?;
        check_stream(&mut reader, &mut writer)
    }),
    ("FIFO", || {
        let path = std::env::temp_dir().join(unique_name("fifo").trim_start_matches('/'));
        let fifo = Fifo::create(path, 0o600)?;
        let mut reader = Reader::try_open(fifo.path())?;
        check_stream(&mut reader, &mut Writer::try_open(fifo.path())?)
    }),
    ("POSIX queue", || check_queue(&PosixQueue::create(&unique_name("queue"), 1, 16)?)),
    ("System V queue", || check_queue(&SysvQueue::create(Key::PRIVATE, 1, 16)?)),
    ("POSIX shared memory", || check_memory(Location::Posix(unique_name("value")))),
    ("memfd", || check_memory(Location::Memfd("doctor".to_owned()))),
    ("System V segment", || check_memory(Location::SystemV(0))),
    ("POSIX semaphore", || check_semaphore(&NamedSemaphore::create(&unique_name("semaphore"), 1)?)),
    ("unnamed semaphore", || check_semaphore(&SharedSemaphore::create(1)?)),
    ("System V semaphore", || {
        check_semaphore(&SysvSemaphore::create(Key::PRIVATE, 1, OnDeath::Undo)?)
    }),
    ("robust mutex", || {
        let mutex = Mutex::<u32>::create(Location::Memfd("doctor".to_owned()), 1)?;
        drop(mutex.lock_timeout(STEP_TIMEOUT)?);
        Ok(())
    }),
    ("file lock", || {
        let path = std::env::temp_dir().join(unique_name("lock").trim_start_matches('/'));
        let locked = FileLock::open(&path).map(|mut lock| lock.try_lock().map(drop));
        fs::remove_file(&path)?;
        Ok(locked??)
    }),
    ("event", || {
        let event = Event::create(Location::Memfd("doctor".to_owned()))?;
        event.set();
        Ok(event.wait_timeout(STEP_TIMEOUT)?)
    }),
    ("signal", || {
        let blocked = Blocked::new([Signal::USR1])?;
        raise(Signal::USR1)?;
        check_equal(blocked.wait_timeout(STEP_TIMEOUT)?.signal, Signal::USR1)
    }),
    ("stream socket", || {
        let (mut one, mut other) = Stream::pair()?;
        check_stream(&mut one, &mut other)
    }),
    ("datagram socket", || {
        let address = Address::abstract_name(unique_name("datagram"))?;
        let receiver = Datagram::bind(&address)?;
        Datagram::unbound()?.send_to(b"doctor", &address)?;
        let mut buffer = [0; 16];
        receiver.receive(&mut buffer)?;
        check_equal(&buffer[..6], b"doctor")
    }),
    ("process", || {
        check_equal(
            Process::new("nothing").start()?.join_timeout(STEP_TIMEOUT)?.to_string(),
            "exit code 0",
        )
    }),
    ("pool", || {
        let pool = Pool::new("worker", 1)?;
        check_equal(pool.apply_async::<_, u32>("double", &21)?.get_timeout(STEP_TIMEOUT)?, 42)
    }),
];

/// What the check of the pool has done.
pub(crate) fn worker(_: &[String]) -> Outcome<()> {
    Ok(Worker::new().job("double", |n: u32| n * 2).serve()?)
}

/// Tries each mechanism; returns whether all work.
pub(crate) fn run(out: &mut impl Write) -> io::Result<bool> {
    writeln!(out, "\nMECHANISMS")?;
    let mut all = true;
    for (mechanism, check) in CHECKS {
        match check() {
            Ok(()) => writeln!(out, "  {mechanism:<20}works")?,
            Err(error) => {
                all = false;
                writeln!(out, "  {mechanism:<20}DOES NOT WORK: {error}")?;
            }
        }
    }
    Ok(all)
}

/// A name that nobody else uses.
fn unique_name(suffix: &str) -> String {
    format!("/ipc-doctor-{}-{suffix}", std::process::id())
}

fn check_equal<T: PartialEq<U> + Debug, U: Debug>(got: T, sent: U) -> Outcome<()> {
    if got == sent { Ok(()) } else { Err(format!("{got:?} came instead of {sent:?}").into()) }
}

fn check_stream(reader: &mut impl Read, writer: &mut impl Write) -> Outcome<()> {
    writer.write_all(b"doctor")?;
    let mut buffer = [0; 6];
    reader.read_exact(&mut buffer)?;
    check_equal(&buffer[..], b"doctor")
}

fn check_queue(queue: &impl Queue) -> Outcome<()> {
    queue.put_timeout(b"doctor", STEP_TIMEOUT)?;
    check_equal(queue.get_timeout(STEP_TIMEOUT)?, b"doctor")
}

fn check_memory(location: Location) -> Outcome<()> {
    let value = Value::create(location, 41_u32)?;
    value.fetch_add(1);
    check_equal(value.get(), 42)
}

fn check_semaphore(semaphore: &impl Semaphore) -> Outcome<()> {
    semaphore.acquire_timeout(STEP_TIMEOUT)?;
    semaphore.release()?;
    check_equal(semaphore.get_value()?, 1)
}
