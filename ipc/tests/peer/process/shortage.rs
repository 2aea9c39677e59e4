//! Parents that run short of descriptors or processes.

use std::path::Path;
use std::time::{Duration, Instant};

use ipc::process::{JobHandle, Pool, Process};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, getuid, setgid, setuid};

use super::{Outcome, children};

/// Longer than a pool needs, once nothing is short.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// Sets the soft limit.
fn limit(resource: Resource, soft: u64) -> nix::Result<()> {
    setrlimit(resource, soft, getrlimit(resource)?.1)
}

/// Starts with ever more room for descriptors, until one succeeds; prints each error and what children it left.
pub(super) fn descriptors() -> Outcome {
    let (before, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    for room in 3.. {
        limit(Resource::RLIMIT_NOFILE, room)?;
        let outcome = Process::command("true").start();
        limit(Resource::RLIMIT_NOFILE, before)?;
        match outcome {
            Ok(process) => {
                println!("{}", process.join()?);
                return Ok(());
            }
            Err(error) => println!("{room} {error} {:?}", children()?),
        }
    }
    Ok(())
}

/// A drop while not even one descriptor may be polled.
pub(super) fn no_descriptor() -> Outcome {
    let process = Process::new("hang").daemon(true).start()?;
    let (before, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    limit(Resource::RLIMIT_NOFILE, 0)?;
    drop(process);
    limit(Resource::RLIMIT_NOFILE, before)?;
    println!("{:?}", children()?);
    Ok(())
}

/// Becomes a user that runs nothing else, if it may.
fn become_nobody() -> nix::Result<bool> {
    if !getuid().is_root() {
        return Ok(false);
    }
    let id = 1_000_000_000 + std::process::id();
    setgid(Gid::from_raw(id))?;
    setuid(Uid::from_raw(id))?;
    Ok(true)
}

/// Starts when the user may run no further process or thread.
pub(super) fn processes() -> Outcome {
    become_nobody()?;
    limit(Resource::RLIMIT_NPROC, 1)?;
    let error = Process::command("true").name("x").start().unwrap_err();
    println!("{:?} {error}", error.errno());
    println!("{}", Pool::new("worker", 1).unwrap_err());
    Ok(())
}

/// A start in a cgroup that holds one process, this one.
pub(super) fn cgroup(directory: &str) -> Outcome {
    std::fs::write(Path::new(directory).join("cgroup.procs"), std::process::id().to_string())?;
    println!("{}", Process::command("true").name("x").start().unwrap_err());
    Ok(())
}

/// A pool that loses its workers during a shortage; prints the errors of a job meanwhile, and its result afterwards.
pub(super) fn pool(resource: &str) -> Outcome {
    become_nobody()?;
    let (resource, low) = match resource {
        "descriptors" => (Resource::RLIMIT_NOFILE, 3),
        _ => (Resource::RLIMIT_NPROC, 1),
    };
    let pool = Pool::new("worker", 2)?;
    pool.map::<u64, u64>("square", &[1, 2, 3])?;
    let (before, _) = getrlimit(resource)?;
    limit(resource, low)?;
    kill_workers(&pool)?;
    let job: JobHandle<u64> = pool.apply_async("square", &12)?;
    println!("{}", job.get_timeout(Duration::from_millis(400)).unwrap_err());
    limit(resource, before)?;
    println!("{}", job.get_timeout(TIMEOUT)?);
    // Nobody waits: the second worker is started again with the next jobs, at the latest.
    let all = pool.map::<u64, u64>("square", &[1, 2, 3])?;
    println!("{all:?}");
    Ok(())
}

/// Kills the workers of a pool, and waits until it has noticed.
fn kill_workers(pool: &Pool) -> Outcome {
    for (_, pid) in pool.workers() {
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    }
    let begun = Instant::now();
    while !pool.workers().is_empty() {
        if begun.elapsed() > TIMEOUT {
            return Err("the pool does not notice that its workers are gone".into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// A worker that can be started, but gets no thread to watch its parent until another process ends.
pub(super) fn threads() -> Outcome {
    if !become_nobody()? {
        println!("SKIPPED: not root, so the number of this user's processes is not known");
        return Ok(());
    }
    let other = Process::command("/proc/self/exe").args(["process", "hang"]).start()?;
    let pool = Pool::new("worker", 1)?;
    pool.apply::<u64, u64>("square", &1)?;
    // This thread, that of the pool, the other process, and one more.
    limit(Resource::RLIMIT_NPROC, 4)?;
    kill_workers(&pool)?;
    let job: JobHandle<u64> = pool.apply_async("square", &12)?;
    println!("{}", job.get_timeout(Duration::from_millis(400)).unwrap_err());
    other.kill()?;
    other.join()?;
    println!("{}", job.get_timeout(TIMEOUT)?);
    Ok(())
}

/// A start in a pid namespace whose first process has ended.
pub(super) fn namespace() -> Outcome {
    let flags = if getuid().is_root() {
        libc::CLONE_NEWPID
    } else {
        libc::CLONE_NEWPID | libc::CLONE_NEWUSER
    };
    // SAFETY: the call takes an integer.
    if unsafe { libc::unshare(flags) } != 0 {
        println!("SKIPPED: no namespace: {}", nix::errno::Errno::last());
        return Ok(());
    }
    println!("{}", Process::command("true").daemon(true).start()?.join()?);
    println!("{}", Process::command("true").name("x").start().unwrap_err());
    Ok(())
}
