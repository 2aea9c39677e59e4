//! Message queues between real processes.

mod common;

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{Peer, TEST_TIMEOUT, signal_until_ended, wait_asleep};
use ipc::queue::{self, HIGHEST_PRIORITY, PosixQueue, Queue, Select, SysvQueue};
use ipc::{Error, Key, Wait};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

const CAPACITY: usize = 8;
const SIZE: usize = 64;

/// A name that no other test uses.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("/ipc-test-queue-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Runs a test on a fresh queue of each kind.
fn both(test: impl Fn(&str, &str, &dyn Queue)) {
    let name = unique();
    test("posix", &name, &PosixQueue::create(&name, CAPACITY, SIZE).unwrap());
    test("sysv", &name, &SysvQueue::create(key(&name), CAPACITY, SIZE).unwrap());
    assert_gone(&name);
}

fn key(name: &str) -> Key {
    Key::of_name(name).unwrap()
}

/// No queue of either kind has this name.
fn assert_gone(name: &str) {
    assert_eq!(PosixQueue::open(name).unwrap_err().errno(), Some(Errno::ENOENT));
    assert_eq!(SysvQueue::open(key(name), SIZE).unwrap_err().errno(), Some(Errno::ENOENT));
}

fn fill(queue: &dyn Queue) {
    for _ in 0..queue.capacity() {
        queue.try_put(&[7; SIZE]).unwrap();
    }
}

#[test]
fn message_of_any_length_arrives_whole() {
    both(|_, _, queue| {
        for message in [&b""[..], b"x", &[9; SIZE]] {
            queue.put(message).unwrap();
            assert_eq!(queue.qsize().unwrap(), 1);
            assert_eq!(queue.get().unwrap(), message);
        }
        assert!(queue.empty().unwrap());
    });
}

#[test]
fn full_queue_refuses_without_loss() {
    both(|kind, _, queue| {
        assert_eq!((queue.capacity(), queue.message_size()), (CAPACITY, SIZE));
        assert!(queue.empty().unwrap() && !queue.full().unwrap());
        fill(queue);
        assert!(queue.full().unwrap() && !queue.empty().unwrap());
        assert_eq!(queue.qsize().unwrap(), CAPACITY);
        let refused = queue.try_put(&[8; SIZE]).unwrap_err();
        assert!(matches!(refused, Error::WouldBlock { .. }), "{kind}: {refused}");
        let timeout = Duration::from_millis(60);
        let begin = Instant::now();
        let late = queue.put_timeout(&[8; SIZE], timeout).unwrap_err();
        assert!(matches!(late, Error::TimedOut { waited, .. } if waited == timeout), "{late}");
        assert!(begin.elapsed() >= timeout, "{kind}: {:?}", begin.elapsed());
        for _ in 0..CAPACITY {
            assert_eq!(queue.try_get().unwrap(), [7; SIZE]);
        }
        assert!(queue.empty().unwrap());
    });
}

#[test]
fn empty_queue_get_times_out() {
    both(|kind, _, queue| {
        assert!(matches!(queue.try_get(), Err(Error::WouldBlock { .. })), "{kind}");
        for timeout in [Duration::ZERO, Duration::from_micros(1), Duration::from_millis(60)] {
            let begin = Instant::now();
            assert!(matches!(queue.get_timeout(timeout), Err(Error::TimedOut { .. })), "{kind}");
            assert!(begin.elapsed() >= timeout, "{kind}: {:?}", begin.elapsed());
        }
    });
}

#[test]
fn put_by_peer_ends_timed_get() {
    both(|kind, name, queue| {
        let mut peer = Peer::start("queue", "get", &[kind, name, "60"]);
        assert_eq!(peer.line(), "ready");
        wait_asleep(peer.pid());
        queue.put(b"here").unwrap();
        assert_eq!(peer.line(), "here after 0");
    });
}

#[test]
fn free_slot_ends_waiting_put() {
    both(|kind, name, queue| {
        fill(queue);
        let mut peer = Peer::start("queue", "write", &[kind, name, "0", "4"]);
        wait_asleep(peer.pid());
        let written = (0..CAPACITY + 4).map(|_| queue.get_timeout(TEST_TIMEOUT).unwrap());
        assert_eq!(written.filter(|message| message.len() == 8).count(), 4, "{kind}");
        assert_eq!(peer.line(), "");
    });
}

#[test]
fn signal_does_not_end_wait() {
    both(|kind, name, queue| {
        for timeout in [&[][..], &["60"]] {
            let arguments = [&[kind, name], timeout].concat();
            let mut peer = Peer::start("queue", "get", &arguments);
            assert_eq!(peer.line(), "ready");
            for _ in 0..20 {
                wait_asleep(peer.pid());
                kill(Pid::from_raw(peer.pid()), Signal::SIGUSR1).unwrap();
            }
            wait_asleep(peer.pid());
            queue.put(b"late").unwrap();
            let line = peer.line();
            let signals: u32 = line.strip_prefix("late after ").unwrap().parse().unwrap();
            assert!(signals > 0, "{kind}: no signal came, so nothing was tested");
        }
    });
}

#[test]
fn signal_does_not_prolong_timeout() {
    both(|kind, name, _| {
        let role = "get";
        let mut peer = Peer::start("queue", role, &[kind, name, "1"]);
        assert_eq!(peer.line(), "ready");
        signal_until_ended(peer.pid(), Signal::SIGUSR1);
        assert!(peer.line().contains("nothing came within 1s"), "{kind}");
    });
}

#[test]
fn timeout_signal_does_not_leak() {
    let queue = SysvQueue::create(Key::PRIVATE, 1, 8).unwrap();
    let before = SigSet::thread_get_mask().unwrap();
    let (reader, _writer) = nix::unistd::pipe().unwrap();
    for micros in 0..200 {
        assert!(queue.get_timeout(Duration::from_micros(micros)).is_err());
        // poll is never restarted: a signal left over would end it with EINTR.
        let mut waiting = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut waiting, PollTimeout::from(1_u8)), Ok(0));
    }
    assert_eq!(SigSet::thread_get_mask().unwrap(), before);
}

#[test]
fn timeout_works_with_all_signals_blocked() {
    let queue = SysvQueue::create(Key::PRIVATE, 1, 8).unwrap();
    let _blocked = ipc::signal::Blocked::new(ipc::signal::Signals::all()).unwrap();
    let begun = Instant::now();
    let late = queue.get_timeout(Duration::from_millis(30)).unwrap_err();
    assert!(matches!(late, Error::TimedOut { .. }) && begun.elapsed().as_millis() >= 30, "{late}");
    std::thread::scope(|scope| {
        let got = scope.spawn(|| queue.get_timeout(TEST_TIMEOUT));
        queue.put(b"late").unwrap();
        assert_eq!(got.join().unwrap().unwrap(), b"late");
    });
}

#[test]
fn timeout_takes_no_signal_of_program() {
    use ipc::signal::{Signal, SignalFd, raise};
    let queue = SysvQueue::create(Key::PRIVATE, 1, 8).unwrap();
    // All that this test's thread receives: the timer has to find another signal, or do without.
    let realtime = |index| Signal::realtime(index).unwrap();
    let signals = SignalFd::new([realtime(30), realtime(29)]).unwrap();
    let own = std::process::id().cast_signed();
    // To this thread: one to the process could reach the threads of other tests.
    for signal in [realtime(30), realtime(29)] {
        raise(signal).unwrap();
    }
    assert!(queue.get_timeout(Duration::from_millis(20)).is_err());
    let got = [signals.try_read().unwrap(), signals.try_read().unwrap()];
    assert_eq!(got.map(|got| got.signal), [realtime(29), realtime(30)]);
    assert!(got.iter().all(|got| got.sender.is_some_and(|sender| sender.pid == own)));
}

#[test]
fn timeouts_in_threads_are_independent() {
    let queue = SysvQueue::create(Key::PRIVATE, 1, 8).unwrap();
    std::thread::scope(|scope| {
        for thread in 1..=4_u64 {
            let queue = &queue;
            scope.spawn(move || {
                let timeout = Duration::from_millis(7 * thread);
                for _ in 0..10 {
                    let begin = Instant::now();
                    let late = queue.get_timeout(timeout).unwrap_err();
                    assert!(matches!(late, Error::TimedOut { .. }), "{late}");
                    assert!(begin.elapsed() >= timeout);
                }
            });
        }
    });
}

#[test]
fn urgent_messages_come_first() {
    both(|kind, _, queue| {
        let priorities = [0, 5, HIGHEST_PRIORITY, 5, 1, 0, 5];
        for (number, priority) in priorities.into_iter().enumerate() {
            queue.send(&[number as u8], priority, Wait::Never).unwrap();
        }
        let mut buffer = [0; SIZE];
        let taken: Vec<(u8, u32)> = (0..priorities.len())
            .map(|_| {
                let received = queue.receive(&mut buffer, Wait::Never).unwrap();
                assert_eq!(received.length, 1);
                (buffer[0], received.priority)
            })
            .collect();
        let expected = [(2, HIGHEST_PRIORITY), (1, 5), (3, 5), (6, 5), (4, 1), (0, 0), (5, 0)];
        assert_eq!(taken, expected, "{kind}");
    });
}

#[test]
fn messages_of_each_writer_keep_order() {
    const WRITERS: usize = 4;
    const EACH: u32 = 25_000;
    both(|kind, name, queue| {
        let count = EACH.to_string();
        let start = |writer| Peer::start("queue", "write", &[kind, name, writer, &count]);
        let writers = ["0", "1", "2", "3"].map(start);
        let mut next = [0_u32; WRITERS];
        let mut buffer = [0; SIZE];
        for _ in 0..WRITERS as u32 * EACH {
            let received = queue.receive(&mut buffer, Wait::AtMost(TEST_TIMEOUT)).unwrap();
            assert_eq!(received.length, 8, "{kind}");
            let word = |at: usize| u32::from_ne_bytes(buffer[at..at + 4].try_into().unwrap());
            let writer = word(0) as usize;
            assert_eq!(word(4), next[writer], "{kind}: writer {writer}");
            next[writer] += 1;
        }
        assert_eq!(next, [EACH; WRITERS], "{kind}");
        assert!(queue.empty().unwrap());
        assert!(writers.into_iter().all(|peer| peer.finish() == Some(0)), "{kind}");
    });
}

#[test]
fn racing_creators_have_one_winner() {
    for kind in ["posix", "sysv"] {
        let name = unique();
        // The start signal is a byte that all of them read from one pipe.
        let mut peers: Vec<Peer> =
            (0..8).map(|_| Peer::start("queue", "create", &[kind, &name])).collect();
        assert!(peers.iter_mut().all(|peer| peer.line() == "ready"));
        for peer in &mut peers {
            peer.write(b"!");
        }
        let lines: Vec<String> = peers.iter_mut().map(Peer::line).collect();
        let made = lines.iter().filter(|line| *line == "made").count();
        let refused = lines.iter().filter(|line| *line == "Some(EEXIST)").count();
        assert_eq!((made, refused), (1, 7), "{kind}: {lines:?}");
        assert!(peers.into_iter().all(|peer| peer.finish() == Some(0)));
        assert_gone(&name);
    }
}

#[test]
fn create_or_open_checks_the_size() {
    let name = unique();
    let first = PosixQueue::create_or_open(&name, CAPACITY, SIZE).unwrap();
    let second = PosixQueue::create_or_open(&name, CAPACITY, SIZE).unwrap();
    assert!(first.is_creator() && !second.is_creator());
    let other = PosixQueue::create_or_open(&name, CAPACITY, SIZE + 1);
    assert!(matches!(other, Err(Error::Unusable { .. })), "{other:?}");
    drop(second);
    assert!(PosixQueue::open(&name).is_ok(), "one that did not make it removed it");
    drop(first);

    let first = SysvQueue::create_or_open(key(&name), CAPACITY, SIZE).unwrap();
    let second = SysvQueue::create_or_open(key(&name), CAPACITY, SIZE).unwrap();
    assert!(first.is_creator() && !second.is_creator());
    let other = SysvQueue::create_or_open(key(&name), CAPACITY, SIZE - 1);
    assert!(matches!(other, Err(Error::Unusable { .. })), "{other:?}");
    let other = SysvQueue::open(key(&name), CAPACITY * SIZE + 1);
    assert!(matches!(other, Err(Error::Unusable { .. })), "{other:?}");
    drop(second);
    assert!(SysvQueue::open(key(&name), SIZE).is_ok(), "one that did not make it removed it");
    drop(first);
    assert_gone(&name);
}

#[test]
fn creator_does_not_remove_successor() {
    let name = unique();
    let first = PosixQueue::create(&name, 1, 8).unwrap();
    PosixQueue::remove(&name).unwrap();
    let second = PosixQueue::create(&name, 1, 8).unwrap();
    drop(first);
    assert!(PosixQueue::open(&name).is_ok());
    drop(second);

    let first = SysvQueue::create(key(&name), 1, 8).unwrap();
    SysvQueue::remove(key(&name)).unwrap();
    let second = SysvQueue::create(key(&name), 1, 8).unwrap();
    drop(first);
    assert!(SysvQueue::open(key(&name), 8).is_ok());
    drop(second);
    assert_gone(&name);
}

#[test]
fn drop_without_descriptors_spares_successor() {
    let name = unique();
    let mut peer = Peer::start("queue", "drop_without_descriptors", &["posix", &name]);
    assert_eq!(peer.line(), "made");
    PosixQueue::remove(&name).unwrap();
    let successor = PosixQueue::create(&name, 1, 8).unwrap();
    assert_eq!(peer.finish(), Some(0));
    assert!(PosixQueue::open(&name).is_ok());
    drop(successor);

    let mut peer = Peer::start("queue", "drop_without_descriptors", &["posix", &name]);
    assert_eq!(peer.line(), "made");
    assert_eq!(peer.finish(), Some(0));
    assert_gone(&name);
}

#[test]
fn invalid_arguments_make_no_queue() {
    let name = unique();
    let key = key(&name);
    for bad in ["", "/", "a/b", "..", "a\0b"] {
        assert!(matches!(PosixQueue::create(bad, 1, 1), Err(Error::InvalidName { .. })), "{bad:?}");
        assert!(matches!(PosixQueue::open(bad), Err(Error::InvalidName { .. })), "{bad:?}");
        assert!(matches!(PosixQueue::remove(bad), Err(Error::InvalidName { .. })), "{bad:?}");
        assert!(matches!(Key::of_name(bad), Err(Error::InvalidName { .. })), "{bad:?}");
    }
    let huge = usize::MAX;
    for (capacity, size) in [(0, 1), (1, 0), (huge, 1), (1, huge), (huge, huge), (1 << 40, 8)] {
        let posix = PosixQueue::create(&name, capacity, size);
        assert!(matches!(posix, Err(Error::OutOfRange { .. })), "{capacity} {size}: {posix:?}");
        let sysv = SysvQueue::create(key, capacity, size);
        assert!(matches!(sysv, Err(Error::OutOfRange { .. })), "{capacity} {size}: {sysv:?}");
    }
    assert!(matches!(SysvQueue::open(key, 0), Err(Error::OutOfRange { .. })));
    assert!(matches!(SysvQueue::from_id(-1, 8), Err(Error::Closed { .. })));
    assert_eq!(SysvQueue::open(Key::PRIVATE, 8).unwrap_err().errno(), Some(Errno::ENOENT));
    assert_eq!(SysvQueue::remove(Key::PRIVATE).unwrap_err().errno(), Some(Errno::ENOENT));
    assert_eq!(SysvQueue::remove(key).unwrap_err().errno(), Some(Errno::ENOENT));
    assert_eq!(PosixQueue::remove(&name).unwrap_err().errno(), Some(Errno::ENOENT));
    assert_gone(&name);
}

#[test]
fn error_names_the_machine_limit() {
    let mut peer = Peer::start("queue", "ordinary", &["-", &unique()]);
    let line = peer.line();
    assert!(line.starts_with("refused "), "{line:?}");
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn wrong_size_leaves_queue_unchanged() {
    both(|kind, _, queue| {
        let long = queue.try_put(&[1; SIZE + 1]).unwrap_err();
        let (given, most) = (SIZE as u64 + 1, SIZE as u64);
        let fits =
            matches!(long, Error::OutOfRange { given: g, most: m, .. } if (g, m) == (given, most));
        assert!(fits, "{kind}: {long}");
        let urgent = queue.send(b"", HIGHEST_PRIORITY + 1, Wait::Never);
        assert!(matches!(urgent, Err(Error::OutOfRange { .. })), "{kind}: {urgent:?}");
        assert!(queue.empty().unwrap());
        queue.put(b"stays").unwrap();
        let short = queue.receive(&mut [0; SIZE - 1], Wait::Never);
        assert!(matches!(short, Err(Error::OutOfRange { .. })), "{kind}: {short:?}");
        assert_eq!(queue.get().unwrap(), b"stays");
    });
}

#[test]
fn oversized_message_is_unusable_and_stays() {
    let queue = SysvQueue::create(Key::PRIVATE, 1, 64).unwrap();
    let narrow = SysvQueue::from_id(queue.id(), 16).unwrap();
    queue.put(&[1; 17]).unwrap();
    assert!(matches!(narrow.try_get(), Err(Error::Unusable { .. })));
    assert_eq!(queue.try_get().unwrap(), [1; 17]);
}

#[test]
fn closed_queue_leaves_peers_working() {
    both(|kind, name, queue| {
        queue.put(b"before").unwrap();
        let mut peer = Peer::start("queue", "get", &[kind, name]);
        assert_eq!(peer.line(), "ready");
        assert_eq!(peer.line(), "before after 0");
        queue.close();
        queue.close();
        assert!(matches!(queue.put(b"x"), Err(Error::Closed { .. })), "{kind}");
        assert!(matches!(queue.try_get(), Err(Error::Closed { .. })), "{kind}");
        assert!(matches!(queue.qsize(), Err(Error::Closed { .. })), "{kind}");
        assert!(matches!(queue.full(), Err(Error::Closed { .. })), "{kind}");
        // It still has its name: the creator's value lives.
        let writer = Peer::start("queue", "write", &[kind, name, "0", "1"]);
        assert_eq!(writer.finish(), Some(0), "{kind}");
    });
}

#[test]
fn sysv_removal_wakes_waiters() {
    let name = unique();
    for timeout in [&[][..], &["60"]] {
        let queue = SysvQueue::create(key(&name), CAPACITY, SIZE).unwrap();
        let mut peer = Peer::start("queue", "get", &[&["sysv", &name], timeout].concat());
        assert_eq!(peer.line(), "ready");
        wait_asleep(peer.pid());
        drop(queue);
        assert_eq!(peer.line(), "closed after 0");
    }
}

#[test]
fn unlinked_posix_queue_still_works() {
    let name = unique();
    let creator = PosixQueue::create(&name, CAPACITY, SIZE).unwrap();
    let other = PosixQueue::open(&name).unwrap();
    creator.put(b"last").unwrap();
    drop(creator);
    assert_gone(&name);
    assert_eq!(other.get().unwrap(), b"last");
}

#[test]
fn kept_queue_outlives_creator() {
    let name = unique();
    let mut queue = PosixQueue::create(&name, CAPACITY, SIZE).unwrap();
    queue.put(b"kept").unwrap();
    queue.keep();
    drop(queue);
    assert_eq!(PosixQueue::open(&name).unwrap().get().unwrap(), b"kept");
    PosixQueue::remove(&name).unwrap();

    let mut queue = SysvQueue::create(key(&name), CAPACITY, SIZE).unwrap();
    queue.put(b"kept").unwrap();
    queue.keep();
    drop(queue);
    assert_eq!(SysvQueue::open(key(&name), SIZE).unwrap().get().unwrap(), b"kept");
    SysvQueue::remove(key(&name)).unwrap();
    assert_gone(&name);
}

#[test]
fn killed_creator_object_is_listed() {
    for kind in ["posix", "sysv"] {
        let name = unique();
        let mut peer = Peer::start("queue", "abandon", &[kind, &name]);
        assert_eq!(peer.line(), "made");
        let found = || match kind {
            "posix" => PosixQueue::list(),
            _ => SysvQueue::list(),
        };
        let name_in_list = if kind == "posix" { name.clone() } else { key(&name).to_string() };
        let find = || Ok(found()?.into_iter().find(|found| found.name == name_in_list));
        let alive = match find() {
            Err(Error::System { errno: Errno::EPERM, .. }) => {
                eprintln!("SKIPPED: no /dev/mqueue, and no right to look elsewhere");
                PosixQueue::remove(&name).unwrap();
                continue;
            }
            found => found.unwrap().expect("the list has it"),
        };
        assert!(!alive.is_abandoned(), "{alive:?}");
        let users = [&alive.open_in[..], &alive.last_users].concat();
        assert_eq!(users, [peer.pid()], "{kind}");
        peer.kill();
        let left: Result<_, Error> = find();
        let left = left.unwrap().expect("the list has it");
        assert!(left.is_abandoned(), "{left:?}");
        assert_eq!((left.owner, left.bytes), (nix::unistd::geteuid().as_raw(), 6), "{kind}");
        left.remove().unwrap();
        // Twice is no error, and a successor is not hit.
        let successor = PosixQueue::create(&name, 1, 1).unwrap();
        alive.remove().unwrap();
        assert!(PosixQueue::open(&name).is_ok());
        drop(successor);
        assert_gone(&name);
    }
}

#[test]
fn list_contains_both_kinds() {
    let queue = SysvQueue::create(Key::PRIVATE, 1, 1).unwrap();
    match queue::list() {
        Err(Error::System { errno: Errno::EPERM, .. }) => eprintln!("SKIPPED: no list here"),
        list => assert!(list.unwrap().iter().any(|found| found.id == Some(queue.id()))),
    }
}

#[test]
fn poll_reports_messages_and_room() {
    let queue = PosixQueue::create(&unique(), 1, 8).unwrap();
    let ready = |flags| {
        let mut polled = [PollFd::new(queue.as_fd(), flags)];
        poll(&mut polled, PollTimeout::ZERO).unwrap() == 1
    };
    assert!(!ready(PollFlags::POLLIN) && ready(PollFlags::POLLOUT));
    queue.put(b"x").unwrap();
    assert!(ready(PollFlags::POLLIN) && !ready(PollFlags::POLLOUT));
    let flags = nix::fcntl::fcntl(&queue, nix::fcntl::FcntlArg::F_GETFD).unwrap();
    assert!(flags & libc::FD_CLOEXEC != 0, "a child started by exec would inherit the queue");
}

#[test]
fn message_to_empty_queue_is_notified() {
    let name = unique();
    let queue = PosixQueue::create(&name, CAPACITY, SIZE).unwrap();
    let mut peer = Peer::start("queue", "notified", &["posix", &name]);
    assert_eq!(peer.line(), "ready");
    for message in ["first", "second", "third"] {
        queue.put(message.as_bytes()).unwrap();
        assert_eq!(peer.line(), message);
    }
    // Messages may have come while it took others; asleep it has asked anew. There is place for one process.
    wait_asleep(peer.pid());
    let second = queue.notify(ipc::signal::Signal::USR2).unwrap_err();
    assert_eq!(second.errno(), Some(Errno::EBUSY), "{second}");
    // The wish of another process is not ours to take back; its death takes it back.
    queue.cancel_notification().unwrap();
    assert_eq!(queue.notify(ipc::signal::Signal::USR2).unwrap_err().errno(), Some(Errno::EBUSY));
    peer.kill();
    queue.notify(ipc::signal::Signal::USR2).unwrap();
    queue.cancel_notification().unwrap();
    queue.close();
    assert!(matches!(queue.notify(ipc::signal::Signal::USR2), Err(Error::Closed { .. })));
}

#[test]
fn typed_receive_selects_by_type() {
    let queue = SysvQueue::create(Key::PRIVATE, CAPACITY, SIZE).unwrap();
    for (message, kind) in [(b"a", 70_000), (b"b", 80_000), (b"c", 70_000), (b"d", 90_000)] {
        queue.send_type(message, kind, Wait::Never).unwrap();
    }
    assert!(matches!(queue.try_get(), Err(Error::WouldBlock { .. })));
    let mut buffer = [0; SIZE];
    let mut take = |select| {
        let taken = queue.receive_type(&mut buffer, select, Wait::Never);
        taken.map(|(length, kind)| (buffer[..length].to_vec(), kind))
    };
    assert_eq!(take(Select::Type(80_000)).unwrap(), (b"b".to_vec(), 80_000));
    assert!(matches!(take(Select::Type(80_000)), Err(Error::WouldBlock { .. })));
    assert_eq!(take(Select::Except(70_000)).unwrap(), (b"d".to_vec(), 90_000));
    assert_eq!(take(Select::AtMost(80_000)).unwrap(), (b"a".to_vec(), 70_000));
    assert_eq!(take(Select::Any).unwrap(), (b"c".to_vec(), 70_000));
    for bad in [0, -1] {
        assert!(matches!(queue.send_type(b"", bad, Wait::Never), Err(Error::OutOfRange { .. })));
        assert!(matches!(take(Select::Type(bad)), Err(Error::OutOfRange { .. })));
        assert!(matches!(take(Select::AtMost(bad)), Err(Error::OutOfRange { .. })));
    }
    assert_eq!(queue.status().unwrap().messages, 0);
}

#[test]
fn incomplete_sysv_queue_is_unusable() {
    let name = unique();
    // What a creator leaves that was killed between its two calls.
    // SAFETY: msgget takes two integers.
    let id = unsafe { libc::msgget(key(&name).number(), libc::IPC_CREAT) };
    assert!(id != -1);
    let incomplete = SysvQueue::open(key(&name), SIZE);
    match &incomplete {
        Err(Error::Unusable { .. }) => {}
        // Without root's rights the kernel does not even show it.
        Err(error) => assert_eq!(error.errno(), Some(Errno::EACCES)),
        Ok(_) => panic!("{incomplete:?}"),
    }
    SysvQueue::remove(key(&name)).unwrap();
}

#[test]
fn status_names_last_users() {
    let name = unique();
    let queue = SysvQueue::create(key(&name), CAPACITY, SIZE).unwrap();
    assert_eq!(queue.status().unwrap().last_sender, None);
    let mut peer = Peer::start("queue", "put", &["sysv", &name, "hello"]);
    assert_eq!(peer.line(), "ready");
    let pid = peer.pid();
    assert_eq!(peer.finish(), Some(0));
    let status = queue.status().unwrap();
    assert_eq!((status.last_sender, status.last_receiver), (Some(pid), None));
    assert_eq!((status.messages, status.bytes, status.most_bytes), (1, 5, CAPACITY * SIZE));
    assert!(status.last_sent.is_some() && status.last_received.is_none());
    queue.get().unwrap();
    let own = i32::try_from(std::process::id()).unwrap();
    assert_eq!(queue.status().unwrap().last_receiver, Some(own));
}
