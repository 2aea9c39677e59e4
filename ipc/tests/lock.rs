//! Locks between real processes, and what becomes of them when the holder dies.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{Peer, TEST_TIMEOUT, wait_for, wait_in_call};
use ipc::Error;
use ipc::lock::{Condition, FileLock, Mutex};
use ipc::shared::Location;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const SHORT: Duration = Duration::from_millis(30);

fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("/ipc-lock-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn mutex() -> Mutex<i64> {
    Mutex::create(name(), 2).unwrap()
}

#[test]
fn mutex_keeps_related_numbers_consistent() {
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
fn held_mutex_wait_times_out() {
    let mutex = mutex();
    let mut peer = Peer::start("lock", "hold", &[&mutex.memory().address()]);
    assert_eq!(peer.line(), "held");
    assert!(matches!(mutex.try_lock(), Err(Error::WouldBlock { .. })));
    let start = Instant::now();
    assert!(matches!(mutex.lock_timeout(SHORT), Err(Error::TimedOut { .. })));
    // POSIX has this wait on the wall clock, which ticks a little differently.
    assert!(start.elapsed() + Duration::from_millis(5) >= SHORT);
    assert_eq!(peer.finish(), Some(0));
    let guard = mutex.lock_timeout(TEST_TIMEOUT).unwrap();
    assert!(!guard.recovered());
    assert_eq!((guard[0].get(), guard[1].get()), (1, 1));
    // Again by the same thread: an error, and not for ever.
    assert_eq!(mutex.lock().map(drop).unwrap_err().errno(), Some(Errno::EDEADLK));
    assert!(matches!(mutex.try_lock(), Err(Error::WouldBlock { .. })));
}

#[test]
fn killed_holder_leaves_mutex_recoverable() {
    let mutex = mutex();
    let mut peer = Peer::start("lock", "hold", &[&mutex.memory().address()]);
    assert_eq!(peer.line(), "held");
    peer.kill();
    let mut guard = mutex.lock_timeout(TEST_TIMEOUT).unwrap();
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
fn waiting_locker_recovers_from_killed_holder() {
    let mutex = mutex();
    let mut peer = Peer::start("lock", "hold", &[&mutex.memory().address()]);
    assert_eq!(peer.line(), "held");
    std::thread::scope(|scope| {
        let (send_id, thread_id) = std::sync::mpsc::channel();
        let mutex = &mutex;
        let waiting = scope.spawn(move || {
            send_id.send(nix::unistd::gettid()).unwrap();
            let mut guard = mutex.lock().unwrap();
            let recovered = guard.recovered();
            guard.mark_consistent();
            recovered
        });
        wait_in_call(&format!("self/task/{}", thread_id.recv().unwrap()), libc::SYS_futex);
        peer.kill();
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn unrepaired_mutex_is_not_recoverable() {
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
fn forgotten_guard_keeps_memory_mapped() {
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
fn condition_wakes_one_or_all() {
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
    wait_for(|| (mutex.lock().unwrap()[0].get() == 0).then_some(()));
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
        let (again, timed_out) = condition.wait_timeout(guard.take().unwrap(), SHORT).unwrap();
        guard = Some(again);
        if timed_out {
            break;
        }
    }
    assert!(start.elapsed() >= SHORT);
}

/// A condition of the GNU C library may block here.
#[test]
fn killed_waiter_does_not_block_condition() {
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
fn mutex_of_other_type_is_refused() {
    let name = name();
    let mutex = Mutex::<u8>::create(&name, 0).unwrap();
    assert!(mutex.lock().unwrap().is_empty());
    assert!(matches!(Mutex::<u16>::open(&name), Err(Error::Unusable { .. })));
    assert!(matches!(Condition::open(&name), Err(Error::Unusable { .. })));
    assert!(matches!(Mutex::<u64>::create(&name, usize::MAX), Err(Error::OutOfRange { .. })));
    drop(mutex);
    assert_eq!(Mutex::<u8>::open(&name).map(drop).unwrap_err().errno(), Some(Errno::ENOENT));
}

#[test]
fn file_lock_is_released_by_death() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lock");
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
    drop(lock.lock_timeout(TEST_TIMEOUT).unwrap());
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
fn file_lock_makes_two_steps_atomic() {
    let directory = tempfile::tempdir().unwrap();
    let (lock, number) = (directory.path().join("lock"), directory.path().join("number"));
    std::fs::write(&number, "0").unwrap();
    let arguments = [lock.to_str().unwrap(), number.to_str().unwrap(), "500"];
    let peers = [(); 4].map(|()| Peer::start("lock", "add_file", &arguments));
    for peer in peers {
        assert_eq!(peer.finish(), Some(0));
    }
    assert_eq!(std::fs::read_to_string(number).unwrap(), "2000");
}

#[test]
fn file_lock_on_bad_path_fails() {
    let error = FileLock::open("/proc/no/such/file").map(drop).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOENT), "{error}");
    let error = FileLock::open("/tmp").map(drop).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EISDIR), "{error}");
}

#[test]
fn mutexes_beyond_kernel_list_are_refused() {
    const MOST: usize = 2048;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < 2 * MOST as u64 {
        eprintln!("SKIPPED: each mutex takes a descriptor, and this process may have {hard}");
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let create = |_| Mutex::<i64>::create(Location::Memfd("test".to_owned()), 0).unwrap();
    let mutexes: Vec<_> = (0..=MOST).map(create).collect();
    let (last, held) = mutexes.split_last().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for mutex in held {
                std::mem::forget(mutex.lock().unwrap());
            }
            for refused in [last.lock(), last.try_lock(), last.lock_timeout(Duration::ZERO)] {
                let error = refused.err().unwrap();
                assert!(matches!(error, Error::OutOfRange { most: 2048, .. }), "{error}");
            }
        });
    });
    // The thread has ended: the kernel has passed on every one of them.
    assert!(held.iter().all(|mutex| mutex.lock_timeout(TEST_TIMEOUT).unwrap().recovered()));
}

#[test]
fn dangling_link_to_lock_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (link, target) = (directory.path().join("link"), directory.path().join("target"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    FileLock::open(&link).unwrap();
    assert!(target.exists());
}
