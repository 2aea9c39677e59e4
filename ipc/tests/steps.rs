//! Processes that are killed at each step: two users of a ring one after the other, at every pair of steps; two users of an
//! event, one of which runs between two steps of the other.
//!
//! The algorithms are the library's own files, compiled here against atomics that count their operations. At a chosen
//! one they unwind, which leaves the memory as a process leaves it that is killed there. `tests/loom.rs` adds the orders
//! in which processes interleave, `tests/kills.rs` real processes.

#![allow(dead_code)] // The test uses a part of each file.

mod sync {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    pub use std::sync::atomic::Ordering;

    type Other = Box<dyn FnOnce()>;

    thread_local! {
        /// The steps that the process may still make.
        pub static STEPS_LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
        /// What other processes do, each after so many steps since the one before it came.
        pub static OTHERS: RefCell<VecDeque<(u32, Other)>> = const { RefCell::new(VecDeque::new()) };
        /// Whether a process sleeps on the futex.
        pub static ASLEEP: Cell<bool> = const { Cell::new(false) };
    }

    pub struct Killed;
    pub struct Asleep;

    /// Before each step.
    pub fn step() {
        let other = OTHERS.with_borrow_mut(|others| match others.front_mut() {
            Some((0, _)) => others.pop_front(),
            Some((steps, _)) => {
                *steps -= 1;
                None
            }
            None => None,
        });
        if let Some((_, other)) = other {
            let left = STEPS_LEFT.get();
            other();
            STEPS_LEFT.set(left);
        }
        match STEPS_LEFT.get() {
            // Without the message of a panic.
            0 => std::panic::resume_unwind(Box::new(Killed)),
            left => STEPS_LEFT.set(left - 1),
        }
    }

    macro_rules! counting {
        ($name:ident, $number:ty) => {
            #[derive(Default)]
            #[repr(transparent)]
            pub struct $name(std::sync::atomic::$name);

            impl $name {
                pub fn new(value: $number) -> Self {
                    Self(value.into())
                }

                pub fn load(&self, order: Ordering) -> $number {
                    step();
                    self.0.load(order)
                }

                pub fn store(&self, value: $number, order: Ordering) {
                    step();
                    self.0.store(value, order);
                }

                pub fn fetch_or(&self, value: $number, order: Ordering) -> $number {
                    step();
                    self.0.fetch_or(value, order)
                }

                pub fn compare_exchange(
                    &self,
                    old: $number,
                    new: $number,
                    order: Ordering,
                    failure: Ordering,
                ) -> Result<$number, $number> {
                    step();
                    self.0.compare_exchange(old, new, order, failure)
                }
            }
        };
    }

    counting!(AtomicU32, u32);
    counting!(AtomicU64, u64);

    pub fn fence(order: Ordering) {
        std::sync::atomic::fence(order);
    }

    pub struct Deadline;

    /// Leaves the process for good: only whether it is woken matters.
    pub fn futex_wait(word: &AtomicU32, expected: u32, _: Option<&Deadline>) -> bool {
        step();
        if word.0.load(Ordering::SeqCst) == expected {
            ASLEEP.set(true);
            std::panic::resume_unwind(Box::new(Asleep));
        }
        false
    }

    pub fn futex_wake(_: &AtomicU32, count: i32) {
        step();
        assert_eq!(count, i32::MAX);
        ASLEEP.set(false);
    }
}

#[path = "../src/shared/ring/base.rs"]
mod base;
#[path = "../src/shared/event_count.rs"]
mod event_count;
#[path = "../src/event/flag.rs"]
mod flag;
#[path = "../src/shared/ring/many.rs"]
mod many;
#[path = "../src/shared/ring/single.rs"]
mod single;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use base::{CachePadded, Got, Indices, Store};
use event_count::EventCount;
use sync::{ASLEEP, AtomicU64, OTHERS, STEPS_LEFT, step};

/// Runs `process` and kills it before its step number `last`; `None` if it was killed, or fell asleep.
fn killed_before<T>(last: u32, process: impl FnOnce() -> T) -> Option<T> {
    STEPS_LEFT.set(last);
    let result = catch_unwind(AssertUnwindSafe(process));
    STEPS_LEFT.set(u32::MAX);
    match result {
        Ok(value) => Some(value),
        Err(reason) if reason.is::<sync::Killed>() || reason.is::<sync::Asleep>() => None,
        Err(reason) => resume_unwind(reason),
    }
}

/// What two rings have in common: each call is that of a new process, which takes the end over.
trait Ring {
    fn new() -> Self;
    /// As `Sender::try_put`, and what is done to take the end over.
    fn put(&self, message: &[u8]) -> bool;
    /// As `Receiver::try_get`, and what is done to take the end over.
    fn get(&self) -> Option<Vec<u8>>;
}

/// What shared memory holds.
struct Memory {
    indices: Indices,
    words: Vec<AtomicU64>,
    bytes: RefCell<Vec<u8>>,
    not_empty: EventCount,
    not_full: EventCount,
}

impl Memory {
    fn new(size: usize) -> Self {
        let zero = || CachePadded(AtomicU64::default());
        Self {
            indices: Indices { tail: zero(), head: zero() },
            words: (0..size / 8).map(|_| AtomicU64::default()).collect(),
            bytes: RefCell::new(vec![0; size]),
            not_empty: EventCount::new(),
            not_full: EventCount::new(),
        }
    }
}

impl Store for Memory {
    unsafe fn word(&self, offset: u64) -> &AtomicU64 {
        &self.words[offset as usize / 8]
    }

    unsafe fn copy_in(&self, offset: u64, message: &[u8]) {
        for (at, part) in message.chunks(8).enumerate() {
            step();
            let at = offset as usize + at * 8;
            self.bytes.borrow_mut()[at..][..part.len()].copy_from_slice(part);
            // Words and bytes are the same memory, and a word that a message was written over is no record's.
            self.words[at / 8].store(u64::from_le_bytes([0x55; 8]), sync::Ordering::Relaxed);
        }
    }

    unsafe fn copy_out(&self, offset: u64, length: usize, into: &mut Vec<u8>) {
        step();
        into.clear();
        into.extend(&self.bytes.borrow()[offset as usize..][..length]);
    }
}

struct One(Memory);

const CAPACITY: u64 = 64;

impl Ring for One {
    fn new() -> Self {
        Self(Memory::new(CAPACITY as usize))
    }

    fn put(&self, message: &[u8]) -> bool {
        let Memory { indices, not_empty, .. } = &self.0;
        let mut writer = single::Writer::new(CAPACITY, indices, &self.0);
        let staged = writer.stage(indices, &self.0, message);
        writer.publish(indices, &self.0);
        not_empty.notify_all();
        staged
    }

    fn get(&self) -> Option<Vec<u8>> {
        let Memory { indices, not_full, .. } = &self.0;
        let mut message = Vec::new();
        let got = single::Reader::new(CAPACITY, indices).get(indices, &self.0, &mut message);
        assert!(matches!(got, Got::Message | Got::Nothing), "{got:?}");
        not_full.notify_all();
        (got == Got::Message).then_some(message)
    }
}

/// Every sender has a number of its own here: that of a dead one is given out again only when nothing of it is left.
struct Many(Memory, Cell<usize>);

const LONGEST: u64 = 24;

impl Many {
    fn slots() -> many::Slots {
        many::Slots::new(2, LONGEST)
    }
}

impl Ring for Many {
    fn new() -> Self {
        Self(Memory::new(2 * many::stride(LONGEST) as usize), Cell::new(0))
    }

    fn put(&self, message: &[u8]) -> bool {
        let Memory { indices, not_empty, .. } = &self.0;
        self.1.set((self.1.get() + 1) % many::SENDERS);
        let writer = many::Writer::new(Self::slots(), self.1.get());
        let Some(claim) = writer.claim(indices, &self.0) else { return false };
        writer.fill(&self.0, &claim, message);
        assert!(writer.publish(&self.0, claim));
        not_empty.notify_all();
        true
    }

    fn get(&self) -> Option<Vec<u8>> {
        let Memory { indices, not_full, .. } = &self.0;
        let mut reader = many::Reader::new(Self::slots(), LONGEST as usize, indices, &self.0);
        let mut message = Vec::new();
        loop {
            let got = reader.get(indices, &self.0, &mut message);
            assert!(matches!(got, Got::Message | Got::Nothing), "{got:?}");
            not_full.notify_all();
            if got == Got::Message {
                return Some(message);
            }
            // No other process runs, so the owner is dead.
            let owner = reader.unfinished(&self.0)?;
            assert!(reader.skip(indices, &self.0, owner));
        }
    }
}

/// The message of a number: 0, 8 or 16 bytes follow the number itself.
fn message(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + number as usize % 3)
}

fn number(message: &[u8]) -> u64 {
    let number = u64::from_le_bytes(message[..8].try_into().unwrap());
    assert_eq!(message, self::message(number), "half a message");
    number
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Sender,
    Receiver,
}

/// Runs `processes` on a new ring; each is killed before the step that stands with it. Then others use the ring.
/// Returns whether the last process was killed.
fn run<R: Ring>(passed: u64, inside: u64, processes: &[(Role, u32)]) -> bool {
    let ring = R::new();
    let mut next = passed;
    for at in 0..passed {
        assert!(ring.put(&message(at)));
        assert_eq!(number(&ring.get().unwrap()), at);
    }
    // What was put by processes that live must come out, once.
    let mut sure = Vec::new();
    let mut put = |ring: &R, last| {
        let number = next;
        next += 1;
        (number, killed_before(last, || ring.put(&message(number))))
    };
    for _ in 0..inside {
        if let (number, Some(true)) = put(&ring, u32::MAX) {
            sure.push(number);
        }
    }
    let (mut taken, mut maybe_taken, mut killed) = (Vec::new(), 0, false);
    for &(role, last) in processes {
        killed = match role {
            Role::Sender => {
                let (number, result) = put(&ring, last);
                sure.extend(result.filter(|whole| *whole).map(|_| number));
                result.is_none()
            }
            Role::Receiver => match killed_before(last, || ring.get()) {
                Some(message) => {
                    taken.extend(message.as_deref().map(number));
                    false
                }
                None => {
                    maybe_taken += 1;
                    true
                }
            },
        };
    }
    // Others go on, for longer than twice around.
    for _ in 0..20 {
        taken.extend(std::iter::from_fn(|| ring.get()).map(|message| number(&message)));
        let (number, result) = put(&ring, u32::MAX);
        assert_eq!(result, Some(true), "an empty ring has no room: {processes:?}");
        sure.push(number);
    }
    taken.extend(std::iter::from_fn(|| ring.get()).map(|message| number(&message)));
    assert!(taken.is_sorted_by(|one, other| one < other), "{taken:?}: {processes:?}");
    let lost = sure.iter().filter(|number| !taken.contains(number)).count();
    assert!(lost <= maybe_taken, "{lost} of {sure:?} are not in {taken:?}: {processes:?}");
    killed
}

/// Two processes are killed, at every pair of steps, with or without one between them that is not.
fn kill_every_pair<R: Ring>() -> usize {
    let mut runs = 0;
    let between = [None, Some(Role::Sender), Some(Role::Receiver)];
    for (passed, inside) in (0..8).flat_map(|passed| (0..3).map(move |inside| (passed, inside))) {
        for first in [Role::Sender, Role::Receiver] {
            for second in [Role::Sender, Role::Receiver] {
                for between in between {
                    let mut one = 0;
                    while run::<R>(passed, inside, &[(first, one)]) {
                        for other in 0.. {
                            let middle = between.map(|role| (role, u32::MAX));
                            let processes: Vec<_> =
                                [Some((first, one)), middle, Some((second, other))]
                                    .into_iter()
                                    .flatten()
                                    .collect();
                            runs += 1;
                            if !run::<R>(passed, inside, &processes) {
                                break;
                            }
                        }
                        one += 1;
                    }
                }
            }
        }
    }
    runs
}

#[test]
fn ring_survives_two_kills() {
    let runs = kill_every_pair::<One>();
    assert!(runs > 10_000, "{runs}");
}

#[test]
fn ring_of_many_survives_two_kills() {
    let runs = kill_every_pair::<Many>();
    assert!(runs > 10_000, "{runs}");
}

/// While a waiter sleeps, one process uses the event, and between two of its steps another does. Either may be killed.
/// Returns whether each came to the end of its call.
fn use_event(
    [one, other]: [Use; 2],
    other_comes: u32,
    [one_ends, other_ends]: [u32; 2],
    after: Use,
) -> [bool; 2] {
    let event = Rc::new(flag::Flag::new());
    assert!(killed_before(u32::MAX, || event.wait(None)).is_none() && ASLEEP.get());
    let other_ended = Rc::new(Cell::new(false));
    let (same, ended) = (Rc::clone(&event), Rc::clone(&other_ended));
    let run_other = move || ended.set(killed_before(other_ends, || other(&same)).is_some());
    OTHERS.set([(other_comes, Box::new(run_other) as _)].into());
    let one_ended = killed_before(one_ends, || one(&event)).is_some();
    OTHERS.take();
    after(&event);
    [one_ended, other_ended.get()]
}

type Use = fn(&flag::Flag);

const USES: [(&str, Use); 4] = [
    ("set", flag::Flag::set),
    ("clear", flag::Flag::clear),
    ("is_set", |event| {
        event.is_set();
    }),
    ("wait", |event| {
        event.wait(None);
    }),
];

/// More steps than any use of an event takes.
const ALL: u32 = 20;

/// A set that was not killed wakes the waiter itself. (Loom does not try all of these orders.)
#[test]
fn set_meeting_others_wakes_sleeper() {
    let set: Use = flag::Flag::set;
    for (name, other) in USES {
        for comes in 0..ALL {
            for (set_at, uses) in [(0, [set, other]), (1, [other, set])] {
                let ended = use_event(uses, comes, [u32::MAX; 2], |_| ());
                assert!(!ASLEEP.get() || !ended[set_at], "{name}, after {comes} steps");
            }
        }
    }
}

/// The setter, or both, are killed; whatever they were doing, the next `set` wakes the waiter.
#[test]
fn event_survives_two_kills() {
    let mut runs = 0;
    for (first, one) in USES {
        for (second, other) in USES {
            for comes in 0..ALL {
                for one_ends in 0..ALL {
                    for other_ends in 0..ALL {
                        use_event([one, other], comes, [one_ends, other_ends], flag::Flag::set);
                        let place = [comes, one_ends, other_ends];
                        assert!(!ASLEEP.get(), "{first}, {second} {place:?}");
                        runs += 1;
                    }
                }
            }
        }
    }
    assert!(runs > 10_000);
}

/// The waiter comes while a set and a clear are under way, and the next `set` wakes it.
#[test]
fn waiter_amid_others_is_woken() {
    let (set, clear): (Use, Use) = (flag::Flag::set, flag::Flag::clear);
    for [one, other] in [[set, clear], [clear, set]] {
        for (comes, waiter_comes) in (0..ALL).flat_map(|one| (0..ALL).map(move |two| (one, two))) {
            let event = Rc::new(flag::Flag::new());
            // Somebody has waited, and is gone.
            killed_before(u32::MAX, || event.wait(None));
            let [first, second] = [(); 2].map(|()| Rc::clone(&event));
            let waits = move || {
                killed_before(u32::MAX, || second.wait(None));
            };
            let others: [(u32, Box<dyn FnOnce()>); 2] =
                [(comes, Box::new(move || other(&first))), (waiter_comes, Box::new(waits))];
            OTHERS.set(others.into());
            one(&event);
            OTHERS.take();
            event.set();
            assert!(!ASLEEP.get(), "{comes} {waiter_comes}");
        }
    }
}
