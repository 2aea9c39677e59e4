//! Refusals under limits that the peer sets for itself.

use std::fs;
use std::os::fd::AsRawFd;

use ipc::Key;
use ipc::queue::{PosixQueue, SysvQueue};
use ipc::semaphore::{OnDeath, SysvSemaphore};
use ipc::shared::{Location, Value};
use ipc::signal::{Handler, Signal, SignalFd, queue};
use ipc::socket::{Datagram, Stream};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

type Outcome = Result<(), Box<dyn std::error::Error>>;

pub fn run(role: &str, _arguments: &[String]) -> Outcome {
    match role {
        "descriptors" => descriptors(),
        "bytes" => bytes(),
        "signals" => signals(),
        "objects" => objects(),
        _ => Err(format!("nothing called {role:?}").into()),
    }
}

fn name() -> String {
    format!("/ipc-test-limits-{}", std::process::id())
}

fn print<T>(what: &str, result: ipc::Result<T>) {
    match result {
        Ok(_) => println!("{what}: made"),
        Err(error) => println!("{what}: {:?} {error}", error.errno()),
    }
}

/// Has no descriptor free.
fn descriptors() -> Outcome {
    let free = fs::File::open("/dev/null")?;
    let lowest = free.as_raw_fd() as u64;
    drop(free);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, lowest, hard)?;
    print("pipe", ipc::pipe::pipe());
    print("queue", PosixQueue::create(&name(), 2, 8));
    print("signalfd", SignalFd::new([Signal::USR1]));
    print("handler", Handler::new(Signal::USR1));
    print("stream", Stream::pair());
    print("datagram", Datagram::unbound());
    print("memfd", Value::<u32>::create(Location::Memfd("test".to_owned()), 0));
    Ok(())
}

/// Has no bytes left for queues, but descriptors.
fn bytes() -> Outcome {
    // The kernel counts what it needs itself, about 96 bytes a message, so that this is too little for the
    // queue whatever else the user has.
    setrlimit(Resource::RLIMIT_MSGQUEUE, 300, 300)?;
    print("queue", PosixQueue::create(&name(), 4, 64));
    print("large queue", PosixQueue::create(&name(), 4, 128));
    Ok(())
}

/// Has no place left for waiting signals and timers.
fn signals() -> Outcome {
    let waiting = SysvQueue::create(Key::PRIVATE, 2, 8)?;
    let signal = Signal::realtime(0)?;
    let _signals = SignalFd::new([signal])?;
    setrlimit(Resource::RLIMIT_SIGPENDING, 0, 0)?;
    print("signal", queue(std::process::id().cast_signed(), signal, 1));
    use ipc::queue::Queue;
    let timeout = std::time::Duration::from_millis(40);
    let begun = std::time::Instant::now();
    print("wait", waiting.get_timeout(timeout));
    println!("waited {}", begun.elapsed() >= timeout);
    std::thread::scope(|scope| {
        let got = scope.spawn(|| waiting.get_timeout(std::time::Duration::from_secs(60)));
        waiting.put(b"late")?;
        println!("got {:?}", got.join().map_err(|_| "a panic")??);
        Ok(())
    })
}

/// Lowers the limits of an IPC namespace of its own, and exceeds each.
fn objects() -> Outcome {
    // SAFETY: `unshare` takes a number.
    if unsafe { libc::unshare(libc::CLONE_NEWIPC) } != 0 {
        println!("SKIPPED: no namespace: {}", std::io::Error::last_os_error());
        return Ok(());
    }
    for (file, text) in [
        ("fs/mqueue/queues_max", "1"),
        ("kernel/msgmni", "1"),
        ("kernel/shmmni", "1"),
        ("kernel/sem", "32000 2 500 4"),
    ] {
        if let Err(error) = fs::write(format!("/proc/sys/{file}"), text) {
            println!("SKIPPED: {file} cannot be set: {error}");
            return Ok(());
        }
    }
    // Root may exceed the number of POSIX queues.
    nix::unistd::setgid(65_534.into())?;
    nix::unistd::setuid(65_534.into())?;
    let _kept = (
        PosixQueue::create("/one", 2, 8)?,
        SysvQueue::create(Key::PRIVATE, 2, 8)?,
        Value::<u32>::create(Location::SystemV(0), 0)?,
        [0, 1].map(|_| SysvSemaphore::create(Key::PRIVATE, 0, OnDeath::Keep)),
    );
    print("POSIX queue", PosixQueue::create("/two", 2, 8));
    print("System V queue", SysvQueue::create(Key::PRIVATE, 2, 8));
    print("segment", Value::<u32>::create(Location::SystemV(0), 0));
    print("semaphore", SysvSemaphore::create(Key::PRIVATE, 0, OnDeath::Keep));
    Ok(())
}
