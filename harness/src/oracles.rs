//! What the kernel knows about a server, whatever the server says: zombies, inherited listeners,
//! leaked descriptors, busy waits, and framing that only works by luck.
//!
//! Each oracle answers one question about a process tree and takes no part in judging it.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use crate::proc::{self, Process};
use crate::sockets::{self, CLOSE_WAIT, ESTABLISHED, SYN_RECEIVED, TcpSocket};
use crate::wait::{TIMEOUT, pause, within};
use crate::wire::Conn;

/// Children that have ended and that their living parent, a member of the tree, has not waited
/// for. Orphans are not its business: init reaps them in its own time.
pub fn zombies(tree: &[Process]) -> Vec<i32> {
    let parent_lives =
        |p: &&Process| tree.iter().any(|member| member.pid == p.parent && member.state != 'Z');
    let zombies = tree.iter().filter(|p| p.state == 'Z').filter(parent_lives);
    zombies.map(|p| p.pid).collect()
}

/// Members of the tree that hold the listening socket of `address`. A process that serves one
/// client and also holds the listener keeps the port alive after its parent's death.
pub fn listener_holders(tree: &[Process], address: SocketAddrV4) -> Vec<i32> {
    sockets::listener(address).map_or(Vec::new(), |socket| holders(tree, socket.inode))
}

/// Members of the tree that hold the server's end of a connection.
pub fn connection_holders(
    tree: &[Process],
    server: SocketAddrV4,
    client: SocketAddrV4,
) -> Vec<i32> {
    let end = sockets::connection(server, client);
    end.map_or(Vec::new(), |socket| holders(tree, socket.inode))
}

fn holders(tree: &[Process], inode: u64) -> Vec<i32> {
    let name = format!("socket:[{inode}]");
    let holds = |p: &&Process| proc::descriptors(p.pid).values().any(|target| *target == name);
    tree.iter().filter(holds).map(|p| p.pid).collect()
}

/// Every open descriptor of the tree as a multiset of kinds: sockets, pipes and the like by what
/// they are, files by their path. Equal before and after means that nothing has leaked, even where
/// one leak and one loss would leave the number the same.
pub fn descriptor_kinds(tree: &[Process]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for target in tree.iter().flat_map(|p| proc::descriptors(p.pid).into_values()) {
        let kind = match target.split_once(":[") {
            Some((kind, _)) => kind.to_string(),
            None => target,
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// CPU time that the tree uses while `window` passes. A server that has nothing to do uses
/// next to none; one that spins uses all of it.
pub fn cpu_during(tree: &[Process], window: Duration) -> Duration {
    let reading = || -> BTreeMap<i32, Duration> {
        tree.iter().filter_map(|p| Some((p.pid, proc::cpu_time(p.pid)?))).collect()
    };
    let before = reading();
    pause(window);
    let spent = |(pid, after): (i32, Duration)| {
        after.saturating_sub(before.get(&pid).copied().unwrap_or_default())
    };
    reading().into_iter().map(spent).sum()
}

/// How long the threads of the tree run, or are ready to and wait for a core, while `window` passes, all together. Who
/// spins on a busy machine gets little processor time, but is ready all the time.
pub fn ready_during(tree: &[Process], window: Duration) -> Duration {
    let reading = || -> BTreeMap<i32, (proc::Thread, Duration)> {
        let of = |pid: i32| {
            let read = move |thread: proc::Thread| {
                Some((thread.id, (thread, proc::ready_time(pid, thread.id)?)))
            };
            proc::threads(pid).into_iter().filter_map(read)
        };
        tree.iter().flat_map(|p| of(p.pid)).collect()
    };
    let (begun, before) = (Instant::now(), reading());
    pause(window);
    let after = reading();
    let window = begun.elapsed();
    let spent = |(id, (now, ready)): (i32, (proc::Thread, Duration))| {
        let Some((then, before)) = before.get(&id) else { return ready.min(window) };
        // A wait for a core is booked when it is over: what had begun earlier comes as a whole, and what is not over, not at
        // all. But who is ready at both ends, and has not gone to sleep between, was so all the while.
        let awake = [then.state, now.state] == ['R', 'R'] && then.voluntary == now.voluntary;
        if awake { window } else { ready.saturating_sub(*before).min(window) }
    };
    after.into_iter().map(spent).sum()
}

/// Looks for a `window` in which the tree is ready for less than a quarter of the time, as one is that has nothing to do, and
/// goes on looking until `timeout` has passed; otherwise gives how long it was ready in the last. Who is on the way to sleep, and
/// waits for a core, gets there in one of them; who never sleeps is found so in all.
pub fn busy_throughout(
    tree: impl Fn() -> Vec<Process>,
    window: Duration,
    timeout: Duration,
) -> Option<Duration> {
    let begun = Instant::now();
    loop {
        let ready = ready_during(&tree(), window);
        if ready < window / 4 {
            return None;
        }
        if begun.elapsed() >= timeout {
            return Some(ready);
        }
    }
}

/// Memory of the tree: pages shared with others counted in proportion.
pub fn memory(tree: &[Process]) -> u64 {
    tree.iter().filter_map(|p| proc::pss(p.pid)).sum()
}

/// Bytes that the `sender` has written and that the `receiver`, the other end of the connection, has not read, whether they
/// have arrived or not; or `None` once that end is gone. Where it says 0, the system call that read the last of them is
/// over, too: what is written from now on is no part of that read.
pub fn unread(receiver: SocketAddrV4, sender: SocketAddrV4) -> Option<u64> {
    let other = sockets::connection(sender, receiver);
    let written = other.and_then(|other| other.traffic).map(|traffic| traffic.written);
    let arrived = match sockets::connection(receiver, sender) {
        // Nothing arrives before the handshake is over at this end, too.
        None | Some(TcpSocket { state: SYN_RECEIVED, .. }) => Some(0),
        Some(end) => end.traffic.map(|traffic| traffic.received),
    };
    // A second look, since what is unread has to be seen after what has arrived. For its answer the kernel takes the lock of
    // the socket, which a system call that reads holds for as long as it lasts.
    let Some(end) = sockets::connection(receiver, sender) else {
        // It is gone, unless the other end knows better: it is not always found while the handshake completes.
        let connected = other.is_some_and(|other| other.state == ESTABLISHED);
        return written.filter(|_| connected);
    };
    // Nobody will read what a socket has that its process has let go of; one that has not been
    // accepted yet belongs to nobody either, but it will be read.
    let to_be_accepted = [SYN_RECEIVED, ESTABLISHED, CLOSE_WAIT].contains(&end.state);
    if end.inode == 0 && !to_be_accepted {
        return None;
    }
    let on_its_way =
        written.zip(arrived).map_or(0, |(written, arrived)| written.saturating_sub(arrived));
    Some(on_its_way + u64::from(end.unread))
}

/// Waits until the server has read everything that `conn` has sent, or has closed the connection.
pub fn until_read(conn: &Conn) -> bool {
    let (client, server) = (conn.local(), conn.peer());
    within(TIMEOUT, || unread(server, client).unwrap_or(0) == 0)
}

/// Sends `bytes` in pieces of `size` and waits after each until the server has read it: so every
/// piece is a read of its own on the other side, which no amount of small sends would guarantee.
/// Stops early where the server has closed.
#[track_caller]
pub fn feed(conn: &mut Conn, bytes: &[u8], size: usize) {
    for piece in bytes.chunks(size) {
        if conn.try_send(piece).is_err() {
            return;
        }
        assert!(until_read(conn), "the server has not read what was sent within {TIMEOUT:?}");
    }
}

/// Whether every thread of the tree sleeps all the while that `window` passes: none runs, is ready to, or wakes up in
/// between. (A thread that has ended sleeps, too.) Who waits for a core is not asleep, and neither is who waits for a disk, as
/// for a page of its own program: so a busy machine is never taken for a program that is stuck.
pub fn asleep_during(tree: &[Process], window: Duration) -> bool {
    let look = || -> Option<BTreeMap<i32, u64>> {
        let alive = tree.iter().filter(|p| p.state != 'Z');
        let threads: Vec<_> = alive.flat_map(|p| proc::threads(p.pid)).collect();
        let sleeps = threads.iter().all(|thread| matches!(thread.state, 'S' | 'Z'));
        sleeps.then(|| threads.into_iter().map(|thread| (thread.id, thread.switches)).collect())
    };
    let before = look();
    let until = Instant::now() + window;
    while before.as_ref().is_some_and(|threads| !threads.is_empty()) && look() == before {
        if Instant::now() >= until {
            return true;
        }
        pause(Duration::from_millis(10));
    }
    false
}

/// Watches for how long a process has been asleep without a break. Who has something to do, and only waits for a core to do it,
/// is not asleep: so a process that rests for longer than it ever waits on purpose waits for something that will not come,
/// however busy the machine is.
#[derive(Clone, Copy, Debug)]
pub struct SleepWatch {
    pid: i32,
    last: Option<(Instant, proc::ContextSwitches)>,
    asleep_for: Duration,
}

/// The most that a rest grows by from one look to the next. Between two that are further apart the whole machine may have
/// stood still, and the process's own clock has not yet had its turn.
const MAX_GAP: Duration = Duration::from_millis(50);

impl SleepWatch {
    /// Of this process.
    pub fn new(pid: i32) -> SleepWatch {
        SleepWatch { pid, last: None, asleep_for: Duration::ZERO }
    }

    /// Looks, and gives for how long every look so far has found it asleep, and in the same sleep.
    pub fn sample(&mut self) -> Duration {
        let switches = proc::context_switches(self.pid);
        let asleep = proc::asleep(self.pid) && proc::context_switches(self.pid) == switches;
        let now = Instant::now();
        self.asleep_for = match self.last {
            Some((last, before)) if asleep && before == switches => {
                self.asleep_for + (now - last).min(MAX_GAP)
            }
            _ => Duration::ZERO,
        };
        self.last = asleep.then_some((now, switches));
        self.asleep_for
    }
}
