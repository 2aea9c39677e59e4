//! Values that a forked copy drops.

use std::path::Path;
use std::time::Duration;

use ipc::Key;
use ipc::pipe::Fifo;
use ipc::queue::{PosixQueue, Queue, SysvQueue};
use ipc::semaphore::{NamedSemaphore, OnDeath, SysvSemaphore};
use ipc::shared::Value;
use ipc::signal::{Handler, Signal, SignalFd, raise};
use ipc::socket::{Address, Datagram, Listener, PacketListener};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Makes one of everything in `DIRECTORY`, has a forked child drop its copies, and prints what is still there;
/// then drops all, and prints what is left.
pub fn run(role: &str, arguments: &[String]) -> Outcome {
    let directory = Path::new(arguments.first().ok_or("no directory")?);
    if role == "same-pid" {
        return same_pid(directory);
    }
    let name = format!("/ipc-test-owner-{}", std::process::id());
    let key = Key::of_name(&name)?;
    let at = |name: &str| Address::path(directory.join(name));
    let fifo = Fifo::create(directory.join("fifo"), 0o600)?;
    let listener = Listener::bind(&at("listener")?)?;
    let packets = PacketListener::bind(&at("packets")?)?;
    let datagram = Datagram::bind(&at("datagram")?)?;
    let posix = PosixQueue::create(&name, 2, 8)?;
    let sysv = SysvQueue::create(key, 2, 8)?;
    let named = NamedSemaphore::create(&name, 1)?;
    let set = SysvSemaphore::create(key, 1, OnDeath::Keep)?;
    let value = Value::<u32>::create(format!("{name}-value"), 0)?;
    let handler = Handler::new(Signal::USR2)?;
    let signals = SignalFd::new([Signal::USR1])?;
    posix.notify(Signal::USR1)?;

    let print = |when: &str| -> Outcome {
        let mut found: Vec<String> = std::fs::read_dir(directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<std::io::Result<_>>()?;
        found.sort();
        for (kind, there) in [
            ("posix queue", PosixQueue::open(&name).is_ok()),
            ("sysv queue", SysvQueue::open(key, 8).is_ok()),
            ("named semaphore", NamedSemaphore::open(&name).is_ok()),
            ("sysv semaphore", SysvSemaphore::open(key, OnDeath::Keep).is_ok()),
            ("value", Value::<u32>::open(format!("{name}-value")).is_ok()),
        ] {
            if there {
                found.push(kind.to_owned());
            }
        }
        println!("{when}: {}", found.join(", "));
        Ok(())
    };

    // SAFETY: this process has one thread, so the child may do everything.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop((fifo, listener, packets, datagram, sysv, named, set, value, handler));
            // The copy neither takes the notification back nor stops the parent from receiving it.
            posix.close();
            drop(signals);
            drop(posix);
            // SAFETY: `_exit` takes a number; nothing of the parent's is flushed twice.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            let ended = waitpid(child, None)?;
            assert!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
        }
    }
    posix.put(b"one")?;
    println!("notified by {}", signals.read_timeout(Duration::from_secs(60))?.signal);
    raise(Signal::USR2)?;
    println!("handled {}", handler.wait_timeout(Duration::from_secs(60))?);
    print("after the copy")?;
    drop((fifo, listener, packets, datagram, sysv, named, set, value, posix));
    print("after the owner")
}

/// Makes a FIFO in process 1 of a pid namespace, and drops a copy of it in process 1 of a namespace below.
fn same_pid(directory: &Path) -> Outcome {
    if !nix::unistd::geteuid().is_root() {
        unshare(CloneFlags::CLONE_NEWUSER).or_else(|errno| skip("user namespace", errno))?;
    }
    in_namespace(|| {
        let fifo = Fifo::create(directory.join("fifo"), 0o600)?;
        let path = fifo.path().to_owned();
        let copy = std::cell::Cell::new(Some(fifo));
        let pid = in_namespace(|| {
            drop(copy.take());
            Ok(std::process::id() as i32)
        })?;
        println!("pid {}, copy {pid}, kept {}", std::process::id(), path.exists());
        Ok(0)
    })
    .map(drop)
}

/// Runs `run` in the first process of a new pid namespace; returns its result, which is small.
fn in_namespace(
    run: impl FnOnce() -> Result<i32, Box<dyn std::error::Error>>,
) -> Result<i32, Box<dyn std::error::Error>> {
    unshare(CloneFlags::CLONE_NEWPID).or_else(|errno| skip("pid namespace", errno))?;
    // SAFETY: this process has one thread, so the child may do everything.
    match unsafe { fork() }? {
        // SAFETY: `_exit` takes a number; nothing of the parent's is flushed twice or dropped.
        ForkResult::Child => unsafe { libc::_exit(run().unwrap_or(99)) },
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, code) if code != 99 => Ok(code),
            other => Err(format!("{other:?}").into()),
        },
    }
}

fn skip(what: &str, errno: nix::errno::Errno) -> nix::Result<()> {
    println!("SKIPPED: no {what}: {errno}");
    std::process::exit(0)
}
