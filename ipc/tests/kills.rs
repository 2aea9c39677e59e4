//! A process is killed at every system call of an operation, and after every instruction that has changed the shared
//! memory. Then others go on. The table of what they find is in the documentation of the crate.

mod common;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use common::trace::{Stop, Traced, Unit};
use common::{TEST_TIMEOUT, wait_for};
use ipc::Error;
use ipc::event::Event;
use ipc::lock::{Condition, FileLock, Mutex};
use ipc::semaphore::{NamedSemaphore, OnDeath, Semaphore, SharedSemaphore, SysvSemaphore};
use ipc::shared::ring::{Ring, RingMany, WaitStrategy};
use ipc::shared::{Array, Location, Memory, Value};
use nix::sys::uio::pread;

/// A wait that ends by its timeout, if the table says that it does.
const SHORT: Duration = Duration::from_millis(20);

fn memfd() -> Location {
    Location::Memfd("kills".into())
}

fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("/ipc-kills-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The other processes' part: a call of a thread that may sleep until another process wakes it.
struct Survivor<T> {
    thread: i32,
    result: Receiver<T>,
    done: Arc<AtomicBool>,
}

impl<T: Send + 'static> Survivor<T> {
    fn new(call: impl FnOnce() -> T + Send + 'static) -> Self {
        let (send, result) = channel();
        let (send_thread, thread) = channel();
        let done = Arc::new(AtomicBool::new(false));
        let set_done = Arc::clone(&done);
        std::thread::spawn(move || {
            send_thread.send(nix::unistd::gettid().as_raw()).unwrap();
            let value = call();
            set_done.store(true, Ordering::Release);
            // The test may have failed and gone.
            let _ = send.send(value);
        });
        Self { thread: thread.recv().unwrap(), result, done }
    }

    /// Waits until it sleeps on a futex that processes share, or in `semop`.
    fn asleep(self) -> Self {
        let path = format!("/proc/self/task/{}/syscall", self.thread);
        wait_for(|| {
            let line = std::fs::read_to_string(&path).unwrap();
            let mut words = line.split_ascii_whitespace();
            let number = words.next()?.parse::<i64>().ok()?;
            let operation = words.nth(1)?.trim_start_matches("0x");
            let asleep = match number {
                libc::SYS_futex => {
                    // The locks of the C library and of `std` are private to the process.
                    let private = i64::from(libc::FUTEX_PRIVATE_FLAG);
                    i64::from_str_radix(operation, 16).ok()? & private == 0
                }
                number => [libc::SYS_semop, libc::SYS_semtimedop].contains(&number),
            };
            asleep.then_some(())
        });
        self
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn result(self, place: &str) -> T {
        match self.result.recv_timeout(TEST_TIMEOUT) {
            Ok(result) => result,
            Err(_) => panic!("stranded by a process that was killed at {place}"),
        }
    }
}

/// What a process that is to be killed meets.
trait Scene: Sized {
    /// The objects, as the process that is to be killed opens them.
    fn arguments(&self) -> Vec<String>;

    /// What other processes see of them, if it is memory.
    fn memory(&self) -> Option<Vec<u8>>;

    /// Called when the process is about to begin its operation.
    fn begin(&mut self) {}

    /// Called when the process has fallen asleep in its operation. It is killed in its sleep, unless this has woken it and
    /// returns `true`.
    fn wake(&mut self) -> bool {
        false
    }

    /// Called when the process is dead; `changed` is whether it had changed the memory.
    fn check(self, changed: bool, place: &str);
}

/// Kills `role` of the peer at every step, on a new scene each time; the last one is killed after the operation.
/// Returns how many, and zero where nothing can be traced.
fn kill_at_every_step<S: Scene>(role: &str, new: impl Fn() -> S) -> usize {
    let mut kills = 0;
    for unit in [Unit::Call, Unit::Instruction] {
        for steps in 0.. {
            let mut scene = new();
            if unit == Unit::Instruction && scene.memory().is_none() {
                break;
            }
            if unit == Unit::Instruction && !cfg!(target_arch = "x86_64") {
                // Elsewhere an atomic operation can be a loop that never ends if it is interrupted each time.
                eprintln!("SKIPPED: {role} at every instruction");
                break;
            }
            let arguments = scene.arguments();
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let Some(mut peer) = Traced::start_at_mark("kills", role, &arguments) else {
                return 0;
            };
            scene.begin();
            let first = scene.memory();
            let (mut seen, mut stop) = (first.clone(), Stop::Step);
            for _ in 0..steps {
                loop {
                    stop = peer.step(unit);
                    if stop == Stop::Asleep && scene.wake() {
                        stop = Stop::Step;
                    }
                    if unit == Unit::Call || stop != Stop::Step || scene.memory() != seen {
                        break;
                    }
                }
                seen = scene.memory();
                if stop != Stop::Step {
                    break;
                }
            }
            let place = format!("{unit:?} {steps} of {role}: {stop:?}, {}", peer.position());
            assert!(!matches!(stop, Stop::Ended(_)), "{place}: it failed before its second mark");
            peer.kill();
            scene.check(seen != first, &place);
            kills += 1;
            if stop != Stop::Step {
                break;
            }
        }
    }
    eprintln!("{role}: {kills} kills");
    assert!(kills >= 3, "{role}: only {kills} kills");
    kills
}

fn bytes(descriptor: impl AsFd) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 8192];
    let length = pread(descriptor, &mut bytes, 0).unwrap();
    assert!(length < bytes.len(), "there is more");
    bytes.truncate(length);
    Some(bytes)
}

fn bytes_of(memory: &Memory) -> Option<Vec<u8>> {
    bytes(memory.descriptor().unwrap())
}

// Events.

/// Two processes sleep until the event is set; the one that is killed sets it, and `repair` is the next call.
struct Setting {
    event: Arc<Event>,
    repair: fn(&Event),
    waiters: Vec<Survivor<()>>,
}

impl Setting {
    fn new(repair: fn(&Event)) -> Self {
        Self { event: Arc::new(Event::create(memfd()).unwrap()), repair, waiters: Vec::new() }
    }
}

fn waiter(event: &Arc<Event>) -> Survivor<()> {
    let event = Arc::clone(event);
    Survivor::new(move || event.wait()).asleep()
}

impl Scene for Setting {
    fn arguments(&self) -> Vec<String> {
        vec![self.event.memory().address()]
    }

    fn memory(&self) -> Option<Vec<u8>> {
        bytes_of(self.event.memory())
    }

    fn begin(&mut self) {
        self.waiters.extend([waiter(&self.event), waiter(&self.event)]);
    }

    fn check(self, changed: bool, place: &str) {
        match changed {
            true => (self.repair)(&self.event),
            // Nothing had happened yet.
            false => self.event.set(),
        }
        self.waiters.into_iter().for_each(|waiter| waiter.result(place));
        self.event.clear();
        assert!(!self.event.is_set(), "{place}");
        let waiter = waiter(&self.event);
        self.event.set();
        waiter.result(place);
    }
}

#[test]
fn killed_setter_strands_no_waiter() {
    kill_at_every_step("set", || Setting::new(Event::set));
    kill_at_every_step("set", || {
        Setting::new(|event| {
            event.clear();
            event.set();
        })
    });
    kill_at_every_step("set", || Setting::new(|event| assert!(event.is_set())));
    kill_at_every_step("set", || Setting::new(Event::wait));
    kill_at_every_step("set", || Setting::new(|event| event.wait_timeout(SHORT).unwrap()));
}

/// Before the one that is killed came another, which was killed between the flag and the wake-up.
struct Clearing(Setting);

impl Scene for Clearing {
    fn arguments(&self) -> Vec<String> {
        self.0.arguments()
    }

    fn memory(&self) -> Option<Vec<u8>> {
        self.0.memory()
    }

    fn begin(&mut self) {
        self.0.begin();
        let Some(mut setter) = Traced::start_at_mark("kills", "set", &[&self.arguments()[0]])
        else {
            return;
        };
        let before = self.memory();
        // Until it is about to wake them.
        while self.memory() == before {
            assert_eq!(setter.step(Unit::Call), Stop::Step);
        }
    }

    fn check(self, _: bool, place: &str) {
        self.0.event.set();
        self.0.check(true, place);
    }
}

#[test]
fn killed_clearer_strands_no_waiter() {
    kill_at_every_step("clear", || Clearing(Setting::new(Event::set)));
}

#[test]
fn killed_waiter_strands_no_other() {
    kill_at_every_step("wait", || Setting::new(Event::set));
}

// Condition and mutex.

/// Two processes wait until the basket has something, and take one each.
struct Basket {
    mutex: Arc<Mutex<i64>>,
    condition: Arc<Condition>,
    repair: fn(&Condition),
    takers: Vec<Survivor<()>>,
    timeout: Option<Duration>,
    full: bool,
}

impl Basket {
    fn new(repair: fn(&Condition)) -> Self {
        Self {
            mutex: Arc::new(Mutex::create(memfd(), 2).unwrap()),
            condition: Arc::new(Condition::create(memfd()).unwrap()),
            repair,
            takers: Vec::new(),
            timeout: None,
            full: true,
        }
    }

    fn taker(&self) -> Survivor<()> {
        let (mutex, condition) = (Arc::clone(&self.mutex), Arc::clone(&self.condition));
        let timeout = self.timeout;
        Survivor::new(move || {
            let mut guard = mutex.lock().unwrap();
            loop {
                if guard.recovered() {
                    guard.mark_consistent();
                }
                if guard[0].get() != 0 {
                    guard[0].fetch_sub(1);
                    return;
                }
                guard = match timeout {
                    None => condition.wait(guard).unwrap(),
                    Some(timeout) => condition.wait_timeout(guard, timeout).unwrap().0,
                };
            }
        })
        .asleep()
    }

    /// Locks, whether or not the last holder was killed.
    fn fill(&self, count: i64) {
        let mut guard = self.mutex.lock_timeout(TEST_TIMEOUT).unwrap();
        guard.mark_consistent();
        guard[0].set(count);
    }
}

impl Scene for Basket {
    fn arguments(&self) -> Vec<String> {
        vec![self.condition.memory().address(), self.mutex.memory().address()]
    }

    fn memory(&self) -> Option<Vec<u8>> {
        let mut memory = bytes_of(self.condition.memory())?;
        memory.extend(bytes_of(self.mutex.memory())?);
        Some(memory)
    }

    fn begin(&mut self) {
        self.takers.extend([self.taker(), self.taker()]);
        if self.full {
            self.fill(2);
        }
    }

    fn check(mut self, _: bool, place: &str) {
        if !self.full {
            self.fill(2);
        }
        (self.repair)(&self.condition);
        self.takers.drain(..).for_each(|taker| taker.result(place));
        let guard = self.mutex.lock_timeout(TEST_TIMEOUT).unwrap();
        assert!(!guard.recovered());
        assert_eq!(guard[0].get(), 0, "{place}");
    }
}

fn notify_two(condition: &Condition) {
    condition.notify_one();
    condition.notify_one();
}

#[test]
fn killed_notifier_leaves_waiters_wakeable() {
    for role in ["notify_one", "notify_all"] {
        kill_at_every_step(role, || Basket::new(Condition::notify_all));
        kill_at_every_step(role, || Basket::new(notify_two));
    }
}

/// Nobody calls after the notifier was killed.
#[test]
fn timed_wait_needs_no_notifier() {
    for role in ["notify_one", "notify_all"] {
        kill_at_every_step(role, || Basket { timeout: Some(SHORT), ..Basket::new(|_| ()) });
    }
}

/// It is dead before the others are notified, so it takes no notification along.
#[test]
fn killed_condition_waiter_strands_no_other() {
    kill_at_every_step("wait_condition", || Basket {
        full: false,
        ..Basket::new(Condition::notify_all)
    });
    kill_at_every_step("wait_condition", || Basket { full: false, ..Basket::new(notify_two) });
}

/// The one that is killed has been woken by the only notification, while another sleeps too.
struct TakingAlong(Basket);

impl Scene for TakingAlong {
    fn arguments(&self) -> Vec<String> {
        self.0.arguments()
    }

    fn memory(&self) -> Option<Vec<u8>> {
        self.0.memory()
    }

    fn wake(&mut self) -> bool {
        let first = self.0.takers.is_empty();
        if first {
            self.0.takers.push(self.0.taker());
            self.0.fill(1);
            self.0.condition.notify_one();
        }
        first
    }

    fn check(mut self, _: bool, place: &str) {
        if self.0.takers.is_empty() {
            self.0.takers.push(self.0.taker());
        }
        self.0.fill(1);
        self.0.check(true, place);
    }
}

#[test]
fn notification_of_killed_waiter_is_lost() {
    kill_at_every_step("wait_condition", || TakingAlong(Basket::new(Condition::notify_all)));
    kill_at_every_step("wait_condition", || TakingAlong(Basket::new(Condition::notify_one)));
}

/// Two numbers whose sum is zero, under a mutex.
struct Account {
    mutex: Arc<Mutex<i64>>,
    /// A process waits for the lock when the one that is to be killed begins.
    contended: bool,
    waiting: Option<Survivor<()>>,
}

impl Account {
    fn new(contended: bool) -> Self {
        Self { mutex: Arc::new(Mutex::create(memfd(), 2).unwrap()), contended, waiting: None }
    }

    fn of_dead_holder() -> Self {
        let account = Self::new(false);
        let mutex = Arc::clone(&account.mutex);
        // To the mutex a thread that ends is a holder that dies.
        let holder = std::thread::spawn(move || {
            let guard = mutex.lock().unwrap();
            guard[0].set(-1);
            std::mem::forget(guard);
        });
        holder.join().unwrap();
        account
    }
}

fn lock_and_repair(mutex: &Mutex<i64>) {
    let mut both = mutex.lock_timeout(TEST_TIMEOUT).unwrap();
    if both.recovered() {
        both[1].set(-both[0].get());
        both.mark_consistent();
    }
    assert_eq!(both[0].get() + both[1].get(), 0);
}

impl Scene for Account {
    fn arguments(&self) -> Vec<String> {
        vec![self.mutex.memory().address()]
    }

    fn memory(&self) -> Option<Vec<u8>> {
        bytes_of(self.mutex.memory())
    }

    fn begin(&mut self) {
        if self.contended {
            let mutex = Arc::clone(&self.mutex);
            let waiting = Survivor::new(move || lock_and_repair(&mutex));
            self.waiting = Some(waiting.asleep());
        }
    }

    fn check(self, _: bool, place: &str) {
        let later = Survivor::new(move || lock_and_repair(&self.mutex));
        self.waiting.into_iter().chain([later]).for_each(|locker| locker.result(place));
    }
}

#[test]
fn killed_locker_leaves_mutex_recoverable() {
    kill_at_every_step("move", || Account::new(false));
}

#[test]
fn killed_recoverer_leaves_mutex_recoverable() {
    kill_at_every_step("move", Account::of_dead_holder);
}

#[test]
fn killed_unlocker_strands_no_locker() {
    kill_at_every_step("unlock", || Account::new(true));
}

/// Another process holds the mutex until the one that is killed sleeps, and a third sleeps behind it.
struct Queueing {
    account: Account,
    unlock: Option<Sender<()>>,
}

impl Queueing {
    fn new() -> Self {
        let account = Account::new(true);
        let mutex = Arc::clone(&account.mutex);
        let (unlock, wait) = channel::<()>();
        let (send_locked, locked) = channel();
        std::thread::spawn(move || {
            let _guard = mutex.lock().unwrap();
            send_locked.send(()).unwrap();
            // Until the other side is dropped.
            let _ = wait.recv();
        });
        locked.recv().unwrap();
        Self { account, unlock: Some(unlock) }
    }
}

impl Scene for Queueing {
    fn arguments(&self) -> Vec<String> {
        self.account.arguments()
    }

    fn memory(&self) -> Option<Vec<u8>> {
        self.account.memory()
    }

    fn wake(&mut self) -> bool {
        let first = self.account.waiting.is_none();
        if first {
            self.account.begin();
            self.unlock.take();
        }
        first
    }

    fn check(self, changed: bool, place: &str) {
        drop(self.unlock);
        self.account.check(changed, place);
    }
}

#[test]
fn killed_waiting_locker_strands_no_other() {
    kill_at_every_step("move", Queueing::new);
}

// Semaphores.

/// A semaphore, how the peer opens it, and its memory.
struct Units {
    semaphore: Arc<dyn Semaphore + Send + Sync>,
    arguments: [String; 2],
    file: Option<File>,
    check: fn(Self, bool, &str),
    begin: fn(&mut Self),
    /// Whether the one that is killed is woken from its sleep, with another asleep behind it.
    wake: bool,
    waiting: Option<Survivor<()>>,
}

impl Units {
    fn named(value: u32, begin: fn(&mut Self), check: fn(Self, bool, &str)) -> Self {
        let name = name();
        let semaphore = Arc::new(NamedSemaphore::create(&name, value).unwrap());
        let file = File::open(format!("/dev/shm/sem.{}", &name[1..])).unwrap();
        let arguments = ["named".to_owned(), name];
        Self { semaphore, arguments, file: Some(file), check, begin, wake: false, waiting: None }
    }

    fn shared(value: u32, begin: fn(&mut Self), check: fn(Self, bool, &str)) -> Self {
        let semaphore = SharedSemaphore::create(value).unwrap();
        let number = semaphore.as_fd().as_raw_fd();
        let file = File::from(semaphore.as_fd().try_clone_to_owned().unwrap());
        let arguments = ["shared".to_owned(), format!("{}:{number}", std::process::id())];
        let semaphore = Arc::new(semaphore);
        Self { semaphore, arguments, file: Some(file), check, begin, wake: false, waiting: None }
    }

    fn sysv(
        on_death: OnDeath,
        value: u32,
        begin: fn(&mut Self),
        check: fn(Self, bool, &str),
    ) -> Self {
        let semaphore = SysvSemaphore::create(ipc::Key::PRIVATE, value, on_death).unwrap();
        let kind = if on_death == OnDeath::Undo { "undo" } else { "keep" };
        let arguments = [kind.to_owned(), semaphore.id().to_string()];
        let semaphore = Arc::new(semaphore);
        Self { semaphore, arguments, file: None, check, begin, wake: false, waiting: None }
    }

    fn wait(&mut self) {
        let semaphore = Arc::clone(&self.semaphore);
        self.waiting = Some(Survivor::new(move || semaphore.acquire().unwrap()).asleep());
    }

    /// As [`wait`](Self::wait), again and again with a timeout that is never over while there is a unit.
    fn wait_timed(&mut self) {
        let semaphore = Arc::clone(&self.semaphore);
        let take = move || {
            while semaphore.acquire_timeout(10 * SHORT).is_err() {
                assert_eq!(
                    semaphore.get_value().unwrap(),
                    0,
                    "the time is over, and a unit is there"
                );
            }
        };
        self.waiting = Some(Survivor::new(take).asleep());
    }

    fn value(&self) -> u32 {
        self.semaphore.get_value().unwrap()
    }
}

impl Scene for Units {
    fn arguments(&self) -> Vec<String> {
        self.arguments.to_vec()
    }

    fn memory(&self) -> Option<Vec<u8>> {
        bytes(self.file.as_ref()?)
    }

    fn begin(&mut self) {
        (self.begin)(self);
    }

    fn wake(&mut self) -> bool {
        let first = self.wake && self.waiting.is_none();
        if first {
            self.wait();
            self.semaphore.release().unwrap();
        }
        first
    }

    fn check(self, changed: bool, place: &str) {
        (self.check)(self, changed, place);
    }
}

/// The process that sleeps is perhaps not woken. Then a timed wait of another finds the unit, and the next release wakes
/// the one that sleeps.
fn unit_reaches_timed_wait(mut units: Units, changed: bool, place: &str) {
    let waiting = units.waiting.take().unwrap();
    let taken = changed
        && wait_for(|| match units.semaphore.acquire_timeout(SHORT) {
            Ok(()) => Some(true),
            Err(_) => waiting.is_done().then_some(false),
        });
    if taken || !changed {
        units.semaphore.release().unwrap();
    }
    waiting.result(place);
    assert_eq!(units.value(), 0, "{place}");
}

/// The kernel changes the value and wakes in one step.
fn unit_reaches_waiter(mut units: Units, _: bool, place: &str) {
    units.semaphore.release().unwrap();
    units.waiting.take().unwrap().result(place);
    assert!(units.value() <= 1, "{place}");
}

#[test]
fn unit_of_killed_releaser_is_found() {
    let begin = Units::wait;
    kill_at_every_step("release", || Units::named(0, begin, unit_reaches_timed_wait));
    kill_at_every_step("release", || Units::shared(0, begin, unit_reaches_timed_wait));
    kill_at_every_step("release", || Units::sysv(OnDeath::Keep, 0, begin, unit_reaches_waiter));
}

#[test]
fn timed_wait_finds_unit_when_over() {
    let begin = Units::wait_timed;
    // The memory changes with each of its waits, so it does not show whether there is a unit.
    let check = |mut units: Units, _: bool, place: &str| {
        if units.value() == 0 {
            units.semaphore.release().unwrap();
        }
        units.waiting.take().unwrap().result(place);
        assert!(units.value() <= 1, "{place}");
    };
    kill_at_every_step("release", || Units::named(0, begin, check));
    kill_at_every_step("release", || Units::shared(0, begin, check));
}

/// How often [`unit_may_be_lost`] found it lost.
static LOST: AtomicU32 = AtomicU32::new(0);

/// Nothing tells this unit from one that a process still uses.
fn unit_may_be_lost(units: Units, _: bool, place: &str) {
    if units.value() == 0 {
        LOST.fetch_add(1, Ordering::Relaxed);
        let result = units.semaphore.acquire_timeout(SHORT);
        assert!(matches!(result, Err(Error::TimedOut { .. })), "{place}");
        units.semaphore.release().unwrap();
    }
    units.semaphore.acquire().unwrap();
    assert_eq!(units.value(), 0, "{place}");
}

#[test]
fn unit_of_killed_holder_is_lost() {
    let kinds: [fn() -> Units; 3] = [
        || Units::named(1, |_| (), unit_may_be_lost),
        || Units::shared(1, |_| (), unit_may_be_lost),
        || Units::sysv(OnDeath::Keep, 1, |_| (), unit_may_be_lost),
    ];
    for kind in kinds {
        let before = LOST.load(Ordering::Relaxed);
        let kills = kill_at_every_step("use_unit", kind);
        assert!(kills == 0 || LOST.load(Ordering::Relaxed) > before, "it was never lost");
    }
}

#[test]
fn undo_returns_unit_of_killed_holder() {
    let check = |units: Units, _: bool, place: &str| assert_eq!(units.value(), 1, "{place}");
    kill_at_every_step("use_unit", || Units::sysv(OnDeath::Undo, 1, |_| (), check));
}

#[test]
fn killed_acquirer_takes_no_later_unit() {
    let check = |units: Units, _: bool, place: &str| {
        units.semaphore.release().unwrap();
        units.semaphore.acquire_timeout(TEST_TIMEOUT).expect(place);
        assert_eq!(units.value(), 0, "{place}");
    };
    kill_at_every_step("acquire", || Units::named(0, |_| (), check));
    kill_at_every_step("acquire", || Units::shared(0, |_| (), check));
    kill_at_every_step("acquire", || Units::sysv(OnDeath::Keep, 0, |_| (), check));
}

/// The woken process dies with the unit or without it; the one behind it sleeps on.
fn unit_may_be_lost_or_found(mut units: Units, _: bool, place: &str) {
    let Some(waiting) = units.waiting.take() else { return };
    // It finds the unit for which no process was woken, if the dead process had not taken it.
    let _ = units.semaphore.acquire_timeout(SHORT);
    units.semaphore.release().unwrap();
    waiting.result(place);
    assert!(units.value() <= 1, "{place}");
}

#[test]
fn next_release_wakes_behind_killed_acquirer() {
    let woken = |units| Units { wake: true, ..units };
    let check = unit_may_be_lost_or_found;
    kill_at_every_step("acquire", || woken(Units::named(0, |_| (), check)));
    kill_at_every_step("acquire", || woken(Units::shared(0, |_| (), check)));
    kill_at_every_step("acquire", || woken(Units::sysv(OnDeath::Keep, 0, |_| (), check)));
}

// File locks and numbers.

struct Locking(tempfile::NamedTempFile);

impl Scene for Locking {
    fn arguments(&self) -> Vec<String> {
        vec![self.0.path().display().to_string()]
    }

    fn memory(&self) -> Option<Vec<u8>> {
        None
    }

    fn check(self, _: bool, place: &str) {
        let mut lock = FileLock::open(self.0.path()).unwrap();
        drop(lock.lock_timeout(TEST_TIMEOUT).expect(place));
    }
}

#[test]
fn file_lock_of_killed_holder_is_released() {
    kill_at_every_step("lock_file", || Locking(tempfile::NamedTempFile::new().unwrap()));
}

struct Numbers(Value<u64>, Array<u64>);

impl Scene for Numbers {
    fn arguments(&self) -> Vec<String> {
        vec![self.0.memory().address(), self.1.memory().address()]
    }

    fn memory(&self) -> Option<Vec<u8>> {
        let mut memory = bytes_of(self.0.memory())?;
        memory.extend(bytes_of(self.1.memory())?);
        Some(memory)
    }

    fn check(self, changed: bool, place: &str) {
        let numbers = [self.0.get(), self.1[1].get()];
        match changed {
            false => assert_eq!(numbers, [7, 0], "{place}"),
            true => assert!(matches!(numbers, [8, 0 | u64::MAX]), "{numbers:?} {place}"),
        }
    }
}

#[test]
fn number_is_old_or_new_after_kill() {
    kill_at_every_step("add", || {
        Numbers(Value::create(memfd(), 7).unwrap(), Array::create(memfd(), 2).unwrap())
    });
}

// Rings.

type Put = Box<dyn FnMut(&[u8]) -> ipc::Result<()> + Send>;
type Get = Box<dyn FnMut() -> ipc::Result<Vec<u8>> + Send>;

trait AnyRing: Send + Sync {
    fn sender(&self) -> ipc::Result<Put>;
    fn receiver(&self) -> ipc::Result<Get>;
    fn memory(&self) -> &Memory;
}

macro_rules! any_ring {
    ($ring:ty) => {
        impl AnyRing for $ring {
            fn sender(&self) -> ipc::Result<Put> {
                let mut sender = <$ring>::sender(self)?;
                Ok(Box::new(move |message| sender.put_timeout(message, TEST_TIMEOUT)))
            }

            fn receiver(&self) -> ipc::Result<Get> {
                let mut receiver = <$ring>::receiver(self)?;
                Ok(Box::new(move || {
                    let mut message = Vec::new();
                    receiver.get_timeout(&mut message, TEST_TIMEOUT).map(|()| message)
                }))
            }

            fn memory(&self) -> &Memory {
                <$ring>::memory(self)
            }
        }
    };
}

any_ring!(Ring);
any_ring!(RingMany);

/// Of the smallest size.
fn one() -> Arc<dyn AnyRing> {
    Arc::new(Ring::create(memfd(), 64, WaitStrategy::Sleep).unwrap())
}

fn many() -> Arc<dyn AnyRing> {
    Arc::new(RingMany::create(memfd(), 2, 24, WaitStrategy::Sleep).unwrap())
}

const MESSAGE: &[u8] = b"from the dead";
const HEIR: &[u8] = b"from the heir";

/// A receiver sleeps when the sender that is to be killed begins to put.
struct Putting {
    ring: Arc<dyn AnyRing>,
    heir: bool,
    receiver: Option<Survivor<Vec<Vec<u8>>>>,
}

impl Putting {
    fn new(ring: Arc<dyn AnyRing>, heir: bool) -> Self {
        Self { ring, heir, receiver: None }
    }
}

impl Scene for Putting {
    fn arguments(&self) -> Vec<String> {
        vec![self.ring.memory().address()]
    }

    fn memory(&self) -> Option<Vec<u8>> {
        bytes_of(self.ring.memory())
    }

    fn begin(&mut self) {
        let (mut get, heir) = (self.ring.receiver().unwrap(), self.heir);
        let receiver = Survivor::new(move || {
            let mut messages = Vec::new();
            loop {
                match get() {
                    Ok(message) => messages.push(message),
                    // All senders are gone; the heir may be yet to come.
                    Err(Error::Closed { .. }) => {
                        if !heir || messages.last().is_some_and(|last| last == HEIR) {
                            return messages;
                        }
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
        self.receiver = Some(receiver.asleep());
    }

    fn check(self, _: bool, place: &str) {
        if self.heir {
            let mut put = self.ring.sender().expect(place);
            put(HEIR).expect(place);
        }
        let messages = self.receiver.unwrap().result(place);
        let last = if self.heir { vec![HEIR] } else { Vec::new() };
        let whole = messages == last || messages == [vec![MESSAGE], last].concat();
        assert!(whole, "{messages:?} {place}");
    }
}

#[test]
fn killed_sender_leaves_ring_usable() {
    for heir in [false, true] {
        kill_at_every_step("put", || Putting::new(one(), heir));
        kill_at_every_step("put_many", || Putting::new(many(), heir));
    }
}

/// The ring is full and its sender sleeps when the receiver that is to be killed begins to get.
struct Getting {
    ring: Arc<dyn AnyRing>,
    sender: Option<Survivor<()>>,
}

const MESSAGES: u64 = 20;

impl Scene for Getting {
    fn arguments(&self) -> Vec<String> {
        vec![self.ring.memory().address()]
    }

    fn memory(&self) -> Option<Vec<u8>> {
        bytes_of(self.ring.memory())
    }

    fn begin(&mut self) {
        let mut put = self.ring.sender().unwrap();
        let sender = Survivor::new(move || {
            for number in 0..MESSAGES {
                // The receiver is dead, and the next one yet to come.
                while matches!(put(&number.to_le_bytes()), Err(Error::Closed { .. })) {}
            }
        });
        self.sender = Some(sender.asleep());
    }

    fn check(self, _: bool, place: &str) {
        let mut get = self.ring.receiver().expect(place);
        let mut messages = Vec::new();
        while messages.last() != Some(&(MESSAGES - 1)) {
            let message = get().expect(place);
            messages.push(u64::from_le_bytes(message.try_into().unwrap()));
        }
        // The first one comes again unless it had been taken.
        let expected: Vec<_> = (messages[0]..MESSAGES).collect();
        assert!(messages[0] <= 1 && messages == expected, "{messages:?} {place}");
        self.sender.unwrap().result(place);
    }
}

#[test]
fn killed_receiver_leaves_ring_usable() {
    kill_at_every_step("get", || Getting { ring: one(), sender: None });
    kill_at_every_step("get_many", || Getting { ring: many(), sender: None });
}

/// The one that is killed becomes an end, and leaves the ring.
struct Joining(Arc<dyn AnyRing>);

impl Scene for Joining {
    fn arguments(&self) -> Vec<String> {
        vec![self.0.memory().address()]
    }

    fn memory(&self) -> Option<Vec<u8>> {
        bytes_of(self.0.memory())
    }

    fn check(self, _: bool, place: &str) {
        let (mut put, mut get) = (self.0.sender().expect(place), self.0.receiver().expect(place));
        put(HEIR).expect(place);
        assert_eq!(get().expect(place), HEIR);
        drop(put);
        assert!(matches!(get(), Err(Error::Closed { .. })), "{place}");
    }
}

#[test]
fn end_of_killed_owner_is_free() {
    kill_at_every_step("join", || Joining(one()));
    kill_at_every_step("join_many", || Joining(many()));
    kill_at_every_step("receive", || Joining(one()));
}
