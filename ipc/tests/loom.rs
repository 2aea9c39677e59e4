//! The lock-free parts, run through every order in which threads can interleave and every value that the memory
//! model lets them read: `cargo test -p ipc --features loom --test loom --release`.
//!
//! The algorithms are the library's own files, compiled here against loom's atomics; processes are threads
//! of the model. The futex is modelled by a mutex and a condition variable: the check of the word and the sleep are
//! one step for those who wake, as in the kernel. Loom reports a deadlock when all sleep, so it finds lost
//! wake-ups. A process is killed by unwinding before a step: the algorithms have nothing that is dropped. Memory is kept in cells that loom watches: reading bytes while they are written is a failure.

#![allow(dead_code)] // The models use a part of each file.

mod sync {
    use std::cell::Cell;

    pub use loom::sync::atomic::{Ordering, fence};
    use loom::sync::{Condvar, Mutex};

    /// Models do not pass time.
    pub struct Deadline;

    loom::lazy_static! {
        /// How many sleep.
        static ref KERNEL: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
    }

    loom::thread_local! {
        /// The steps that this process may still make before it is killed.
        pub static STEPS_LEFT: Cell<u32> = Cell::new(u32::MAX);
    }

    pub struct Killed;

    /// Before each step.
    fn step() {
        STEPS_LEFT.with(|left| match left.get() {
            // Without the message of a panic.
            0 => std::panic::resume_unwind(Box::new(Killed)),
            u32::MAX => {}
            steps => left.set(steps - 1),
        });
    }

    macro_rules! counting {
        ($name:ident, $number:ty) => {
            pub struct $name(loom::sync::atomic::$name);

            impl $name {
                pub fn new(value: $number) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
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

    pub fn futex_wait(word: &AtomicU32, expected: u32, _: Option<&Deadline>) -> bool {
        step();
        let mut asleep = KERNEL.0.lock().unwrap();
        if word.0.load(Ordering::SeqCst) == expected {
            *asleep += 1;
            asleep = KERNEL.1.wait(asleep).unwrap();
            *asleep -= 1;
        }
        false
    }

    /// Wakes all, whatever they sleep on: the kernel may do so too.
    pub fn futex_wake(_: &AtomicU32, _: i32) {
        step();
        wake_all();
    }

    pub fn wake_all() {
        let _between_check_and_sleep = KERNEL.0.lock().unwrap();
        KERNEL.1.notify_all();
    }

    pub fn sleepers() -> usize {
        *KERNEL.0.lock().unwrap()
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

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use sync::{AtomicU64, Ordering, STEPS_LEFT};

use base::{CachePadded, Got, Indices, Store};
use event_count::EventCount;

fn zeros(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn cells(count: usize) -> Vec<UnsafeCell<u8>> {
    (0..count).map(|_| UnsafeCell::new(0)).collect()
}

fn indices() -> Indices {
    let zero = || CachePadded(AtomicU64::new(0));
    Indices { tail: zero(), head: zero() }
}

/// A ring of 64 bytes that makes the worst of the bytes of old messages: they look like a record.
struct Circle {
    indices: Indices,
    words: Vec<AtomicU64>,
    bytes: Vec<UnsafeCell<u8>>,
    not_empty: EventCount,
    not_full: EventCount,
}

const CIRCLE: u64 = 64;

impl Circle {
    fn new() -> Self {
        Self {
            indices: indices(),
            words: zeros(CIRCLE as usize / 8),
            bytes: cells(CIRCLE as usize),
            not_empty: EventCount::new(),
            not_full: EventCount::new(),
        }
    }

    fn writer(&self) -> single::Writer {
        single::Writer::new(CIRCLE, &self.indices, self)
    }

    fn reader(&self) -> single::Reader {
        single::Reader::new(CIRCLE, &self.indices)
    }

    /// As `Sender::put` of a ring that sleeps.
    fn put(&self, writer: &mut single::Writer, message: &[u8]) {
        loop {
            let key = self.not_full.prepare_wait();
            if writer.stage(&self.indices, self, message) {
                self.not_full.cancel_wait(key);
                writer.publish(&self.indices, self);
                return self.not_empty.notify_all();
            }
            self.not_full.wait(key, None);
        }
    }

    /// As `Receiver::get` of a ring that sleeps.
    fn get(&self, reader: &mut single::Reader) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            let key = self.not_empty.prepare_wait();
            let got = reader.get(&self.indices, self, &mut message);
            assert_ne!(got, Got::Broken);
            if got == Got::Message {
                self.not_empty.cancel_wait(key);
                self.not_full.notify_all();
                return message;
            }
            self.not_empty.wait(key, None);
        }
    }
}

impl Store for Circle {
    unsafe fn word(&self, offset: u64) -> &AtomicU64 {
        &self.words[offset as usize / 8]
    }

    unsafe fn copy_in(&self, offset: u64, message: &[u8]) {
        for (at, byte) in message.iter().enumerate() {
            let at = offset as usize + at;
            // SAFETY: loom checks that nobody else has it.
            self.bytes[at].with_mut(|cell| unsafe { *cell = *byte });
            if at % 8 == 0 {
                // What a record of the next round would begin with, as old bytes may by chance.
                let next = offset + CIRCLE;
                self.words[at / 8].store(((next >> 3) << 32) | 0x8000_0001, Ordering::Relaxed);
            }
        }
    }

    unsafe fn copy_out(&self, offset: u64, length: usize, into: &mut Vec<u8>) {
        copy_out(&self.bytes, offset, length, into);
    }
}

/// Long enough that records wrap around and the ring is full.
const MESSAGES: [&[u8]; 5] =
    [b"a long first message", b"two", b"the third, as long.", b"", b"five and last"];

#[test]
fn messages_of_one_sender_keep_order() {
    bounded(2).check(|| {
        let ring = Arc::new(Circle::new());
        let sender = Arc::clone(&ring);
        let putting = thread::spawn(move || {
            let mut writer = sender.writer();
            for message in MESSAGES {
                sender.put(&mut writer, message);
            }
        });
        let mut reader = ring.reader();
        for message in MESSAGES {
            assert_eq!(ring.get(&mut reader), message);
        }
        putting.join().unwrap();
    });
}

/// Without the event counts, whose fences would order what the ring itself must order.
#[test]
fn spinning_ring_needs_no_fences() {
    bounded(3).check(|| {
        let ring = Arc::new(Circle::new());
        let sender = Arc::clone(&ring);
        let putting = thread::spawn(move || {
            let mut writer = sender.writer();
            for message in &MESSAGES[..3] {
                while !writer.stage(&sender.indices, &*sender, message) {
                    thread::yield_now();
                }
                writer.publish(&sender.indices, &*sender);
            }
        });
        let mut reader = ring.reader();
        let mut got = Vec::new();
        for message in &MESSAGES[..3] {
            while reader.get(&ring.indices, &*ring, &mut got) != Got::Message {
                thread::yield_now();
            }
            assert_eq!(&got, message);
        }
        putting.join().unwrap();
    });
}

#[test]
fn batch_is_atomic_and_next_sender_continues() {
    loom::model(|| {
        let ring = Arc::new(Circle::new());
        let sender = Arc::clone(&ring);
        let putting = thread::spawn(move || {
            let mut writer = sender.writer();
            assert!(writer.stage(&sender.indices, &*sender, b"one"));
            assert!(writer.stage(&sender.indices, &*sender, b"two"));
            writer.publish(&sender.indices, &*sender);
            // Dies with a message that is written and not published.
            assert!(writer.stage(&sender.indices, &*sender, b"never"));
        });
        let mut reader = ring.reader();
        let mut got = Vec::new();
        if reader.get(&ring.indices, &*ring, &mut got) == Got::Message {
            assert_eq!(got, b"one");
            assert_eq!(reader.get(&ring.indices, &*ring, &mut got), Got::Message);
            assert_eq!(got, b"two");
        }
        putting.join().unwrap();
        while reader.get(&ring.indices, &*ring, &mut got) == Got::Message {}
        let mut heir = ring.writer();
        assert!(heir.stage(&ring.indices, &*ring, b"heir"));
        heir.publish(&ring.indices, &*ring);
        assert_eq!(reader.get(&ring.indices, &*ring, &mut got), Got::Message);
        assert_eq!(got, b"heir");
    });
}

/// Two slots for messages of two bytes, each with the words before them.
struct Slots {
    indices: Indices,
    slots: many::Slots,
    words: Vec<AtomicU64>,
    bytes: Vec<UnsafeCell<u8>>,
    not_empty: EventCount,
    not_full: EventCount,
}

const LONGEST: u64 = 2;

impl Slots {
    fn new() -> Self {
        let size = 2 * many::stride(LONGEST) as usize;
        Self {
            indices: indices(),
            slots: many::Slots::new(2, LONGEST),
            words: zeros(size / 8),
            bytes: cells(size),
            not_empty: EventCount::new(),
            not_full: EventCount::new(),
        }
    }

    fn writer(&self, owner: usize) -> many::Writer {
        many::Writer::new(self.slots, owner)
    }

    fn reader(&self) -> many::Reader {
        many::Reader::new(self.slots, LONGEST as usize, &self.indices, self)
    }

    /// As `Sender::put` of a ring that sleeps.
    fn put(&self, writer: &many::Writer, message: &[u8]) {
        loop {
            let key = self.not_full.prepare_wait();
            if let Some(claim) = writer.claim(&self.indices, self) {
                writer.fill(self, &claim, message);
                assert!(writer.publish(self, claim));
                return self.not_empty.notify_all();
            }
            self.not_full.wait(key, None);
        }
    }

    /// As `Receiver::get` of a ring that sleeps; sender `dead` is known to be dead.
    fn get(&self, reader: &mut many::Reader, dead: Option<usize>) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            let key = self.not_empty.prepare_wait();
            match reader.get(&self.indices, self, &mut message) {
                Got::Message => {
                    self.not_empty.cancel_wait(key);
                    self.not_full.notify_all();
                    return message;
                }
                Got::Nothing if dead.is_some() && reader.unfinished(self) == dead => {
                    assert!(reader.skip(&self.indices, self, dead.unwrap()));
                    self.not_full.notify_all();
                }
                Got::Nothing => {
                    self.not_empty.wait(key, None);
                }
                wrong => panic!("{wrong:?}"),
            }
        }
    }
}

impl Store for Slots {
    unsafe fn word(&self, offset: u64) -> &AtomicU64 {
        &self.words[offset as usize / 8]
    }

    unsafe fn copy_in(&self, offset: u64, message: &[u8]) {
        for (cell, byte) in self.bytes[offset as usize..].iter().zip(message) {
            // SAFETY: loom checks that nobody else has it.
            cell.with_mut(|cell| unsafe { *cell = *byte });
        }
    }

    unsafe fn copy_out(&self, offset: u64, length: usize, into: &mut Vec<u8>) {
        copy_out(&self.bytes, offset, length, into);
    }
}

fn copy_out(bytes: &[UnsafeCell<u8>], offset: u64, length: usize, into: &mut Vec<u8>) {
    into.clear();
    for cell in &bytes[offset as usize..][..length] {
        // SAFETY: loom checks that nobody writes it.
        into.push(cell.with(|cell| unsafe { *cell }));
    }
}

/// Not all orders, but all in which a thread is interrupted so many times where it need not wait: nearly all bugs
/// show with two or three, and the time stays in seconds.
fn bounded(preemptions: usize) -> loom::model::Builder {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model
}

#[test]
fn two_senders_keep_their_order() {
    bounded(2).check(|| {
        let ring = Arc::new(Slots::new());
        let putting: Vec<_> = (0..2)
            .map(|owner| {
                let ring = Arc::clone(&ring);
                thread::spawn(move || {
                    let writer = ring.writer(owner);
                    for number in 0..2 {
                        ring.put(&writer, &[owner as u8, number]);
                    }
                })
            })
            .collect();
        let mut reader = ring.reader();
        let mut next = [0; 2];
        for _ in 0..4 {
            let message = ring.get(&mut reader, None);
            let [owner, number] = message[..] else { panic!("{message:?}") };
            assert_eq!(number, next[owner as usize]);
            next[owner as usize] += 1;
        }
        putting.into_iter().for_each(|it| it.join().unwrap());
    });
}

#[test]
fn slot_of_dead_sender_is_skipped() {
    bounded(3).check(|| {
        let ring = Arc::new(Slots::new());
        // Killed between the claim and the rest.
        let dying = Arc::clone(&ring);
        let dying = thread::spawn(move || {
            let claim = dying.writer(7).claim(&dying.indices, &*dying);
            assert!(claim.is_some());
        });
        dying.join().unwrap();
        let sender = Arc::clone(&ring);
        let putting = thread::spawn(move || {
            let writer = sender.writer(0);
            for number in 0..3 {
                sender.put(&writer, &[number]);
            }
        });
        let mut reader = ring.reader();
        for number in 0..3 {
            assert_eq!(ring.get(&mut reader, Some(7)), [number]);
        }
        putting.join().unwrap();
    });
}

#[test]
fn set_releases_both_waiters() {
    bounded(3).check(|| {
        let event = Arc::new(flag::Flag::new());
        let done = Arc::new(UnsafeCell::new(0));
        let (set, written) = (Arc::clone(&event), Arc::clone(&done));
        let setting = thread::spawn(move || {
            // SAFETY: loom checks that the waiter does not read it meanwhile.
            written.with_mut(|done| unsafe { *done = 1 });
            set.set();
        });
        let other = Arc::clone(&event);
        let waiting = thread::spawn(move || other.wait(None));
        assert!(event.wait(None));
        // SAFETY: as above.
        assert_eq!(done.with(|done| unsafe { *done }), 1);
        setting.join().unwrap();
        assert!(waiting.join().unwrap());
        assert!(event.is_set());
    });
}

#[test]
fn sleeping_waiter_survives_clear() {
    bounded(4).check(|| {
        let event = Arc::new(flag::Flag::new());
        let other = Arc::clone(&event);
        let waiting = thread::spawn(move || assert!(other.wait(None)));
        event.set();
        event.clear();
        assert!(!event.is_set());
        // It may have come too late for the first; then the second is its own.
        event.set();
        waiting.join().unwrap();
        assert!(event.is_set());
    });
}

/// Checks `model` for a process that is killed before its first step, before its second, and so on, until it is not killed
/// in any order.
fn kill_at_every_step(
    preemptions: usize,
    model: impl Fn(u32, &dyn Fn()) + Send + Sync + Clone + 'static,
) {
    for last in 0.. {
        let killed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (model, report) = (model.clone(), std::sync::Arc::clone(&killed));
        bounded(preemptions).check(move || {
            model(last, &|| report.store(true, Ordering::Relaxed));
        });
        if !killed.load(Ordering::Relaxed) {
            assert!(last > 1, "it has steps");
            return;
        }
    }
}

/// Runs `process` and kills it before step number `last`; whether it was killed.
fn killed_before(last: u32, process: impl FnOnce()) -> bool {
    STEPS_LEFT.with(|left| left.set(last));
    let result = catch_unwind(AssertUnwindSafe(process));
    STEPS_LEFT.with(|left| left.set(u32::MAX));
    match result {
        Ok(()) => false,
        Err(reason) if reason.is::<sync::Killed>() => true,
        Err(other) => resume_unwind(other),
    }
}

fn wait_for_sleepers(count: usize) {
    while sync::sleepers() < count {
        thread::yield_now();
    }
}

/// The waiter sleeps when the setter is killed; calls of another process wake it.
#[test]
fn killed_setter_strands_no_sleeper() {
    let repairs: [fn(&flag::Flag); 4] = [
        flag::Flag::set,
        |event| {
            event.clear();
            event.set();
        },
        |event| assert!(event.is_set()),
        |event| assert!(event.wait(None)),
    ];
    for repair in repairs {
        kill_at_every_step(3, move |last, report| {
            let event = Arc::new(flag::Flag::new());
            let waiting = Arc::clone(&event);
            let waiting = thread::spawn(move || assert!(waiting.wait(None)));
            wait_for_sleepers(1);
            if killed_before(last, || event.set()) {
                report();
            }
            match last {
                // Nothing had happened yet.
                0 => event.set(),
                _ => repair(&event),
            }
            waiting.join().unwrap();
        });
    }
}

/// In every order of the waiter, the setter that is killed, and another setter.
#[test]
fn set_repairs_interrupted_set() {
    kill_at_every_step(2, |last, report| {
        let event = Arc::new(flag::Flag::new());
        let [waiting, dying] = [(); 2].map(|()| Arc::clone(&event));
        let waiting = thread::spawn(move || assert!(waiting.wait(None)));
        let dying = thread::spawn(move || killed_before(last, || dying.set()));
        event.set();
        waiting.join().unwrap();
        if dying.join().unwrap() {
            report();
        }
        assert!(event.is_set());
    });
}

/// A clear is killed, and perhaps a set before it.
#[test]
fn set_repairs_interrupted_clear() {
    for set_steps in [2, u32::MAX] {
        kill_at_every_step(2, move |last, report| {
            let event = Arc::new(flag::Flag::new());
            let [waiting, dying] = [(); 2].map(|()| Arc::clone(&event));
            let waiting = thread::spawn(move || assert!(waiting.wait(None)));
            killed_before(set_steps, || event.set());
            let dying = thread::spawn(move || killed_before(last, || dying.clear()));
            event.set();
            if dying.join().unwrap() {
                report();
            }
            // The clear may have been the last.
            event.set();
            waiting.join().unwrap();
        });
    }
}

/// The other waiter is woken; the one that is killed leaves the bit, which the setter takes off.
#[test]
fn killed_waiter_strands_no_other() {
    kill_at_every_step(2, |last, report| {
        let event = Arc::new(flag::Flag::new());
        let [waiting, dying] = [(); 2].map(|()| Arc::clone(&event));
        let waiting = thread::spawn(move || assert!(waiting.wait(None)));
        let dying = thread::spawn(move || {
            killed_before(last, || {
                dying.wait(None);
            })
        });
        event.set();
        waiting.join().unwrap();
        if dying.join().unwrap() {
            report();
        }
    });
}

/// A receiver that sleeps looks again after a tenth of a second, which is modelled by a wake-up after the kill.
#[test]
fn killed_sender_leaves_next_sender_usable() {
    kill_at_every_step(2, |last, report| {
        let ring = Arc::new(Circle::new());
        let sender = Arc::clone(&ring);
        let putting = thread::spawn(move || {
            let mut dying = sender.writer();
            let killed = killed_before(last, || sender.put(&mut dying, MESSAGES[0]));
            sync::wake_all();
            sender.put(&mut sender.writer(), MESSAGES[1]);
            killed
        });
        let mut reader = ring.reader();
        let first = ring.get(&mut reader);
        if first != MESSAGES[1] {
            assert_eq!(first, MESSAGES[0]);
            assert_eq!(ring.get(&mut reader), MESSAGES[1]);
        }
        if putting.join().unwrap() {
            report();
        }
    });
}

#[test]
fn killed_receiver_leaves_next_receiver_usable() {
    kill_at_every_step(2, |last, report| {
        let ring = Arc::new(Slots::new());
        let sender = Arc::clone(&ring);
        let putting = thread::spawn(move || {
            let writer = sender.writer(0);
            for number in 0..3 {
                sender.put(&writer, &[number]);
            }
        });
        let mut dying = ring.reader();
        let killed = killed_before(last, || {
            ring.get(&mut dying, None);
        });
        if killed {
            report();
        }
        sync::wake_all();
        let mut reader = ring.reader();
        let first = ring.get(&mut reader, None)[0];
        assert!(first <= 1);
        for number in first + 1..3 {
            assert_eq!(ring.get(&mut reader, None), [number]);
        }
        putting.join().unwrap();
    });
}
