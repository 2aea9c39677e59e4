//! Refusals under limits that the peer sets for itself.

use std::fs;
use std::os::fd::AsRawFd;

use ipc::Key;
use ipc::queue::{PosixQueue, SysvQueue};
use ipc::semaphore::{NamedSemaphore, OnDeath, SharedSemaphore, SysvSemaphore};
use ipc::shared::{Location, Value};
use ipc::signal::{Handler, Signal, SignalFd, queue};
use ipc::socket::{Datagram, Stream};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

type Outcome = Result<(), Box<dyn std::error::Error>>;

pub fn run(role: &str, arguments: &[String]) -> Outcome {
    match role {
        "descriptors" => descriptors(),
        "bytes" => bytes(),
        "file-size" => file_size(),
        "signals" => signals(),
        "objects" => objects(),
        "pipes" => pipes(),
        "inodes" => inodes(arguments.first().ok_or("no directory")?),
        "umask" => umask(arguments.first().ok_or("no directory")?),
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
    print("memory", Value::<u32>::create(name(), 0));
    print("semaphore", NamedSemaphore::create(&name(), 0));
    print("memfd", Value::<u32>::create(Location::Memfd("test".to_owned()), 0));
    Ok(())
}

/// May make small files only.
fn file_size() -> Outcome {
    setrlimit(Resource::RLIMIT_FSIZE, 10, 10)?;
    print("memfd", Value::<u32>::create(Location::Memfd("test".to_owned()), 0));
    print("segment", Value::<u32>::create(name(), 0));
    print("named semaphore", NamedSemaphore::create(&name(), 0));
    print("shared semaphore", SharedSemaphore::create(0));
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
    become_nobody()?;
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

fn become_nobody() -> nix::Result<()> {
    if nix::unistd::geteuid().is_root() {
        nix::unistd::setgid(65_534.into())?;
        nix::unistd::setuid(65_534.into())?;
    }
    Ok(())
}

/// Makes pipes larger until the kernel refuses.
fn pipes() -> Outcome {
    let soft: usize = fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft")?.trim().parse()?;
    let most = ipc::pipe::capacity_limit()?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let needed = soft * 4096 / most + 2;
    if soft == 0 || hard < 2 * needed as u64 + 50 {
        println!("SKIPPED: {soft} pages and {hard} descriptors allowed");
        return Ok(());
    }
    become_nobody()?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let mut pipes = Vec::new();
    for _ in 0..needed {
        let (reader, writer) = ipc::pipe::pipe()?;
        let result = writer.set_capacity(most);
        pipes.push((reader, writer));
        if result.is_err() {
            print("pipe", result);
            return Ok(());
        }
    }
    Err("the kernel allowed every pipe".into())
}

/// Makes files in a file system of its own that has room for two inodes more.
fn inodes(directory: &str) -> Outcome {
    // SAFETY: `unshare` takes a number.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        println!("SKIPPED: no namespace: {}", std::io::Error::last_os_error());
        return Ok(());
    }
    let target = std::ffi::CString::new(directory)?;
    let (tmpfs, none) = (c"tmpfs".as_ptr(), std::ptr::null());
    // SAFETY: the strings end with a NUL and live through the calls; a null pointer is "nothing".
    let mounted = unsafe {
        libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, std::ptr::null())
            | libc::mount(tmpfs, target.as_ptr(), tmpfs, 0, c"nr_inodes=3".as_ptr().cast())
    };
    if mounted != 0 {
        println!("SKIPPED: no mount: {}", std::io::Error::last_os_error());
        return Ok(());
    }
    let path = |name: &str| format!("{directory}/{name}");
    let _kept = [
        ipc::pipe::Fifo::create(path("one"), 0o600)?,
        ipc::pipe::Fifo::create(path("two"), 0o600)?,
    ];
    print("fifo", ipc::pipe::Fifo::create(path("three"), 0o600));
    print("listener", ipc::socket::Listener::bind(&ipc::socket::Address::path(path("four"))?));
    print("lock", ipc::lock::FileLock::open(path("five")));
    Ok(())
}

/// Makes objects while the umask takes every permission away, and opens them as another process would.
fn umask(directory: &str) -> Outcome {
    become_nobody()?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o777));
    let _queue = PosixQueue::create(&name(), 2, 8)?;
    print("queue", PosixQueue::open(&name()));
    let path = format!("{directory}/lock");
    let _lock = ipc::lock::FileLock::open(&path)?;
    print("lock", ipc::lock::FileLock::open(&path));
    let _sysv = SysvQueue::create(Key::of_name(&name())?, 2, 8)?;
    print("System V queue", SysvQueue::open(Key::of_name(&name())?, 8));
    let _set = SysvSemaphore::create(Key::of_name(&name())?, 1, OnDeath::Keep)?;
    print("System V semaphore", SysvSemaphore::open(Key::of_name(&name())?, OnDeath::Keep));
    Ok(())
}
