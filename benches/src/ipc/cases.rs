//! What is measured: every mechanism, in every way in which it makes sense.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The sizes of messages, in bytes.
pub const SIZES: [usize; 7] = [8, 64, 100, 1 << 10, 4 << 10, 16 << 10, 64 << 10];

/// The least size, and the only one of what carries a number at most.
pub const NUMBER: usize = 8;

/// The size that stands for all where there is room for one.
pub const USUAL: usize = 100;

/// A way in which two processes talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// Two anonymous pipes.
    Pipe,
    /// Two FIFOs.
    Fifo,
    /// A pair of AF_UNIX stream sockets.
    Stream,
    /// A pair of SOCK_SEQPACKET sockets.
    Packets,
    /// A pair of datagram sockets.
    Datagram,
    /// TCP over loopback, for comparison.
    Tcp,
    /// Two POSIX queues.
    PosixQueue,
    /// Two System V queues.
    SysvQueue,
    /// A ring of one sender in shared memory.
    Ring,
    /// A ring of many senders, of whom there is one.
    ManyRing,
    /// POSIX semaphores next to numbers in shared memory.
    PosixSemaphore,
    /// The same with System V semaphores.
    SysvSemaphore,
    /// Real-time signals that carry a number.
    Signal,
    /// An event on a futex, next to a number in shared memory.
    Event,
    /// An eventfd, for comparison.
    Eventfd,
    /// A mutex and a condition, with the numbers that they protect.
    Condition,
    /// A number in shared memory that one writes and the other looks at.
    Value,
}

/// In which directions messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// There and back, one at a time: how long it takes.
    RoundTrip,
    /// There, as fast as they go: how long each takes.
    OneWay,
}

/// Where the two processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cores {
    /// Both on one core.
    One,
    /// Each on a core of its own.
    Two,
}

/// What a process does until there is something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waiting {
    /// It sleeps in the kernel.
    Sleeping,
    /// It looks again and again.
    Spinning,
}

/// What a case is run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// The library `ipc`.
    Library,
    /// The bare system calls, or a ring of nothing but atomics.
    #[serde(alias = "bare")]
    Baseline,
    /// The baseline of what spins: two cache lines that go to and fro.
    #[serde(alias = "line")]
    CacheLine,
    /// iceoryx2, publish and subscribe, where the feature of this name is on.
    Iceoryx2,
}

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Case {
    /// How they talk.
    pub mechanism: Mechanism,
    /// In which directions.
    #[serde(alias = "course")]
    pub pattern: Pattern,
    /// Where they run.
    pub cores: Cores,
    /// What they do meanwhile.
    pub waiting: Waiting,
    /// The length of a message in bytes.
    pub size: usize,
}

/// The bound of a ratio to the baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Its interval reaches down to this.
    Reaches(f64),
    /// It is not above this.
    AtMost(f64),
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Mechanism; 17] = [
        Mechanism::Pipe,
        Mechanism::Fifo,
        Mechanism::Stream,
        Mechanism::Packets,
        Mechanism::Datagram,
        Mechanism::Tcp,
        Mechanism::PosixQueue,
        Mechanism::SysvQueue,
        Mechanism::Ring,
        Mechanism::ManyRing,
        Mechanism::PosixSemaphore,
        Mechanism::SysvSemaphore,
        Mechanism::Signal,
        Mechanism::Event,
        Mechanism::Eventfd,
        Mechanism::Condition,
        Mechanism::Value,
    ];

    /// As it is called in tables.
    pub fn title(self) -> &'static str {
        match self {
            Mechanism::Pipe => "pipe",
            Mechanism::Fifo => "FIFO",
            Mechanism::Stream => "socket pair",
            Mechanism::Packets => "packet sockets",
            Mechanism::Datagram => "datagrams",
            Mechanism::Tcp => "TCP",
            Mechanism::PosixQueue => "POSIX queue",
            Mechanism::SysvQueue => "SysV queue",
            Mechanism::Ring => "ring",
            Mechanism::ManyRing => "ring of many",
            Mechanism::PosixSemaphore => "POSIX semaph.",
            Mechanism::SysvSemaphore => "SysV semaph.",
            Mechanism::Signal => "signal",
            Mechanism::Event => "event (futex)",
            Mechanism::Eventfd => "eventfd",
            Mechanism::Condition => "condition",
            Mechanism::Value => "shared number",
        }
    }

    /// As it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Pipe => "pipe",
            Mechanism::Fifo => "fifo",
            Mechanism::Stream => "stream",
            Mechanism::Packets => "packets",
            Mechanism::Datagram => "datagram",
            Mechanism::Tcp => "tcp",
            Mechanism::PosixQueue => "posix-queue",
            Mechanism::SysvQueue => "sysv-queue",
            Mechanism::Ring => "ring",
            Mechanism::ManyRing => "many-ring",
            Mechanism::PosixSemaphore => "posix-semaphore",
            Mechanism::SysvSemaphore => "sysv-semaphore",
            Mechanism::Signal => "signal",
            Mechanism::Event => "event",
            Mechanism::Eventfd => "eventfd",
            Mechanism::Condition => "condition",
            Mechanism::Value => "value",
        }
    }

    /// Whether messages go through it, and not a number at most.
    pub fn carries_messages(self) -> bool {
        self <= Mechanism::ManyRing
    }

    /// The calls of its baseline.
    pub fn baseline(self) -> &'static str {
        match self {
            Mechanism::Pipe | Mechanism::Fifo => "write, read",
            Mechanism::Stream | Mechanism::Packets | Mechanism::Datagram | Mechanism::Tcp => {
                "send, recv"
            }
            Mechanism::PosixQueue => "mq_send, mq_receive",
            Mechanism::SysvQueue => "msgsnd, msgrcv",
            Mechanism::Ring => "ring of atomics; cache lines",
            Mechanism::ManyRing => "slots of atomics, no checksum",
            Mechanism::PosixSemaphore => "sem_post, sem_wait",
            Mechanism::SysvSemaphore => "semop",
            Mechanism::Signal => "sigqueue, sigwaitinfo",
            Mechanism::Event => "futex",
            Mechanism::Eventfd => "write, read",
            Mechanism::Condition => "pthread_mutex, pthread_cond",
            Mechanism::Value => "cache lines",
        }
    }

    fn waitings(self) -> &'static [Waiting] {
        match self {
            Mechanism::Ring | Mechanism::ManyRing => &[Waiting::Sleeping, Waiting::Spinning],
            Mechanism::Value => &[Waiting::Spinning],
            _ => &[Waiting::Sleeping],
        }
    }
}

impl Pattern {
    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Pattern::RoundTrip => "round trip",
            Pattern::OneWay => "one way",
        }
    }
}

impl Cores {
    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Cores::One => "both on one core",
            Cores::Two => "each on a core of its own",
        }
    }
}

impl Waiting {
    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Waiting::Sleeping => "sleeping",
            Waiting::Spinning => "spinning",
        }
    }
}

impl Contestant {
    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Contestant::Library => "library",
            Contestant::Baseline => "baseline",
            Contestant::CacheLine => "cache line",
            Contestant::Iceoryx2 => "iceoryx2",
        }
    }
}

/// Every case of these sizes, including those that are excluded.
pub fn all(sizes: &[usize]) -> Vec<Case> {
    let mut cases = Vec::new();
    for mechanism in Mechanism::ALL {
        for &waiting in mechanism.waitings() {
            for pattern in [Pattern::RoundTrip, Pattern::OneWay] {
                for cores in [Cores::One, Cores::Two] {
                    // A number has 8 bytes, whatever sizes were asked for.
                    let sizes = if mechanism.carries_messages() { sizes } else { &[NUMBER] };
                    cases.extend(sizes.iter().map(|&size| Case {
                        mechanism,
                        pattern,
                        cores,
                        waiting,
                        size,
                    }));
                }
            }
        }
    }
    cases
}

impl Case {
    /// Why it is not run; `None` if it is.
    pub fn exclusion(&self) -> Option<&'static str> {
        use Mechanism::{Event, Eventfd, Signal, Value};
        match (self.mechanism, self.pattern, self.cores, self.waiting) {
            (.., Cores::One, Waiting::Spinning) => {
                Some("two that spin on one core take turns by the clock")
            }
            (Event | Eventfd, Pattern::OneWay, ..) => Some(
                "several events before a wait are one event: there is no stream of messages to measure",
            ),
            (Signal, Pattern::OneWay, ..) => {
                Some("a sender that is too fast is refused (RLIMIT_SIGPENDING), and does not wait")
            }
            (Value, Pattern::OneWay, ..) => Some("the next number takes the place of the last"),
            _ if !self.mechanism.carries_messages() && self.size != NUMBER => {
                Some("it carries a number at most")
            }
            _ => None,
        }
    }

    /// What it is run with. The library comes first where it takes part.
    pub fn contestants(&self) -> Vec<Contestant> {
        let spinning_ring = self.mechanism == Mechanism::Ring && self.waiting == Waiting::Spinning;
        match self.mechanism {
            Mechanism::Eventfd | Mechanism::Tcp => vec![Contestant::Baseline],
            Mechanism::Value => vec![Contestant::Library, Contestant::CacheLine],
            _ => {
                let mut all = vec![Contestant::Library, Contestant::Baseline];
                if self.baseline() == Contestant::CacheLine {
                    all.push(Contestant::CacheLine);
                }
                if spinning_ring && cfg!(feature = "iceoryx2") {
                    all.push(Contestant::Iceoryx2);
                }
                all
            }
        }
    }

    /// What the library is measured against.
    pub fn baseline(&self) -> Contestant {
        let is_round_trip = self.pattern == Pattern::RoundTrip && self.waiting == Waiting::Spinning;
        match self.mechanism {
            Mechanism::Value => Contestant::CacheLine,
            // A message of a few cache lines is not much more than one.
            Mechanism::Ring if is_round_trip && self.size <= USUAL => Contestant::CacheLine,
            _ => Contestant::Baseline,
        }
    }

    /// The bound of the ratio to the baseline; `None` where nothing was promised.
    pub fn bound(&self) -> Option<Bound> {
        match (self.mechanism, self.waiting, self.pattern) {
            (Mechanism::Eventfd | Mechanism::Tcp, ..) => None,
            (Mechanism::Ring, Waiting::Spinning, Pattern::OneWay) if self.size == USUAL => {
                Some(Bound::AtMost(1.3))
            }
            (Mechanism::Ring, Waiting::Spinning, Pattern::RoundTrip) if self.size == USUAL => {
                Some(Bound::AtMost(1.45))
            }
            (Mechanism::Ring | Mechanism::ManyRing | Mechanism::Value, ..) => None,
            _ => Some(Bound::Reaches(1.05)),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { mechanism, pattern, cores, waiting, size } = self;
        let cores = match cores {
            Cores::One => "one core",
            Cores::Two => "two cores",
        };
        let (mechanism, waiting) = (mechanism.title(), waiting.title());
        write!(f, "{mechanism}, {}, {}, {cores}, {waiting}", bytes(*size), pattern.title())
    }
}

/// A size as people read it.
pub fn bytes(size: usize) -> String {
    match size {
        size if size >= 1 << 10 && size.is_multiple_of(1 << 10) => format!("{} KiB", size >> 10),
        size => format!("{size} B"),
    }
}

#[cfg(test)]
mod tests;
