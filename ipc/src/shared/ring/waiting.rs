//! How an end waits for the other.

use std::hint::spin_loop;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::shared::event_count::EventCount;
use crate::shared::memory::Memory;
use crate::sys::Deadline;

/// How the ends of a ring wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStrategy {
    /// Asleep in the kernel, woken by the other side.
    Sleep,
    /// Awake, looking again and again.
    Spin,
}

/// Looks before anything else is done about waiting.
pub(crate) const LOOKS: u32 = 100;
/// How often an end that waits checks that the other is alive.
const SLICE: Duration = Duration::from_millis(100);

impl WaitStrategy {
    /// As a fact in the header of the segment.
    pub(super) fn to_fact(self) -> u64 {
        u64::from(self == Self::Spin)
    }

    pub(super) fn from_fact(fact: u64) -> Self {
        if fact == 0 { Self::Sleep } else { Self::Spin }
    }

    /// Runs between two looks. An end that spins pauses: one that looks all the time takes the cache line away from
    /// the other side in the middle of its writing. One that sleeps soon does not, for a pause can be longer than
    /// the whole way to the other core and back.
    #[inline]
    pub(super) fn between_looks(self) {
        if self == Self::Spin {
            spin_loop();
        }
    }
}

/// A wait of one end.
pub(crate) struct Waiting<'a> {
    pub memory: &'a Arc<Memory>,
    pub wait: WaitStrategy,
    pub event: &'a EventCount,
    /// Whether no other end sleeps on this event.
    pub alone: bool,
    pub timeout: Option<Duration>,
}

impl Waiting<'_> {
    /// Repeats `step` until it returns `true`. The caller has tried [`LOOKS`] times already, where it costs least.
    ///
    /// `absent` returns whether the other side is gone, so that `step` never will; it is called now and then.
    pub(crate) fn until<S>(
        &self,
        state: &mut S,
        mut step: impl FnMut(&mut S) -> Result<bool>,
        mut absent: impl FnMut(&mut S) -> bool,
    ) -> Result<()> {
        let deadline = self.timeout.map(Deadline::monotonic);
        let mut next_check = Instant::now() + SLICE;
        loop {
            match self.wait {
                WaitStrategy::Spin => {
                    for _ in 0..LOOKS {
                        if step(state)? {
                            return Ok(());
                        }
                        spin_loop();
                    }
                    // If both are on one core, the other cannot go on before this.
                    std::thread::yield_now();
                }
                WaitStrategy::Sleep => {
                    let key = self.event.prepare_wait();
                    if step(state)? {
                        if self.alone {
                            self.event.cancel_wait(key);
                        }
                        return Ok(());
                    }
                    let left = deadline.map_or(SLICE, |deadline| deadline.left());
                    let slice = Deadline::monotonic(left.min(SLICE));
                    let passed = self.event.wait(key, Some(&slice));
                    if passed && self.alone {
                        self.event.cancel_wait(key);
                    }
                }
            }
            let over = deadline.is_some_and(|deadline| deadline.left().is_zero());
            if over || Instant::now() >= next_check {
                next_check = Instant::now() + SLICE;
                // In this order: what the other did before it went is seen by the step after.
                let closed = absent(state);
                if step(state)? {
                    return Ok(());
                }
                if closed {
                    return Err(Error::Closed { object: self.memory.name().to_owned() });
                }
            }
            if let Some(deadline) = deadline.filter(|_| over) {
                return Err(deadline.passed(self.memory.name()));
            }
            if step(state)? {
                return Ok(());
            }
        }
    }
}
