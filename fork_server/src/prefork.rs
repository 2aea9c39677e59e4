//! Children that are forked beforehand, and the parent that keeps their number up.
//!
//! The parent waits for its next news in one place: an order to stop, a death, the time for a replacement, a child that
//! is free, and, with [`Accept::Pass`] and while one is, a client. It never waits anywhere else, so no child can hold
//! it up.
//!
//! The order to stop shuts the listening socket down, for all processes at once. So nobody can connect any more, and
//! who waits in accept is woken, even if he gets there only afterwards. A signal alone would not do: it may come
//! just before the call that it should interrupt.

use crate::accept::{self, Accept, Door};
use crate::child::{self, Serving};
use crate::scoreboard::Scoreboard;
use crate::tether;
use file_service::{Connection, Incoming, Lease, Next, Service, converse_watched};
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
use std::io::{self, Write};
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A child that has lived for less has died young.
const YOUNG: Duration = Duration::from_secs(10);

/// How long the place of a child that died young stays empty, the second time in a row and at most. The first
/// time it is taken at once.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Serves until the process is told to stop, `wanted` clients at once.
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
    let mut incoming = Incoming::for_forking(listener.try_clone()?, &service)?;
    let mut children = Children::new(listener, service, wanted.min(most), accept)?;
    children.fork_due();
    loop {
        incoming.hold(!children.want_a_client());
        match incoming.next_or(children.news()) {
            Next::Connection(connection) => children.pass(connection),
            Next::Other => children.look_after(),
            Next::Stop => break,
        }
    }
    children.order_to_stop();
    while children.alive() > 0 {
        match incoming.next_or(children.news()) {
            Next::Stop => {
                tracing::warn!("drain timeout: {} connections cut", children.alive());
                break; // our end closes their tethers, which cuts them
            }
            _ => children.look_after(),
        }
    }
    // Nobody may be reading it, which is no failure.
    let _ = io::stdout().write_all(children.scoreboard.to_string().as_bytes());
    Ok(())
}

/// The children, each in a row of its own.
struct Children {
    listener: TcpListener,
    service: Service,
    scoreboard: Arc<Scoreboard>,
    accept: Accept,
    /// For [`Accept::Lock`].
    lock: Option<Mutex<u32>>,
    rows: Vec<Row>,
    /// For [`Accept::Pass`]: the rows of those who have asked for a client. The last one to ask has the warmest
    /// caches.
    free: Vec<usize>,
    /// A client whose child died before it got it.
    left_over: Option<Connection>,
    epoll: OwnedFd,
    deaths: SignalFd,
    timer: OwnedFd,
    stopping: bool,
    /// There was no process or descriptor for the last child.
    scarce: bool,
}

/// The place of a child, which may be empty for a while.
#[derive(Default)]
struct Row {
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
    /// The place of the client that was passed.
    lease: Option<Lease>,
}

/// What the epoll set says of its descriptors; of a channel it says the row.
const DEATHS: u64 = u64::MAX;
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
        let scoreboard = Arc::new(Scoreboard::new(number)?);
        if let (Some(trace), Accept::Shared | Accept::Lock) = (service.trace(), accept) {
            let scoreboard = Arc::clone(&scoreboard);
            trace.number_by(move || scoreboard.next_number());
        }
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Whoever started us may have ignored it, and then nobody could be waited for.
        child::reset(Signal::SIGCHLD);
        let mask = SigSet::from_iter([Signal::SIGCHLD]);
        mask.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let deaths = SignalFd::with_flags(&mask, flags)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        watch(&epoll, &deaths, DEATHS)?;
        watch(&epoll, &timer, TIMER)?;
        let now = Some(Instant::now());
        let rows = (0..number).map(|_| Row { due: now, ..Row::default() }).collect();
        Ok(Children {
            listener,
            service,
            scoreboard,
            accept,
            lock,
            rows,
            free: Vec::new(),
            left_over: None,
            epoll,
            deaths,
            timer,
            stopping: false,
            scarce: false,
        })
    }

    /// A descriptor that is readable when [`look_after`](Children::look_after) has something to do.
    fn news(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    fn alive(&self) -> usize {
        self.rows.iter().filter(|row| row.child.is_some()).count()
    }

    /// Reaps, replaces, and hears who is free.
    fn look_after(&mut self) {
        let mut events = Vec::with_capacity(64);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spare = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&self.epoll, spare, Some(&now)).is_err() {
            return;
        }
        for event in &events {
            match event.data.u64() {
                DEATHS => self.reap(),
                TIMER => self.fork_due(),
                row => self.hear(row as usize),
            }
        }
    }

    // ---- Births and deaths ----

    /// Forks every child that is due.
    fn fork_due(&mut self) {
        let now = Instant::now();
        for row in 0..self.rows.len() {
            if self.rows[row].due.is_none_or(|due| due > now) {
                continue;
            }
            self.rows[row].due = match self.fork(row) {
                Ok(()) => {
                    self.scarce = false;
                    None
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.scarce, true) {
                        tracing::warn!("no process for a child: {error}");
                    }
                    self.rows[row].young_deaths += 1;
                    Some(now + back_off(self.rows[row].young_deaths + 1))
                }
            };
        }
        self.set_timer();
    }

    /// Forks a child.
    fn fork(&mut self, row: usize) -> io::Result<()> {
        let (ours, childs) = tether::pair()?;
        let channels = match self.accept {
            Accept::Pass => Some(Packets::pair()?),
            Accept::Shared | Accept::Lock => None,
        };
        if let Some((ours, _)) = &channels {
            ours.set_wait(Wait::Never, Wait::Never);
            watch(&self.epoll, ours, row as u64)?; // what can fail comes before the fork
        }
        // SAFETY: this process has one thread, as `run` of the crate has made sure and nothing since has changed,
        // so the child may do whatever the parent could.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let _forked_here = child::ForkedHere;
                let outcome = self.serve(row, &childs, channels.map(|(_, childs)| childs));
                if let Err(error) = &outcome {
                    tracing::error!("a child gives up: {error}");
                }
                if let Some(trace) = self.service.trace() {
                    trace.end(); // `_exit` drops nothing
                }
                child::exit(outcome.is_err().into())
            }
            ForkResult::Parent { child: pid } => {
                self.scoreboard.begin(row, pid.as_raw().unsigned_abs());
                let channel = channels.map(|(ours, _)| ours);
                let child = Child { pid, born: Instant::now(), tether: ours, channel, lease: None };
                self.rows[row].child = Some(child);
                Ok(())
            }
        }
    }

    /// The child: one client after the other.
    fn serve(&self, row: usize, tether: &OwnedFd, channel: Option<Packets>) -> io::Result<()> {
        let mut door = match channel {
            Some(channel) => {
                let fd = channel.as_fd().as_raw_fd();
                child::waits_for(fd);
                child::begin(&self.service, tether, &[fd]);
                Door::passed(channel, &self.service)
            }
            None => {
                let listener = self.listener.try_clone()?;
                child::waits_at(listener.as_raw_fd());
                child::begin(&self.service, tether, &[listener.as_raw_fd()]);
                Door::open(listener, &self.service, self.lock.as_ref())?
            }
        };
        while let Some((connection, dispatched)) = door.next()? {
            let serving = Serving::begin(connection.link());
            let (requests, before) = self.scoreboard.connected(row);
            let mut session = connection.session(&self.service);
            session.dispatched(dispatched);
            converse_watched(session, connection.socket(), |session| {
                requests.set(before + session.requests());
            });
            drop(serving);
        }
        Ok(())
    }

    /// Waits for all who have died. One signal may stand for many.
    fn reap(&mut self) {
        while let Ok(Some(_)) = self.deaths.read_signal() {}
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let (pid, how) = match status {
                WaitStatus::Exited(pid, code) => (pid, format!("ended with {code}")),
                WaitStatus::Signaled(pid, signal, _) => (pid, format!("died of {signal}")),
                _ => break, // none, or none that has died
            };
            let is_it = |row: &Row| row.child.as_ref().is_some_and(|child| child.pid == pid);
            if let Some(row) = self.rows.iter().position(is_it) {
                if !self.stopping {
                    tracing::warn!("child {pid} {how}");
                }
                self.bury(row);
            }
        }
        self.fork_due();
    }

    /// The child of this row is dead: frees what it had, and settles when another takes its place.
    fn bury(&mut self, row: usize) {
        let Some(child) = self.rows[row].child.take() else { return };
        self.free.retain(|free| *free != row);
        if let Some(channel) = &child.channel {
            // Closing it would not do: a child that was forked just now may still have a copy.
            let _ = epoll::delete(&self.epoll, channel);
        }
        let deaths = match child.born.elapsed() < YOUNG {
            true => self.rows[row].young_deaths + 1,
            false => 0,
        };
        self.rows[row].young_deaths = deaths;
        self.rows[row].due = (!self.stopping).then(|| Instant::now() + back_off(deaths));
    }

    /// Sets the timer to the next birth that is due, if there is one.
    fn set_timer(&self) {
        let next = self.rows.iter().filter_map(|row| row.due).min();
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

    /// Whether a client may come: in the other two ways none comes to the parent.
    fn want_a_client(&self) -> bool {
        !self.free.is_empty() && self.left_over.is_none()
    }

    /// Passes the client to a child that is free.
    fn pass(&mut self, connection: Connection) {
        let dispatched = self.service.moment();
        while let Some(row) = self.free.pop() {
            let Some(child) = &mut self.rows[row].child else { continue };
            let Some(channel) = &child.channel else { continue };
            // The model: the copy of the client's socket goes to the child, ours is closed.
            match accept::pass(channel, &connection, dispatched) {
                Ok(()) => {
                    child.lease = Some(connection.into_lease());
                    return;
                }
                Err(error) => tracing::debug!("child {} takes no client: {error}", child.pid),
            }
        }
        self.left_over = Some(connection);
    }

    /// A child says that it is free, or is gone.
    fn hear(&mut self, row: usize) {
        let Some(child) = &mut self.rows[row].child else { return };
        let Some(channel) = &child.channel else { return };
        match channel.receive(&mut [0]) {
            Ok(Some(_)) => {
                child.lease = None;
                self.free.push(row);
                if let Some(connection) = self.left_over.take() {
                    self.pass(connection);
                }
            }
            Err(ipc::Error::WouldBlock { .. }) => {}
            // It will be reaped. Until then the epoll set would tell of it again and again.
            Ok(None) | Err(_) => drop(epoll::delete(&self.epoll, channel)),
        }
    }

    // ---- The end ----

    /// Has every child end after the request under way; no other takes its place.
    fn order_to_stop(&mut self) {
        self.stopping = true;
        self.left_over = None;
        self.rows.iter_mut().for_each(|row| row.due = None);
        self.set_timer();
        // Of all processes that hold it: nobody can connect any more, and who waits in accept wakes.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        for child in self.rows.iter().filter_map(|row| row.child.as_ref()) {
            if let Some(channel) = &child.channel {
                let _ = channel.shutdown(Shutdown::Write);
            }
            // One that has just ended needs no order.
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            let _ = send(child.tether.as_raw_fd(), b".", flags);
        }
    }
}

/// How long a place stays empty after so many young deaths in a row.
fn back_off(deaths: u32) -> Duration {
    match deaths {
        0 | 1 => Duration::ZERO,
        _ => (BACK_OFF.0 * (1 << (deaths - 2).min(10))).min(BACK_OFF.1),
    }
}

fn watch(epoll: &OwnedFd, fd: &impl AsFd, data: u64) -> io::Result<()> {
    Ok(epoll::add(epoll, fd, epoll::EventData::new_u64(data), epoll::EventFlags::IN)?)
}
