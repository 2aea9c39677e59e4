//! Children that are forked beforehand, and the parent that keeps their number up.
//!
//! `--prefork N` takes the fork off the client's way: N children are there before the first client comes, and each
//! serves one client after the other. What is left to choose is how a child accepts its clients
//! (`--accept`, three pieces side by side in [`mod@crate::accept`]). The steps are designs 1, 2, 4 and 5 of the nine in
//! Stevens, *UNIX Network Programming*, volume 1, chapter 30, whose figures of CPU time are worth a look beside
//! those of today; the iterative server is his design 0.
//!
//! | | who accepts | cost of a connection, besides its requests | Stevens |
//! |---|---|---|---|
//! | without `--prefork` | the parent | fork, exit, reaping, and the first touch of every page | 1 |
//! | `shared` | every free child, all in accept together | none: the kernel wakes one child for one client | 2 |
//! | `lock` | the child that holds a lock | the lock, and a second wake-up: of the child that has it next | 4 |
//! | `pass` | the parent | the parent's turn, a message with the descriptor there, a message "free" back | 5 |
//!
//! - **`shared`** is the one to choose. It was not always: older kernels woke every child for every client, which is
//!   the thundering herd, and in some two processes must not even be in accept together. Linux queues who waits in
//!   accept as exclusive waiters. The one that has waited longest is woken, so the load goes round.
//! - **`lock`** is the cure of that time (as `AcceptMutex` in Apache): one child waits for a client, the others
//!   for the lock. It is a robust mutex, because a child may be killed while it holds it, and a plain one would never
//!   be free again: all others would wait for ever, and the server would look alive.
//! - **`pass`** puts one process in charge of who serves whom. Here it takes the child that was free last, whose
//!   caches are warm; it could as well go by load, or by what the client wants. The parent accepts only while a child is
//!   free. It is also the most work for the kernel, and the parent is one process however many serve.
//!
//! What changes against a process per connection:
//!
//! - **Shared**: the listening socket, the lock where there is one, and the [`crate::scoreboard`], in memory. It counts
//!   what each child has done, and is printed on standard output at the end. Nothing else, as before.
//! - **A blocking call stops**: its own client; and it keeps a child from all who wait.
//! - **One client can do to another**: keep its place. N silent clients are a full server until their idle timeout.
//!   And a child outlives its client: what one leaves behind in it (a leak, a corrupted heap) meets the next one.
//! - **Costs**: N processes, whether anybody is there or not. For a connection, next to nothing. For a request, where many
//!   clients take turns on a core, a change of address space: with 64 that stay, the same session's user code took 30% of
//!   the server's core here and 18% in the event loop, for it begins with cold caches and translations each time. A bare loop of the
//!   same system calls, in as many processes, had 0.95 to 0.99 of nginx's rate where this had 0.8.
//! - **Breaks**: with the client after the Nth. It is not told `busy`; it waits in the backlog, unseen, until another
//!   leaves, or until its own timeout. When the backlog is full too, its SYNs are dropped. A prefork server for
//!   clients that stay must have as many children as clients; behind a proxy that talks to it briefly, a few will do.
//!
//! A child that dies is replaced at once, and ever more slowly if its place keeps being emptied, so that children which
//! cannot live do not eat the machine. With `pass`, a client whose child dies before taking it up is lost.
//!
//! Not here: a number of children that follows the load, as servers in production have it; and children that end
//! after so many clients, as a remedy for leaks.
//!
//! # How the parent waits
//!
//! The parent waits for every event in one place: a shutdown request, the end of a child, the time for a
//! replacement, a child that is free, and, with [`Accept::Pass`] and while one is, a client. It never waits anywhere
//! else, so no child can hold it up.
//!
//! The shutdown request shuts the listening socket down, for all processes at once. So no client can connect any
//! more, and a child that waits in accept is woken, even if it gets there only afterwards. A signal alone would not
//! do: it may come just before the call that it should interrupt.

use crate::accept::{self, Accept, ClientSource};
use crate::child::{self, Serving};
use crate::scoreboard::Scoreboard;
use crate::tether;
use crate::wait::{Next, ParentWait};
use file_service::Service;
use ipc::Wait;
use ipc::lock::Mutex;
use ipc::shared::Location;
use ipc::socket::Packets;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::event::epoll;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustix::time::{timerfd_create, timerfd_settime};
use server_core::{Connection, ConnectionPermit, serve_blocking_with};
use std::io;
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// A child that has lived for less has died young.
const YOUNG: Duration = Duration::from_secs(10);

/// How long the slot of a child that died young stays empty, the second time in a row and at most. The first
/// time it is filled at once.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Serves `wanted` clients at once, until shutdown is requested.
pub(crate) fn run(
    listener: TcpListener,
    service: Service,
    wanted: usize,
    accept: Accept,
) -> io::Result<()> {
    let most = service.settings().max_connections;
    if wanted > most {
        tracing::warn!("--prefork {wanted} lowered to {most}: --max-connections allows no more");
    }
    let mut wait = ParentWait::new(listener.try_clone()?, &service)?;
    let mut children = Children::new(listener, service, wanted.min(most), accept)?;
    children.fork_due();
    loop {
        wait.hold(!children.can_pass());
        match wait.next(children.as_fd()) {
            Next::Connection(connection) => children.pass(connection),
            Next::Children => children.handle_events(),
            Next::Shutdown => break,
        }
    }
    children.request_shutdown();
    while children.alive() > 0 {
        match wait.next(children.as_fd()) {
            Next::Shutdown => {
                tracing::warn!("drain timeout: {} connections cut", children.alive());
                break; // our end closes their tethers, which cuts them
            }
            _ => children.handle_events(),
        }
    }
    server_core::print(&children.scoreboard.to_string());
    Ok(())
}

/// The children, each in a slot of its own.
struct Children {
    listener: TcpListener,
    service: Service,
    scoreboard: Scoreboard,
    accept: Accept,
    /// For [`Accept::Lock`].
    lock: Option<Mutex<u32>>,
    slots: Vec<Slot>,
    /// For [`Accept::Pass`]: the slots of the children that have asked for a client. The last one to ask has the
    /// warmest caches.
    free: Vec<usize>,
    /// A client whose child died before it received it.
    left_over: Option<Connection>,
    epoll: OwnedFd,
    child_signals: SignalFd,
    timer: OwnedFd,
    stopping: bool,
    /// There was no process or descriptor for the last child.
    scarce: bool,
}

/// The slot of a child, which may be empty for a while.
#[derive(Default)]
struct Slot {
    child: Option<Child>,
    /// When the next child is to be forked, if there is none.
    due: Option<Instant>,
    /// How many children in a row have died young.
    young_deaths: u32,
}

struct Child {
    pid: Pid,
    born: Instant,
    tether: OwnedFd,
    /// For [`Accept::Pass`].
    channel: Option<Packets>,
    /// The permit of the client that was passed.
    permit: Option<ConnectionPermit>,
}

/// The data of the descriptors in the epoll set; that of a channel is its slot.
const CHILD_SIGNAL: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

impl Children {
    fn new(
        listener: TcpListener,
        service: Service,
        number: usize,
        accept: Accept,
    ) -> io::Result<Children> {
        let lock = match accept {
            Accept::Lock => Some(Mutex::create(Location::Memfd("accept".into()), 0)?),
            Accept::Shared | Accept::Pass => None,
        };
        let scoreboard = Scoreboard::new(number)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Whoever started us may have ignored it, and then nobody could be waited for.
        child::reset(Signal::SIGCHLD);
        let mask = SigSet::from_iter([Signal::SIGCHLD]);
        mask.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let child_signals = SignalFd::with_flags(&mask, flags)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        watch(&epoll, &child_signals, CHILD_SIGNAL)?;
        watch(&epoll, &timer, TIMER)?;
        let now = Some(Instant::now());
        let slots = (0..number).map(|_| Slot { due: now, ..Slot::default() }).collect();
        Ok(Children {
            listener,
            service,
            scoreboard,
            accept,
            lock,
            slots,
            free: Vec::new(),
            left_over: None,
            epoll,
            child_signals,
            timer,
            stopping: false,
            scarce: false,
        })
    }

    fn alive(&self) -> usize {
        self.slots.iter().filter(|slot| slot.child.is_some()).count()
    }

    /// Reaps and replaces children, and notes which are free.
    fn handle_events(&mut self) {
        let mut events = Vec::with_capacity(64);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spare = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&self.epoll, spare, Some(&now)).is_err() {
            return;
        }
        for event in &events {
            match event.data.u64() {
                CHILD_SIGNAL => self.reap(),
                TIMER => self.fork_due(),
                slot => self.read_channel(slot as usize),
            }
        }
    }

    // ---- Forking and reaping ----

    /// Forks every child that is due.
    fn fork_due(&mut self) {
        let now = Instant::now();
        for slot in 0..self.slots.len() {
            if self.slots[slot].due.is_none_or(|due| due > now) {
                continue;
            }
            self.slots[slot].due = match self.fork(slot) {
                Ok(()) => {
                    self.scarce = false;
                    None
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.scarce, true) {
                        tracing::warn!("no process for a child: {error}");
                    }
                    self.slots[slot].young_deaths += 1;
                    Some(now + back_off(self.slots[slot].young_deaths + 1))
                }
            };
        }
        self.set_timer();
    }

    /// Forks a child.
    fn fork(&mut self, slot: usize) -> io::Result<()> {
        let (ours, childs) = tether::pair()?;
        let channels = match self.accept {
            Accept::Pass => Some(Packets::pair()?),
            Accept::Shared | Accept::Lock => None,
        };
        if let Some((ours, _)) = &channels {
            ours.set_wait(Wait::Never, Wait::Never);
            watch(&self.epoll, ours, slot as u64)?; // what can fail comes before the fork
        }
        // SAFETY: this process has one thread, as `run` of the crate has made sure and nothing since has changed,
        // so the child may do whatever the parent could.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let _forked_here = child::ForkedHere;
                let outcome = self.serve(slot, &childs, channels.map(|(_, childs)| childs));
                if let Err(error) = &outcome {
                    tracing::error!("a child gives up: {error}");
                }
                server_core::finish(&self.service); // `_exit` drops nothing
                child::exit(outcome.is_err().into())
            }
            ForkResult::Parent { child: pid } => {
                self.scoreboard.begin(slot, pid.as_raw().unsigned_abs());
                let channel = channels.map(|(ours, _)| ours);
                let child =
                    Child { pid, born: Instant::now(), tether: ours, channel, permit: None };
                self.slots[slot].child = Some(child);
                Ok(())
            }
        }
    }

    /// The child: one client after the other.
    fn serve(&self, slot: usize, tether: &OwnedFd, channel: Option<Packets>) -> io::Result<()> {
        let mut clients = match channel {
            Some(channel) => {
                let fd = channel.as_fd().as_raw_fd();
                child::shut_channel_on_request(fd);
                child::begin(&self.service, tether, &[fd]);
                ClientSource::passed(channel, &self.service)
            }
            None => {
                let listener = self.listener.try_clone()?;
                child::shut_listener_on_request(listener.as_raw_fd());
                child::begin(&self.service, tether, &[listener.as_raw_fd()]);
                ClientSource::accepting(listener, &self.service, self.lock.as_ref())?
            }
        };
        while let Some((connection, dispatched)) = clients.next()? {
            let serving = Serving::begin(connection.handle());
            let (requests, before) = self.scoreboard.connected(slot);
            let mut session = connection.session(&self.service);
            session.dispatched(dispatched);
            serve_blocking_with(session, connection.socket(), |session| {
                requests.set(before + session.requests());
            });
            drop(serving);
        }
        Ok(())
    }

    /// Waits for every child that has ended. One signal may stand for many.
    fn reap(&mut self) {
        while let Ok(Some(_)) = self.child_signals.read_signal() {}
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let (pid, how) = match status {
                WaitStatus::Exited(pid, code) => (pid, format!("ended with {code}")),
                WaitStatus::Signaled(pid, signal, _) => (pid, format!("died of {signal}")),
                _ => break, // none, or none that has died
            };
            let has_pid = |slot: &Slot| slot.child.as_ref().is_some_and(|child| child.pid == pid);
            if let Some(slot) = self.slots.iter().position(has_pid) {
                if !self.stopping {
                    tracing::warn!("child {pid} {how}");
                }
                self.vacate(slot);
            }
        }
        self.fork_due();
    }

    /// Frees what the child of this slot had, and decides when another one is forked.
    fn vacate(&mut self, slot: usize) {
        let Some(child) = self.slots[slot].child.take() else { return };
        self.free.retain(|free| *free != slot);
        if let Some(channel) = &child.channel {
            // Closing it would not do: a child that was forked just now may still have a copy.
            let _ = epoll::delete(&self.epoll, channel);
        }
        let deaths = match child.born.elapsed() < YOUNG {
            true => self.slots[slot].young_deaths + 1,
            false => 0,
        };
        self.slots[slot].young_deaths = deaths;
        self.slots[slot].due = (!self.stopping).then(|| Instant::now() + back_off(deaths));
    }

    /// Sets the timer to the next fork that is due, if there is one.
    fn set_timer(&self) {
        let next = self.slots.iter().filter_map(|slot| slot.due).min();
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Zero would stop it.
        let left = next.map(|due| due.saturating_duration_since(Instant::now()).as_nanos().max(1));
        let it_value = left.map_or(zero, |nanos| Timespec {
            tv_sec: (nanos / 1_000_000_000) as i64,
            tv_nsec: (nanos % 1_000_000_000) as i64,
        });
        let value = Itimerspec { it_interval: zero, it_value };
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value);
    }

    // ---- Passing ----

    /// Whether a client may come: with the other two ways of accepting none comes to the parent.
    fn can_pass(&self) -> bool {
        !self.free.is_empty() && self.left_over.is_none()
    }

    /// Passes the client to a child that is free.
    fn pass(&mut self, connection: Connection) {
        let dispatched = self.service.moment();
        while let Some(slot) = self.free.pop() {
            let Some(child) = &mut self.slots[slot].child else { continue };
            let Some(channel) = &child.channel else { continue };
            // The model: the copy of the client's socket goes to the child, ours is closed.
            match accept::pass(channel, &connection, dispatched) {
                Ok(()) => {
                    child.permit = Some(connection.into_permit());
                    return;
                }
                Err(error) => tracing::debug!("child {} takes no client: {error}", child.pid),
            }
        }
        self.left_over = Some(connection);
    }

    /// Reads from the channel of a child that is free, or gone.
    fn read_channel(&mut self, slot: usize) {
        let Some(child) = &mut self.slots[slot].child else { return };
        let Some(channel) = &child.channel else { return };
        match channel.receive(&mut [0]) {
            Ok(Some(_)) => {
                child.permit = None;
                self.free.push(slot);
                if let Some(connection) = self.left_over.take() {
                    self.pass(connection);
                }
            }
            Err(ipc::Error::WouldBlock { .. }) => {}
            // It will be reaped. Until then the epoll set would tell of it again and again.
            Ok(None) | Err(_) => drop(epoll::delete(&self.epoll, channel)),
        }
    }

    // ---- Shutdown ----

    /// Requests that every child ends after the request under way; none is replaced.
    fn request_shutdown(&mut self) {
        self.stopping = true;
        self.left_over = None;
        self.slots.iter_mut().for_each(|slot| slot.due = None);
        self.set_timer();
        // Of all processes that hold it: no client can connect any more, and a child that waits in accept wakes.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        for child in self.slots.iter().filter_map(|slot| slot.child.as_ref()) {
            if let Some(channel) = &child.channel {
                let _ = channel.shutdown(Shutdown::Write);
            }
            // A child that has just ended needs no request.
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            let _ = send(child.tether.as_raw_fd(), b".", flags);
        }
    }
}

/// A descriptor that is readable when [`handle_events`](Children::handle_events) has something to do.
impl AsFd for Children {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// How long a slot stays empty after so many young deaths in a row.
fn back_off(deaths: u32) -> Duration {
    match deaths {
        0 | 1 => Duration::ZERO,
        _ => (BACK_OFF.0 * (1 << (deaths - 2).min(10))).min(BACK_OFF.1),
    }
}

fn watch(epoll: &OwnedFd, fd: &impl AsFd, data: u64) -> io::Result<()> {
    Ok(epoll::add(epoll, fd, epoll::EventData::new_u64(data), epoll::EventFlags::IN)?)
}
