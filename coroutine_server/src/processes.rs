//! Several processes, each with a scheduler of its own, at one listening socket.
//!
//! A scheduler does not survive a fork, so the processes are forked before there is one. The parent serves
//! nobody: it starts the processes, passes on the shutdown request, and waits for the last. What they share:
//!
//! - **The listening socket.** Each waits for it in an epoll set of its own with `EPOLLEXCLUSIVE`, so a new
//!   client wakes one of them and not all.
//! - **The limit on connections**, which is kept in shared memory: one count for each process, written by it
//!   alone. So what a killed process had can be given back, and nothing else.
//! - **The trace**, if there is one: a file that all append to, and the counts of its connections and lost events.
//!
//! The shutdown request is that the parent shuts the listening socket down. All processes see that, whatever
//! they are about; a signal would have to be sent to each, and could meet one that a terminal has sent to the
//! whole group. A second signal kills them.
//!
//! A process that dies takes its clients along, which is what separate processes are about: no others. The
//! parent says so, and starts another, but none within a second of its predecessor, so that a server which
//! always dies does not become a machine that only forks; a fork that fails is tried again as late. If the
//! *parent* dies, the kernel sends its processes SIGTERM (`PR_SET_PDEATHSIG`, prctl(2)), and they stop in order.

use file_service::{Count, Service};
use ipc::shared::{Array, Location};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, fork};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{Shutdown, shutdown};
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, getpid, getppid, pidfd_open,
    pidfd_send_signal, set_parent_process_death_signal, waitid,
};
use server_core::{SharedLimit, ShutdownSignals, timeout_until};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The least time between the start of a process and that of its successor.
const RESTART: Duration = Duration::from_secs(1);

/// Starts so many processes. Like `fork`, it returns in each of them, with the limit that they share; in the
/// parent it returns with nothing, when the last of them has ended.
///
/// # Errors
///
/// This process has more than one thread, or the system refuses a descriptor or memory at the start. A process
/// that it refuses is tried again.
pub(crate) fn start(
    listener: &TcpListener,
    service: &Service,
    processes: usize,
) -> io::Result<Option<Arc<dyn SharedLimit>>> {
    ipc::process::assert_single_threaded()?;
    // Who started us may have ignored it, which is inherited, and means that nobody can be waited for.
    // SAFETY: the default action runs no code of ours.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    let parent = getpid();
    let signals = ShutdownSignals::new()?;
    let counts =
        Array::create(Location::Memfd("places".into()), processes).map_err(io::Error::other)?;
    let counts = Arc::new(counts);
    if let Some(trace) = service.trace() {
        let counts = Array::<u64>::create(Location::Memfd("trace".into()), Count::KINDS);
        let counts = counts.map_err(io::Error::other)?;
        trace.count_by(move |count, n| counts[count as usize].fetch_add(n));
    }
    let mut members: Vec<Member> = (0..processes).map(|_| Member::default()).collect();
    let mut stopping = false;
    loop {
        for (number, member) in members.iter_mut().enumerate() {
            if stopping || !member.is_due() {
                continue;
            }
            member.started = Some(Instant::now());
            // Room for the descriptor of the process: who is forked in vain may have taken a client in.
            let room = listener.try_clone();
            // SAFETY: this process has one thread, as was made sure above and nothing since has changed, so
            // the child may do whatever the parent could.
            match room.and_then(|_room| Ok(unsafe { fork() }?)) {
                Err(error) => {
                    tracing::warn!("a process could not be started, which is tried again: {error}");
                    break;
                }
                Ok(ForkResult::Parent { child }) => {
                    let child = Pid::from_raw(child.as_raw()).ok_or(io::ErrorKind::Other)?;
                    member.process = Some(pidfd_open(child, PidfdFlags::empty())?);
                }
                Ok(ForkResult::Child) => {
                    become_child(parent, service)?;
                    let most = service.settings().max_connections;
                    return Ok(Some(Arc::new(CountPerProcess { counts, number, most })));
                }
            }
        }
        if stopping && members.iter().all(Member::is_gone) {
            return Ok(None);
        }
        wait_for_event(&signals, &members, stopping);
        if let Some(signal) = signals.read() {
            if stopping {
                kill_all(&members, signal, service);
            }
            tracing::info!("stopping");
            stopping = true;
        }
        for (count, member) in counts.iter().zip(&mut members) {
            if let Some(status) = member.reap()? {
                count.set(0); // nobody writes it any more
                // One that has ended in order was told to by somebody else, and has shut the socket for all.
                stopping |= status.exit_status() == Some(0);
            }
        }
        if stopping {
            let _ = shutdown(listener, Shutdown::Both);
        }
    }
}

/// A process, or the place of one.
#[derive(Default)]
struct Member {
    /// A descriptor for the process, which no other can ever be meant by; none if it is gone.
    process: Option<OwnedFd>,
    started: Option<Instant>,
}

impl Member {
    fn is_gone(&self) -> bool {
        self.process.is_none()
    }

    /// When it may be started, if it is not there.
    fn due(&self) -> Option<Instant> {
        self.is_gone().then(|| self.started.map_or_else(Instant::now, |started| started + RESTART))
    }

    fn is_due(&self) -> bool {
        self.due().is_some_and(|due| Instant::now() >= due)
    }

    /// How the process has ended, if it has.
    fn reap(&mut self) -> io::Result<Option<WaitIdStatus>> {
        let Some(process) = &self.process else { return Ok(None) };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::PidFd(process.as_fd()), options)?;
        if let Some(status) = &status {
            self.process = None;
            if status.exit_status() != Some(0) {
                tracing::warn!("a process has died, and its clients with it: {}", describe(status));
            }
        }
        Ok(status)
    }
}

fn describe(status: &WaitIdStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

/// Until a signal comes, a process ends, or one is to be started.
fn wait_for_event(signals: &ShutdownSignals, members: &[Member], stopping: bool) {
    let mut fds = vec![PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
    fds.extend(members.iter().flat_map(|m| &m.process).map(|fd| PollFd::new(fd, PollFlags::IN)));
    let due = members.iter().filter_map(Member::due).min().filter(|_| !stopping);
    let timeout = timeout_until(due);
    let _ = poll(&mut fds, timeout.as_ref()); // an interrupted wait is repeated by the caller
}

/// What a child does first.
fn become_child(parent: Pid, service: &Service) -> io::Result<()> {
    // The signal comes when the *thread* that has forked ends; the parent has no other.
    set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    if getppid() != Some(parent) {
        return Err(io::Error::other("the parent is gone")); // before that line, so without a signal
    }
    if let Some(trace) = service.trace() {
        trace.forked();
    }
    Ok(())
}

/// Kills every process, and ends this one.
fn kill_all(members: &[Member], signal: u32, service: &Service) -> ! {
    for process in members.iter().flat_map(|member| &member.process) {
        let _ = pidfd_send_signal(process, rustix::process::Signal::KILL);
        let _ = waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED);
    }
    server_core::exit(128 + signal as i32, service)
}

/// The limit on connections that all processes share, as one of them sees it.
#[derive(Debug)]
struct CountPerProcess {
    counts: Arc<Array<usize>>,
    /// The index of this process's count.
    number: usize,
    /// The limit.
    most: usize,
}

impl CountPerProcess {
    fn taken(&self) -> usize {
        self.counts.iter().map(|count| count.get()).sum()
    }
}

impl SharedLimit for CountPerProcess {
    fn try_acquire(&self) -> bool {
        loop {
            // Claim first and look then: of several that claim, the last to look sees all claims.
            self.counts[self.number].fetch_add(1);
            if self.taken() <= self.most {
                return true;
            }
            self.counts[self.number].fetch_sub(1);
            // Two that claimed the last permit have both withdrawn. Again, unless it is taken.
            if self.taken() >= self.most {
                return false;
            }
        }
    }

    fn release(&self) {
        self.counts[self.number].fetch_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::thread;

    /// Two threads claim the last permit at the same moment, often enough for every interleaving.
    #[test]
    fn last_permit_is_acquired_once() {
        const ROUNDS: usize = 20_000;
        let counts = Arc::new(Array::create(Location::Memfd("places".into()), 2).unwrap());
        let (arrived, given) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // Without a lock or a sleep: who has to be woken comes too late for a race.
        let meet = |meeting: usize| {
            arrived.fetch_add(1, SeqCst);
            for look in 0_u64.. {
                if arrived.load(SeqCst) >= 2 * meeting {
                    break;
                }
                if look % 1000 == 999 {
                    thread::yield_now(); // the other may have no core
                }
            }
        };
        let claim = |number| {
            let limit = CountPerProcess { counts: Arc::clone(&counts), number, most: 1 };
            let mut wrong = 0;
            for round in 0..ROUNDS {
                meet(3 * round + 1);
                let taken = limit.try_acquire();
                given.fetch_add(usize::from(taken), SeqCst);
                meet(3 * round + 2);
                wrong += usize::from(given.load(SeqCst) != 1);
                meet(3 * round + 3);
                if taken {
                    limit.release();
                }
                given.store(0, SeqCst);
            }
            wrong
        };
        let wrong = thread::scope(|scope| {
            let first = scope.spawn(|| claim(0));
            claim(1) + first.join().unwrap()
        });
        assert_eq!(wrong, 0);
        assert_eq!(counts.iter().map(|count| count.get()).sum::<usize>(), 0);
    }
}
