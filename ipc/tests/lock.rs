//! Locks between real processes, and what becomes of them when the holder dies.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::Peer;
use ipc::Error;
use ipc::lock::{Condition, FileLock, Mutex};
use nix::errno::Errno;

const SHORT: Duration = Duration::from_millis(30);
const FAIL_SAFE: Duration = Duration::from_secs(60);

fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("/ipc-lock-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn mutex() -> Mutex<i64> {
    Mutex::create(name(), 2).unwrap()
}

#[test]
fn what_changes_together_stays_together() {
    let mutex = mutex();
    let address = mutex.memory().address();
    let peers = [(); 4].map(|()| Peer::start("lock", "add", &[&address, "5000"]));
    for _ in 0..1000 {
        let both = mutex.lock().unwrap();
        assert_eq!(both[0].get() + both[1].get(), 0);
    }
    for peer in peers {
        assert_eq!(peer.finish(), Some(0));
    }
    assert_eq!(mutex.lock().unwrap()[1].get(), 20_000);
}

#[test]
fn a_held_mutex_is_waited_for_and_not_for_ever() {
    let mutex = mutex();
    let mut peer = Peer::start("lock", "hold", &[&mutex.memory().address()]);
    assert_eq!(peer.line(), "held");
    assert!(matches!(mutex.try_lock(), Err(Error::WouldBlock { .. })));
    let start = Instant::now();
    assert!(matches!(mutex.lock_timeout(SHORT), Err(Error::TimedOut { .. })));
    // POSIX has this wait on the wall clock, which ticks a little differently.
    assert!(start.elapsed() + Duration::from_millis(5) >= SHORT);
    assert_eq!(peer.finish(), Some(0));
    let guard = mutex.lock_timeout(FAIL_SAFE).unwrap();
    assert!(!guard.recovered());
    assert_eq!((guard[0].get(), guard[1].get()), (1, 1));
    // Again by the same thread: an error, and not for ever.
    assert_eq!(mutex.lock().map(drop).unwrap_err().errno(), Some(Errno::EDEADLK));
    assert!(matches!(mutex.try_lock(), Err(Error::WouldBlock { .. })));
}

#[test]
fn the_next_one_recovers_from_a_killed_holder() {
    let mutex = mutex();
    let mut peer = Peer::start("lock", "hold", &[&mutex.memory().address()]);
    assert_eq!(peer.line(), "held");
    peer.kill();
    let mut guard = mutex.lock_timeout(FAIL_SAFE).unwrap();
    assert!(guard.recovered());
    assert_eq!((guard[0].get(), guard[1].get()), (1, 0), "half changed");
    guard[0].set(0);
    guard.mark_consistent();
    assert!(!guard.recovered());
    drop(guard);
    assert!(!mutex.lock().unwrap().recovered());
    let peer = Peer::start("lock", "add", &[&mutex.memory().address(), "10"]);
    assert_eq!(peer.finish(), Some(0));
}

/// It is woken while it waits, not only when it comes afterwards.
#[test]
fn one_who_waits_recovers_from_a_killed_holder() {
    let mutex = mutex();
    let mut peer = Peer::start("lock", "hold", &[&mutex.memory().address()]);
    assert_eq!(peer.line(), "held");
    std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let mutex = &mutex;
        let waiting = scope.spawn(move || {
            tell.send(nix::unistd::gettid()).unwrap();
            let mut guard = mutex.lock().unwrap();
            let recovered = guard.recovered();
            guard.mark_consistent();
            recovered
        });
        let path = format!("/proc/self/task/{}/syscall", told.recv().unwrap());
        let futex = format!("{} ", libc::SYS_futex);
        let start = Instant::now();
        while !std::fs::read_to_string(&path).is_ok_and(|call| call.starts_with(&futex)) {
            assert!(start.elapsed() < FAIL_SAFE, "it does not wait");
            std::thread::yield_now();
        }
        peer.kill();
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn what_nobody_repairs_is_unusable() {
    let mutex = mutex();
    let mut peer = Peer::start("lock", "hold", &[&mutex.memory().address()]);
    assert_eq!(peer.line(), "held");
    peer.kill();
    drop(mutex.lock().unwrap());
    let refused =
        [mutex.lock().map(drop), mutex.try_lock().map(drop), mutex.lock_timeout(SHORT).map(drop)];
    for result in refused {
        assert_eq!(result.unwrap_err().errno(), Some(Errno::ENOTRECOVERABLE));
    }
}

/// The kernel still has the address in its list when the thread ends.
#[test]
fn a_forgotten_guard_does_no_harm() {
    std::thread::spawn(|| {
        // Both before, so that the second is not mapped where the first was.
        let (mutex, other) = (mutex(), mutex());
        std::mem::forget(mutex.lock().unwrap());
        drop(mutex);
        drop(other.lock().unwrap());
    })
    .join()
    .unwrap();
    let mutex = mutex();
    std::thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(mutex.lock().unwrap()));
    });
    assert!(mutex.lock().unwrap().recovered());
}

#[test]
fn a_condition_wakes_one_or_all_and_times_out() {
    let mutex = mutex();
    let condition = Condition::create(name()).unwrap();
    let addresses = [mutex.memory().address(), condition.memory().address()];
    let mut peers: Vec<_> =
        (0..4).map(|_| Peer::start("lock", "wait", &[&addresses[0], &addresses[1]])).collect();
    for peer in &mut peers {
        assert_eq!(peer.line(), "waiting");
    }
    // Locking comes after the last of them has begun to wait.
    mutex.lock().unwrap()[0].set(1);
    condition.notify_one();
    let empty = |basket: &[ipc::shared::Cell<i64>]| basket[0].get() != 0;
    let start = Instant::now();
    while empty(&mutex.lock().unwrap()) {
        assert!(start.elapsed() < FAIL_SAFE, "nobody woke");
        std::thread::yield_now();
    }
    mutex.lock().unwrap()[0].set(3);
    condition.notify_all();
    for peer in &mut peers {
        assert_eq!(peer.line(), "got one");
    }
    let guard = mutex.lock().unwrap();
    assert_eq!(guard[0].get(), 0);
    let start = Instant::now();
    let mut guard = Some(guard);
    loop {
        // A wake-up for no reason is allowed, and then the time is not over.
        let (again, passed) = condition.wait_timeout(guard.take().unwrap(), SHORT).unwrap();
        guard = Some(again);
        if passed {
            break;
        }
    }
    assert!(start.elapsed() >= SHORT);
}

/// A condition of the GNU C library may block here.
#[test]
fn waiters_that_are_killed_do_not_block_a_condition() {
    let mutex = mutex();
    let condition = Condition::create(name()).unwrap();
    let addresses = [mutex.memory().address(), condition.memory().address()];
    for _ in 0..10 {
        let mut peer = Peer::start("lock", "wait", &[&addresses[0], &addresses[1]]);
        assert_eq!(peer.line(), "waiting");
        let mut guard = mutex.lock().unwrap();
        // Asleep by now, or on its way to sleep without the lock.
        assert!(!guard.recovered());
        peer.kill();
        guard.mark_consistent();
        drop(guard);
        condition.notify_one();
        condition.notify_all();
    }
    let mut peer = Peer::start("lock", "wait", &[&addresses[0], &addresses[1]]);
    assert_eq!(peer.line(), "waiting");
    mutex.lock().unwrap()[0].set(1);
    condition.notify_all();
    assert_eq!(peer.line(), "got one");
}

#[test]
fn a_mutex_of_another_type_or_size_is_refused() {
    let name = name();
    let mutex = Mutex::<u8>::create(&name, 0).unwrap();
    assert!(mutex.lock().unwrap().is_empty());
    assert!(matches!(Mutex::<u16>::open(&name), Err(Error::Foreign { .. })));
    assert!(matches!(Condition::open(&name), Err(Error::Foreign { .. })));
    assert!(matches!(Mutex::<u64>::create(&name, usize::MAX), Err(Error::OutOfRange { .. })));
    drop(mutex);
    assert_eq!(Mutex::<u8>::open(&name).map(drop).unwrap_err().errno(), Some(Errno::ENOENT));
}

#[test]
fn a_file_lock_excludes_and_is_released_by_death() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let path = path.to_str().unwrap();
    let mut lock = FileLock::open(path).unwrap();

    let mut peer = Peer::start("lock", "hold_file", &[path]);
    assert_eq!(peer.line(), "held");
    assert!(matches!(lock.try_lock(), Err(Error::WouldBlock { .. })));
    assert!(matches!(lock.try_lock_shared(), Err(Error::WouldBlock { .. })));
    let start = Instant::now();
    assert!(matches!(lock.lock_timeout(SHORT), Err(Error::TimedOut { .. })));
    assert!(start.elapsed() >= SHORT);
    peer.kill();
    drop(lock.lock_timeout(FAIL_SAFE).unwrap());
    drop(lock.lock().unwrap());

    let mut peers = [(); 2].map(|()| Peer::start("lock", "hold_file_shared", &[path]));
    for peer in &mut peers {
        assert_eq!(peer.line(), "held");
    }
    drop(lock.lock_shared().unwrap());
    drop(lock.lock_shared_timeout(Duration::ZERO).unwrap());
    assert!(matches!(lock.try_lock(), Err(Error::WouldBlock { .. })));
    for peer in peers {
        assert_eq!(peer.finish(), Some(0));
    }
    assert_eq!(lock.lock().unwrap().file().metadata().unwrap().len(), 0);
}

#[test]
fn a_file_lock_makes_two_steps_one() {
    let folder = tempfile::tempdir().unwrap();
    let (lock, number) = (folder.path().join("lock"), folder.path().join("number"));
    std::fs::write(&number, "0").unwrap();
    let arguments = [lock.to_str().unwrap(), number.to_str().unwrap(), "500"];
    let peers = [(); 4].map(|()| Peer::start("lock", "add_file", &arguments));
    for peer in peers {
        assert_eq!(peer.finish(), Some(0));
    }
    assert_eq!(std::fs::read_to_string(number).unwrap(), "2000");
}

#[test]
fn a_file_lock_needs_a_file() {
    let error = FileLock::open("/proc/no/such/file").map(drop).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOENT), "{error}");
    let error = FileLock::open("/tmp").map(drop).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EISDIR), "{error}");
}
