//! Semaphores between real processes.

mod common;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::namespace::isolated;
use common::trace::{Traced, Unit, kill_at_every};
use common::{Peer, TEST_TIMEOUT, signal_until_ended, wait_asleep, wait_in_call};
use ipc::semaphore::{self, NamedSemaphore, OnDeath, Semaphore, SharedSemaphore, SysvSemaphore};
use ipc::{Error, Key};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, gettid};

/// A name that no other test uses.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("/ipc-test-semaphore-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn key(name: &str) -> Key {
    Key::of_name(name).unwrap()
}

/// Runs a test on a fresh semaphore of each kind, with what a peer needs to open it.
fn each(value: u32, test: impl Fn(&str, &str, &dyn Semaphore)) {
    let name = unique();
    test("named", &name, &NamedSemaphore::create(&name, value).unwrap());
    let shared = SharedSemaphore::create(value).unwrap();
    let address = format!("{}:{}", std::process::id(), shared.as_fd().as_raw_fd());
    test("shared", &address, &shared);
    test("sysv", &name, &SysvSemaphore::create(key(&name), value, OnDeath::Undo).unwrap());
    assert_gone(&name);
}

/// No semaphore of either kind has this name.
fn assert_gone(name: &str) {
    let posix = NamedSemaphore::open(name).unwrap_err();
    assert_eq!(posix.errno(), Some(Errno::ENOENT), "{posix}");
    let sysv = SysvSemaphore::open(key(name), OnDeath::Keep).unwrap_err();
    assert_eq!(sysv.errno(), Some(Errno::ENOENT), "{sysv}");
}

#[test]
fn semaphore_counts_units() {
    each(2, |kind, _, semaphore| {
        assert_eq!(semaphore.get_value().unwrap(), 2, "{kind}");
        semaphore.acquire().unwrap();
        semaphore.try_acquire().unwrap();
        assert!(matches!(semaphore.try_acquire(), Err(Error::WouldBlock { .. })), "{kind}");
        for timeout in [Duration::ZERO, Duration::from_millis(60)] {
            let begin = Instant::now();
            let late = semaphore.acquire_timeout(timeout).unwrap_err();
            assert!(matches!(late, Error::TimedOut { waited, .. } if waited == timeout), "{late}");
            assert!(begin.elapsed() >= timeout, "{kind}: {:?}", begin.elapsed());
        }
        semaphore.release().unwrap();
        semaphore.acquire_timeout(TEST_TIMEOUT).unwrap();
        assert_eq!(semaphore.get_value().unwrap(), 0, "{kind}");
    });
}

#[test]
fn dropped_guard_releases_unit() {
    let semaphore = SharedSemaphore::create(2).unwrap();
    {
        let _one = semaphore.guard().unwrap();
        let _two = semaphore.try_guard().unwrap();
        assert!(matches!(semaphore.try_guard(), Err(Error::WouldBlock { .. })));
        let late = semaphore.guard_timeout(Duration::from_millis(1));
        assert!(matches!(late, Err(Error::TimedOut { .. })));
    }
    assert_eq!(semaphore.get_value().unwrap(), 2);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _guard = semaphore.guard_timeout(TEST_TIMEOUT).unwrap();
        std::panic::resume_unwind(Box::new("no message")); // `panic!` would print one.
    }));
    assert!(panicked.is_err());
    assert_eq!(semaphore.get_value().unwrap(), 2);
}

#[test]
fn release_by_peer_ends_wait() {
    each(0, |kind, address, semaphore| {
        for timeout in [&[][..], &["60"]] {
            let arguments = [&[kind, address], timeout].concat();
            let mut waiting = Peer::start("semaphore", "acquire", &arguments);
            assert_eq!(waiting.line(), "ready");
            wait_asleep(waiting.pid());
            // What a process releases with undo would be taken away at its end: see OnDeath.
            let release = if kind == "sysv" { "sysv-keep" } else { kind };
            let releasing = Peer::start("semaphore", "release", &[release, address]);
            assert_eq!(releasing.finish(), Some(0));
            assert_eq!(waiting.line(), "acquired after 0", "{kind}");
            // Undo has given the unit of the dead peer back.
            assert_eq!(waiting.finish(), Some(0));
            assert_eq!(semaphore.get_value().unwrap(), u32::from(kind == "sysv"));
            let _ = semaphore.try_acquire();
        }
    });
}

#[test]
fn binary_semaphore_excludes_four_processes() {
    let directory = tempfile::tempdir().unwrap();
    each(1, |kind, address, semaphore| {
        let file = directory.path().join(kind);
        std::fs::write(&file, 0_u32.to_ne_bytes()).unwrap();
        let arguments = [kind, address, file.to_str().unwrap(), "5000"];
        let peers = [(); 4].map(|()| Peer::start("semaphore", "count", &arguments));
        assert!(peers.into_iter().all(|peer| peer.finish() == Some(0)), "{kind}");
        let counted: [u8; 4] = std::fs::read(&file).unwrap().try_into().unwrap();
        assert_eq!(u32::from_ne_bytes(counted), 20_000, "{kind}");
        assert_eq!(semaphore.get_value().unwrap(), 1, "{kind}");
    });
}

#[test]
fn signal_does_not_end_wait() {
    each(0, |kind, address, semaphore| {
        for timeout in [&[][..], &["60"]] {
            let arguments = [&[kind, address], timeout].concat();
            let mut peer = Peer::start("semaphore", "acquire", &arguments);
            assert_eq!(peer.line(), "ready");
            for _ in 0..20 {
                wait_asleep(peer.pid());
                kill(Pid::from_raw(peer.pid()), Signal::SIGUSR1).unwrap();
            }
            wait_asleep(peer.pid());
            semaphore.release().unwrap();
            let line = peer.line();
            let signals: u32 = line.strip_prefix("acquired after ").unwrap().parse().unwrap();
            assert!(signals > 0, "{kind}: no signal came, so nothing was tested");
            assert_eq!(peer.finish(), Some(0));
            let _ = semaphore.try_acquire(); // What undo gave back.
        }
    });
}

#[test]
fn signal_does_not_prolong_timeout() {
    each(0, |kind, address, _| {
        let role = "acquire";
        let mut peer = Peer::start("semaphore", role, &[kind, address, "1"]);
        assert_eq!(peer.line(), "ready");
        signal_until_ended(peer.pid(), Signal::SIGUSR1);
        assert!(peer.line().contains("nothing came within 1s"), "{kind}");
    });
}

#[test]
fn killed_holder_unit_returns_with_undo() {
    each(1, |kind, address, semaphore| {
        let mut peer = Peer::start("semaphore", "hold", &[kind, address]);
        assert_eq!(peer.line(), "held");
        assert!(matches!(semaphore.try_acquire(), Err(Error::WouldBlock { .. })), "{kind}");
        peer.kill();
        if kind == "sysv" {
            semaphore.acquire_timeout(TEST_TIMEOUT).expect("the kernel has given the unit back");
        } else {
            let lost = semaphore.acquire_timeout(Duration::from_millis(100));
            assert!(matches!(lost, Err(Error::TimedOut { .. })), "{kind}: {lost:?}");
        }
    });
}

#[test]
fn killed_holder_without_undo_loses_unit() {
    let name = unique();
    let semaphore = SysvSemaphore::create(key(&name), 1, OnDeath::Undo).unwrap();
    let mut peer = Peer::start("semaphore", "hold", &["sysv-keep", &name]);
    assert_eq!(peer.line(), "held");
    peer.kill();
    let lost = semaphore.acquire_timeout(Duration::from_millis(100));
    assert!(matches!(lost, Err(Error::TimedOut { .. })), "{lost:?}");
}

#[test]
fn racing_creators_have_one_winner() {
    for kind in ["named", "sysv"] {
        let name = unique();
        let lines = race(kind, &name);
        let made = lines.iter().filter(|line| *line == "made 3").count();
        let refused = lines.iter().filter(|line| *line == "Some(EEXIST)").count();
        assert_eq!((made, refused), (1, 7), "{kind}: {lines:?}");
        assert_gone(&name);
    }
}

#[test]
fn opener_never_sees_unset_value() {
    for kind in ["named-or", "sysv-or"] {
        for _ in 0..5 {
            let name = unique();
            let lines = race(kind, &name);
            assert!(lines.iter().all(|line| line == "made 3"), "{kind}: {lines:?}");
            assert_gone(&name);
        }
    }
}

/// What eight peers say that create at the same moment.
fn race(kind: &str, name: &str) -> Vec<String> {
    let start = |_| Peer::start("semaphore", "create", &[kind, name]);
    let mut peers: Vec<Peer> = (0..8).map(start).collect();
    assert!(peers.iter_mut().all(|peer| peer.line() == "ready"));
    for peer in &mut peers {
        peer.write(b"!");
    }
    let lines = peers.iter_mut().map(Peer::line).collect();
    assert!(peers.into_iter().all(|peer| peer.finish() == Some(0)));
    lines
}

#[test]
fn opener_waits_for_value_until_timeout() {
    let name = unique();
    let key = key(&name);
    // What a creator makes first, and leaves if it is killed at that moment.
    // SAFETY: semget takes three integers.
    let half_made = || unsafe { libc::semget(key.number(), 1, libc::IPC_CREAT | 0o600) };
    let id = half_made();
    assert!(id != -1);
    let begin = Instant::now();
    let opened = SysvSemaphore::open(key, OnDeath::Keep);
    assert!(matches!(opened, Err(Error::Unusable { .. })), "{opened:?}");
    assert!(begin.elapsed() >= Duration::from_millis(500), "it did not wait");

    // The creator is only late. It may be too late after all where this process was held up: then it is tried again.
    for attempt in 1.. {
        let id = half_made();
        let begin = Instant::now();
        let mut peer = Peer::start("semaphore", "open", &["sysv", &name]);
        // It looks again and again, and sleeps in between; or it has given up.
        let stat = || std::fs::read_to_string(format!("/proc/{}/stat", peer.pid())).unwrap();
        while !stat().contains(") S ") && !stat().contains(") Z ") {
            assert!(begin.elapsed() < TEST_TIMEOUT, "{}", stat());
            std::thread::yield_now();
        }
        let mut operation = libc::sembuf { sem_num: 0, sem_op: 1, sem_flg: 0 };
        // SAFETY: there is one operation, which lives through the call.
        assert_eq!(unsafe { libc::semop(id, &raw mut operation, 1) }, 0);
        let in_time = begin.elapsed() < Duration::from_millis(500);
        let line = peer.line();
        SysvSemaphore::remove(key).unwrap();
        if line == "opened" {
            break;
        }
        assert!(!in_time && attempt < 20, "{line:?} in attempt {attempt}");
    }
}

#[test]
fn invalid_arguments_make_no_semaphore() {
    let name = unique();
    for bad in ["", "/", "a/b", "..", "a\0b"] {
        assert!(
            matches!(NamedSemaphore::create(bad, 1), Err(Error::InvalidName { .. })),
            "{bad:?}"
        );
        assert!(matches!(NamedSemaphore::open(bad), Err(Error::InvalidName { .. })), "{bad:?}");
        assert!(matches!(NamedSemaphore::remove(bad), Err(Error::InvalidName { .. })), "{bad:?}");
    }
    let posix = NamedSemaphore::create(&name, 1 << 31);
    assert!(matches!(posix, Err(Error::OutOfRange { most: 2_147_483_647, .. })), "{posix:?}");
    let shared = SharedSemaphore::create(u32::MAX);
    assert!(matches!(shared, Err(Error::OutOfRange { .. })), "{shared:?}");
    let sysv = SysvSemaphore::create(key(&name), 32_768, OnDeath::Keep);
    assert!(matches!(sysv, Err(Error::OutOfRange { most: 32_767, .. })), "{sysv:?}");
    let private = SysvSemaphore::open(Key::PRIVATE, OnDeath::Keep).unwrap_err();
    assert_eq!(private.errno(), Some(Errno::ENOENT));
    assert!(matches!(SysvSemaphore::from_id(-1, OnDeath::Keep), Err(Error::Closed { .. })));
    assert_eq!(NamedSemaphore::remove(&name).unwrap_err().errno(), Some(Errno::ENOENT));
    assert_eq!(SysvSemaphore::remove(key(&name)).unwrap_err().errno(), Some(Errno::ENOENT));
    assert_gone(&name);
}

#[test]
fn release_above_maximum_is_out_of_range() {
    let full = |semaphore: &dyn Semaphore, most: u32| {
        let over = semaphore.release().unwrap_err();
        let (given, limit) = (u64::from(most) + 1, u64::from(most));
        let fits =
            matches!(over, Error::OutOfRange { given: g, most: m, .. } if (g, m) == (given, limit));
        assert!(fits, "{over}");
        assert_eq!(semaphore.get_value().unwrap(), most);
    };
    let max = i32::MAX as u32;
    full(&NamedSemaphore::create(&unique(), max).unwrap(), max);
    full(&SharedSemaphore::create(max).unwrap(), max);
    for on_death in [OnDeath::Undo, OnDeath::Keep] {
        full(&SysvSemaphore::create(Key::PRIVATE, 32_767, on_death).unwrap(), 32_767);
    }
}

/// At every system call of `create`: afterwards there is no file, or a whole semaphore.
#[test]
fn kill_inside_create_leaves_no_half() {
    isolated("kill_inside_create_leaves_no_half", false, || {
        let (name, mut left) = (unique(), 0);
        let start = || Traced::start_at_mark("semaphore", "create_marked", &["named", &name]);
        let kills = kill_at_every(Unit::Call, start, |place| {
            let files = std::fs::read_dir("/dev/shm").unwrap();
            let files: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
            if files.is_empty() {
                return;
            }
            left += 1;
            assert_eq!(files, [format!("sem.{}", &name[1..]).as_str()], "{place}");
            assert_eq!(NamedSemaphore::open(&name).unwrap().get_value().unwrap(), 3, "{place}");
            let taken = NamedSemaphore::create(&name, 1).unwrap_err();
            assert_eq!(taken.errno(), Some(Errno::EEXIST), "{place}");
            NamedSemaphore::remove(&name).unwrap();
        });
        assert!(kills == 0 || left > 0 && left < kills, "{left} of {kills} kills left one");
    });
}

/// The C library has made none of it, and takes it for one of its own.
#[test]
fn named_semaphore_is_that_of_sem_open() {
    let name = unique();
    let c_name = std::ffi::CString::new(name.as_str()).unwrap();
    let made = NamedSemaphore::create(&name, 3).unwrap();
    // SAFETY: the name ends with a NUL, and nothing follows without O_CREAT. The address is used until it is closed.
    let theirs = unsafe { libc::sem_open(c_name.as_ptr(), 0) };
    assert_ne!(theirs, libc::SEM_FAILED);
    // SAFETY: as above.
    let take = || unsafe { libc::sem_trywait(theirs) };
    assert_eq!([take(), take(), take(), take()], [0, 0, 0, -1]);
    assert_eq!(made.get_value().unwrap(), 0);
    // A thread that sleeps in the C library is woken from here, and the other way round.
    let theirs = theirs as usize;
    let asleep = |thread: &std::sync::mpsc::Receiver<Pid>| {
        let thread = thread.recv().unwrap();
        wait_in_call(&format!("self/task/{thread}"), libc::SYS_futex);
    };
    std::thread::scope(|scope| {
        let (number, thread) = std::sync::mpsc::channel();
        let waits = scope.spawn(move || {
            number.send(gettid()).unwrap();
            let now = clock_gettime(ClockId::CLOCK_REALTIME).unwrap();
            let end = now + TimeSpec::from_duration(TEST_TIMEOUT);
            // SAFETY: as above; the time lives through the call.
            unsafe { libc::sem_timedwait(theirs as *mut libc::sem_t, end.as_ref()) }
        });
        asleep(&thread);
        made.release().unwrap();
        assert_eq!(waits.join().unwrap(), 0);
        let (number, thread) = std::sync::mpsc::channel();
        let made = &made;
        let waits = scope.spawn(move || {
            number.send(gettid()).unwrap();
            made.acquire_timeout(TEST_TIMEOUT)
        });
        asleep(&thread);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::sem_post(theirs as *mut libc::sem_t) }, 0);
        waits.join().unwrap().unwrap();
    });
    drop(made);
    assert_gone(&name);

    // SAFETY: the name ends with a NUL; a mode and a value follow O_CREAT.
    let made = unsafe { libc::sem_open(c_name.as_ptr(), libc::O_CREAT, 0o600 as libc::c_uint, 2) };
    assert_ne!(made, libc::SEM_FAILED);
    assert_eq!(NamedSemaphore::open(&name).unwrap().get_value().unwrap(), 2);
    NamedSemaphore::remove(&name).unwrap();
    for semaphore in [theirs as *mut libc::sem_t, made] {
        // SAFETY: each was opened once, and is not used any more.
        assert_eq!(unsafe { libc::sem_close(semaphore) }, 0);
    }
}

#[test]
fn full_undo_account_is_named() {
    let undone = SysvSemaphore::create(Key::PRIVATE, 0, OnDeath::Undo).unwrap();
    let kept = SysvSemaphore::from_id(undone.id(), OnDeath::Keep).unwrap();
    for _ in 0..=32_767 {
        undone.release().unwrap();
        kept.acquire().unwrap();
    }
    let over = undone.release().unwrap_err();
    assert!(matches!(over, Error::Limit { .. }), "{over}");
    assert_eq!(over.errno(), Some(Errno::ERANGE));
    assert!(over.to_string().contains("SEM_UNDO"), "{over}");
    assert_eq!(kept.get_value().unwrap(), 0);
    // The other direction has room again.
    kept.release().unwrap();
    undone.acquire().unwrap();
}

#[test]
fn file_of_wrong_size_is_unusable() {
    let name = unique();
    let file = format!("/dev/shm/sem.{}", &name[1..]);
    for length in [0, 4096] {
        std::fs::write(&file, vec![0; length]).unwrap();
        let opened = NamedSemaphore::open(&name);
        let why = if length == 0 { "died over it" } else { "4096 bytes" };
        let Err(Error::Unusable { reason, .. }) = &opened else { panic!("{length}: {opened:?}") };
        assert!(reason.contains(why), "{reason}");
        let opened = NamedSemaphore::create_or_open(&name, 1);
        assert!(matches!(opened, Err(Error::Unusable { .. })), "{length}: {opened:?}");
        assert_eq!(std::fs::read(&file).unwrap(), vec![0; length], "it was changed");
        std::fs::remove_file(&file).unwrap();
    }
    std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
    let opened = NamedSemaphore::open(&name);
    assert!(matches!(opened, Err(Error::Unusable { .. })), "{opened:?}");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn semaphore_set_is_unusable() {
    let name = unique();
    // SAFETY: semget takes three integers.
    let id = unsafe { libc::semget(key(&name).number(), 3, libc::IPC_CREAT | 0o600) };
    assert!(id != -1);
    let opened = SysvSemaphore::open(key(&name), OnDeath::Undo);
    assert!(matches!(opened, Err(Error::Unusable { .. })), "{opened:?}");
    SysvSemaphore::remove(key(&name)).unwrap();
}

#[test]
fn memory_without_mark_is_unusable() {
    let refuse = |memory: OwnedFd| {
        let opened = SharedSemaphore::from_fd(memory);
        assert!(matches!(opened, Err(Error::Unusable { .. })), "{opened:?}");
    };
    refuse(std::fs::File::open("/proc/self/exe").unwrap().into());
    let sealing = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // A true copy, but one that its maker could shorten under our hands.
    let original = SharedSemaphore::create(1).unwrap();
    let copy = memfd_create(c"not sealed", sealing).unwrap();
    let from = format!("/proc/self/fd/{}", original.as_fd().as_raw_fd());
    nix::unistd::write(&copy, &std::fs::read(from).unwrap()).unwrap();
    refuse(copy);
    for size in [0, 8, 40, 4096] {
        use nix::fcntl::{FcntlArg, SealFlag, fcntl};
        let memory = memfd_create(c"sealed", sealing).unwrap();
        nix::unistd::ftruncate(&memory, size).unwrap();
        fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).unwrap();
        refuse(memory);
    }
    let own = i32::try_from(std::process::id()).unwrap();
    let missing = SharedSemaphore::of_process(own, 1 << 20).unwrap_err();
    assert_eq!(missing.errno(), Some(Errno::ENOENT));
}

#[test]
fn duplicate_descriptors_share_one_semaphore() {
    let first = SharedSemaphore::create(0).unwrap();
    let second = SharedSemaphore::from_fd(first.as_fd().try_clone_to_owned().unwrap()).unwrap();
    first.release().unwrap();
    drop(first);
    second.try_acquire().unwrap();
    let flags = nix::fcntl::fcntl(&second, nix::fcntl::FcntlArg::F_GETFD).unwrap();
    assert!(flags & libc::FD_CLOEXEC != 0, "a child started by exec would inherit the memory");
}

#[test]
fn create_or_open_has_one_creator() {
    let name = unique();
    let first = NamedSemaphore::create_or_open(&name, 2).unwrap();
    let second = NamedSemaphore::create_or_open(&name, 9).unwrap();
    assert!(first.is_creator() && !second.is_creator());
    assert_eq!(second.get_value().unwrap(), 2);
    drop(second);
    drop(NamedSemaphore::open(&name).expect("one that did not make it removed it"));
    drop(first);

    let first = SysvSemaphore::create_or_open(key(&name), 2, OnDeath::Undo).unwrap();
    let second = SysvSemaphore::create_or_open(key(&name), 9, OnDeath::Undo).unwrap();
    assert!(first.is_creator() && !second.is_creator());
    assert_eq!(second.get_value().unwrap(), 2);
    drop(second);
    drop(
        SysvSemaphore::open(key(&name), OnDeath::Undo)
            .expect("one that did not make it removed it"),
    );
    drop(first);
    assert_gone(&name);
}

#[test]
fn creator_does_not_remove_successor() {
    let name = unique();
    let first = NamedSemaphore::create(&name, 1).unwrap();
    NamedSemaphore::remove(&name).unwrap();
    let second = NamedSemaphore::create(&name, 1).unwrap();
    drop(first);
    drop(NamedSemaphore::open(&name).unwrap());
    drop(second);

    let mut kept = NamedSemaphore::create(&name, 1).unwrap();
    kept.keep();
    drop(kept);
    NamedSemaphore::remove(&name).unwrap();
    assert_gone(&name);
}

#[test]
fn sysv_removal_wakes_waiters() {
    let name = unique();
    for timeout in [&[][..], &["60"]] {
        let semaphore = SysvSemaphore::create(key(&name), 0, OnDeath::Undo).unwrap();
        let mut peer = Peer::start("semaphore", "acquire", &[&["sysv", &name], timeout].concat());
        assert_eq!(peer.line(), "ready");
        wait_asleep(peer.pid());
        assert_eq!(semaphore.waiting().unwrap(), 1);
        drop(semaphore);
        assert_eq!(peer.line(), "closed after 0");
    }
}

#[test]
fn killed_creator_object_is_listed() {
    for kind in ["named", "sysv"] {
        let name = unique();
        let mut peer = Peer::start("semaphore", "abandon", &[kind, &name]);
        assert_eq!(peer.line(), "made");
        let name_in_list = if kind == "named" { name.clone() } else { key(&name).to_string() };
        let find = || {
            let list = semaphore::list().unwrap();
            list.into_iter().find(|found| found.name == name_in_list).expect("the list has it")
        };
        let alive = find();
        assert!(!alive.is_abandoned(), "{alive:?}");
        let users = [&alive.open_in[..], &alive.last_users].concat();
        assert_eq!(users, [peer.pid()], "{kind}");
        peer.kill();
        // Its memory may outlast it for a moment.
        let left = common::wait_for(|| Some(find()).filter(ipc::Object::is_abandoned));
        assert_eq!(left.owner, nix::unistd::geteuid().as_raw());
        left.remove().unwrap();
        // Twice is no error, and a successor is not hit.
        let successor = NamedSemaphore::create(&name, 1).unwrap();
        alive.remove().unwrap();
        drop(NamedSemaphore::open(&name).unwrap());
        drop(successor);
        assert_gone(&name);
    }
}
