//! Shared memory between real processes: what is refused, what is lost and what is not, and what remains.

mod common;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::namespace::isolated;
use common::trace::{Traced, Unit, kill_at_every};
use common::{Peer, wait_for};
use ipc::lock::Mutex;
use ipc::shared::ring::{Ring, RingMany, WaitStrategy};
use ipc::shared::{Array, Creator, Location, Segment, Value, list};
use ipc::{Error, Usage};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than anything takes, so that a test fails instead of hanging.
const FAIL_SAFE: Duration = Duration::from_secs(60);

fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("/ipc-shared-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn file(name: &str) -> std::path::PathBuf {
    std::path::Path::new("/dev/shm").join(name.trim_start_matches('/'))
}

fn is_used(found: &Segment) -> bool {
    matches!(found.usage, Usage::Used(_))
}

#[track_caller]
fn assert_unusable<T>(result: ipc::Result<T>, reason: &str) {
    match result {
        Err(Error::Unusable { reason: given, .. }) if given.contains(reason) => {}
        Err(error) => panic!("{error}, but not {reason:?}"),
        Ok(_) => panic!("was accepted"),
    }
}

/// At all locations: the name, the descriptor and the number reach another process.
#[test]
fn value_is_shared_at_every_location() {
    let posix = Value::create(name(), 5_u64).unwrap();
    let memfd = Value::create(Location::Memfd("value".into()), 5_u64).unwrap();
    let system_v = Value::create(Location::SystemV(0), 5_u64).unwrap();
    for value in [posix, memfd, system_v] {
        let peer = Peer::start("shared", "add", &[&value.memory().address(), "1000"]);
        assert_eq!(peer.finish(), Some(0));
        assert_eq!(value.get(), 1005, "{}", value.memory().name());
    }
}

#[test]
fn system_v_segment_is_found_by_key() {
    let key = std::process::id().cast_signed() | 0x1000_0000;
    let made = Array::<i16>::create(Location::SystemV(key), 3).unwrap();
    made[2].set(-7);
    assert_eq!(Array::<i16>::open(Location::SystemV(key)).unwrap()[2].get(), -7);
    let again = Array::<i16>::create(Location::SystemV(key), 3).map(drop).unwrap_err();
    assert_eq!(again.errno(), Some(Errno::EEXIST));
    let of_this = |segment: &Segment| segment.name == made.memory().address();
    let find = || list().unwrap().into_iter().find(of_this).unwrap();
    // A child that another test has just forked has it attached, too, until it executes its program.
    let found = wait_for(|| Some(find()).filter(|found| found.attached == Some(1)));
    assert!(!found.stale, "{found:?}");
    drop(made);
    let gone = Array::<i16>::open(Location::SystemV(key)).map(drop).unwrap_err();
    assert_eq!(gone.errno(), Some(Errno::ENOENT));
}

#[test]
fn every_scalar_keeps_its_value() {
    macro_rules! keeps {
        ($($type:ty: $values:expr;)*) => {$(
            let value = Value::<$type>::create(Location::Memfd(stringify!($type).into()), $values[0]).unwrap();
            for next in $values {
                value.set(next);
                assert_eq!(value.get(), next);
                assert_eq!(value.swap($values[0]), next);
                assert_eq!(value.compare_exchange($values[0], next), Ok($values[0]));
                assert_eq!(value.fetch_update(|_| $values[0]), next);
            }
        )*};
    }
    keeps! {
        u8: [0, u8::MAX]; i8: [0, i8::MIN]; u16: [0, u16::MAX]; i16: [0, i16::MIN];
        u32: [0, u32::MAX]; i32: [0, i32::MIN]; u64: [0, u64::MAX]; i64: [0, i64::MIN];
        usize: [0, usize::MAX]; isize: [0, isize::MIN]; bool: [false, true];
        f32: [0.0, f32::MIN_POSITIVE]; f64: [0.0, -1.5e300];
    }
}

#[test]
fn fetch_add_loses_no_update() {
    let value = Value::create(name(), 0_u64).unwrap();
    let address = value.memory().address();
    let mut peers = [(); 2].map(|()| Peer::start("shared", "add_in_two_steps", &[&address]));
    // Both have read zero before either writes.
    for peer in &mut peers {
        assert_eq!(peer.line(), "read");
    }
    for mut peer in peers {
        peer.write_line("go on");
        assert_eq!(peer.finish(), Some(0));
    }
    assert_eq!(value.get(), 1, "two additions, one of them lost");

    let peers = [(); 4].map(|()| Peer::start("shared", "add", &[&address, "10000"]));
    for peer in peers {
        assert_eq!(peer.finish(), Some(0));
    }
    assert_eq!(value.get(), 40_001);
}

#[test]
fn name_has_one_creator_and_goes() {
    let name = name();
    let value = Value::create(&name, 1_u8).unwrap();
    let error = Value::create(&name, 2_u8).map(drop).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EEXIST), "{error}");
    let same = Value::<u8>::open(&name).unwrap();
    assert_eq!(same.get(), 1, "the second creator changed nothing");
    drop(value);
    assert!(!file(&name).exists());
    assert_eq!(same.get(), 1, "a mapping outlives the name");
    let error = Value::<u8>::open(&name).map(drop).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOENT), "{error}");
}

/// The creator of an object does not remove a later one of the same name.
#[test]
fn successor_of_same_name_is_kept() {
    let name = name();
    let first = Value::create(&name, 1_u8).unwrap();
    std::fs::remove_file(file(&name)).unwrap();
    let second = Value::create(&name, 2_u8).unwrap();
    drop(first);
    assert_eq!(Value::<u8>::open(&name).unwrap().get(), 2);
    drop(second);
    assert!(!file(&name).exists());
}

#[test]
fn bad_names_and_sizes_are_refused() {
    for bad in ["", "/", "a/b", "/..", "a\0b"] {
        assert!(matches!(Value::create(bad, 0_u8), Err(Error::InvalidName { .. })), "{bad:?}");
        assert!(matches!(Value::<u8>::open(bad), Err(Error::InvalidName { .. })), "{bad:?}");
    }
    let refused = |error: Option<Error>| assert!(matches!(error, Some(Error::OutOfRange { .. })));
    refused(Array::<u8>::create(name(), 0).err());
    refused(Array::<u64>::create(name(), usize::MAX).err());
    refused(Ring::create(name(), 0, WaitStrategy::Sleep).err());
    refused(Ring::create(name(), usize::MAX, WaitStrategy::Sleep).err());
    refused(RingMany::create(name(), 0, 1, WaitStrategy::Sleep).err());
    refused(RingMany::create(name(), 1, 0, WaitStrategy::Sleep).err());
    for location in [Location::SystemV(0), Location::Memfd("not found by its name".into())] {
        assert!(matches!(Value::<u8>::open(location), Err(Error::InvalidName { .. })));
    }
    assert!("sysv:x".parse::<Location>().is_err());
    // More than a machine has: refused by the kernel, and nothing remains.
    let name = name();
    assert!(Array::<u64>::create(&name, 1 << 48).is_err());
    assert!(!file(&name).exists());
}

#[test]
fn invalid_segment_is_refused_and_unchanged() {
    let name = name();
    let path = file(&name);
    let open = || Value::<u64>::open(&name).map(drop);
    let refused = |reason: &str| {
        let before = std::fs::read(&path).unwrap();
        assert_unusable(open(), reason);
        assert_eq!(std::fs::read(&path).unwrap(), before, "{reason}: it was changed");
    };

    std::fs::write(&path, b"").unwrap();
    refused("less than a header");
    std::fs::write(&path, [0; 127]).unwrap();
    refused("less than a header");
    std::fs::write(&path, [0; 4096]).unwrap();
    refused("not made by this library");
    std::fs::write(&path, [0xff; 4096]).unwrap();
    refused("not made by this library");
    std::fs::remove_file(&path).unwrap();

    let value = Value::create(&name, 7_u64).unwrap();
    open().unwrap();
    assert_unusable(Value::<i64>::open(&name), "value of u64");
    assert_unusable(Array::<u64>::open(&name), "value of u64");
    assert_unusable(Ring::open(&name), "value of u64");
    // Bytes of the header, as the segment's layout has them.
    let header = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let with = |at: u64, bytes: &[u8], reason: &str| {
        let mut before = vec![0; bytes.len()];
        header.read_exact_at(&mut before, at).unwrap();
        header.write_all_at(bytes, at).unwrap();
        refused(reason);
        header.write_all_at(&before, at).unwrap();
        open().unwrap();
    };
    with(0, b"X", "not made by this library");
    with(8, &[9], "version 9");
    with(12, &[0], "not complete");
    with(16, &[1], "was made with");
    with(24, &[0xff, 0xff, 0x3f], "stale"); // a process of that number never ran at that time
    header.set_len(4096).unwrap();
    refused("was made with");
    header.set_len(130).unwrap();
    refused("was made with");
    header.set_len(136).unwrap();
    value.set(8);
    open().unwrap();
}

#[test]
fn impossible_facts_are_refused() {
    let name = name();
    let array = Array::<u8>::create(&name, 100).unwrap();
    let header = OpenOptions::new().write(true).open(file(&name)).unwrap();
    header.write_all_at(&u64::MAX.to_le_bytes(), 56).unwrap();
    assert_unusable(Array::<u8>::open(&name), "smaller than");
    drop(array);

    let ring = Ring::create(&name, 4096, WaitStrategy::Sleep).unwrap();
    let header = OpenOptions::new().write(true).open(file(&name)).unwrap();
    for capacity in [0, 4095, 8192, 1 << 40] {
        header.write_all_at(&u64::to_le_bytes(capacity), 56).unwrap();
        assert!(matches!(Ring::open(&name), Err(Error::Unusable { .. })), "{capacity}");
    }
    drop(ring);

    let ring = RingMany::create(&name, 4, 100, WaitStrategy::Sleep).unwrap();
    let header = OpenOptions::new().write(true).open(file(&name)).unwrap();
    for (slots, longest) in [(3, 100), (8, 100), (4, 1 << 20), (1 << 60, 1 << 60)] {
        header.write_all_at(&u64::to_le_bytes(slots), 56).unwrap();
        header.write_all_at(&u64::to_le_bytes(longest), 64).unwrap();
        assert!(matches!(RingMany::open(&name), Err(Error::Unusable { .. })), "{slots} {longest}");
    }
    drop(ring);
}

#[test]
fn memfd_cannot_be_shrunk() {
    let value = Value::create(Location::Memfd("sealed".into()), 1_u64).unwrap();
    let descriptor = value.memory().descriptor().unwrap().try_clone_to_owned().unwrap();
    let error = File::from(descriptor).set_len(0).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    assert_eq!(value.get(), 1);
    // A descriptor of something else.
    let (reader, _writer) = std::io::pipe().unwrap();
    assert_unusable(Value::<u64>::open(std::os::fd::OwnedFd::from(reader)), "no memory");
}

#[test]
fn segment_of_dead_creator_is_removable() {
    for (location, holds) in [(name(), "value of u32"), ("system v".to_owned(), "")] {
        let mut peer = Peer::start("shared", "abandon", &[&location]);
        let address = peer.line();
        let find = || list().unwrap().into_iter().find(|found| found.name == address);
        let found = find().unwrap();
        assert!(!found.stale && is_used(&found), "{found:?}");
        assert_eq!(found.creator, Creator::Alive(peer.pid()));
        assert_eq!(found.holds, holds);
        Value::<u32>::open(address.parse::<Location>().unwrap()).unwrap();

        peer.kill();
        // Another process that looks at the maps of the killed one delays the end of those.
        let found = wait_for(|| Some(find().expect("the name stays")).filter(|it| !is_used(it)));
        assert!(found.stale && !is_used(&found), "{found:?}");
        assert_eq!(found.creator, Creator::Gone(peer.pid()));
        assert_unusable(Value::<u32>::open(address.parse::<Location>().unwrap()), "stale");
        found.remove().unwrap();
        assert!(find().is_none());
        let gone = found.remove().unwrap_err().errno();
        assert!(matches!(gone, Some(Errno::ENOENT | Errno::EINVAL | Errno::EIDRM)), "{gone:?}");
    }
}

/// Kills a peer at every system call of `create NAME`. Afterwards there is no name, or a whole object, which is found; and
/// `create` succeeds. Returns how many kills left a whole object.
fn kill_inside_create(role: &str, name: &str, mut check: impl FnMut(&str)) -> Option<usize> {
    let mut left = 0;
    let start = || Traced::start_at_mark("shared", role, &[name]);
    let kills = kill_at_every(Unit::Call, start, |place| {
        if file(name).exists() {
            left += 1;
            let found = list().unwrap().into_iter().find(|found| found.name == name);
            let found = found.unwrap_or_else(|| panic!("{place}: nobody finds it"));
            assert!(matches!(found.creator, Creator::Gone(_)), "{place}: {found:?}");
            assert_eq!(found.holds, "value of u32", "{place}");
            assert_unusable(Value::<u32>::open(name), "stale");
        }
        // Another process that looks at the maps of the killed one delays the end of those.
        let value = wait_for(|| match Value::create(name, 1_u8) {
            Err(error) if error.errno() == Some(Errno::EEXIST) => None,
            value => Some(value.unwrap_or_else(|error| panic!("{place}: {error}"))),
        });
        assert_eq!(Value::<u8>::open(name).unwrap().get(), 1, "{place}");
        drop(value);
        assert!(!file(name).exists(), "{place}");
        check(place);
    });
    (kills > 0).then(|| {
        assert!(left > 0 && left < kills, "{left} of {kills} kills left an object");
        left
    })
}

#[test]
fn kill_inside_create_leaves_no_half() {
    isolated("kill_inside_create_leaves_no_half", false, || {
        kill_inside_create("create", &name(), |place| {
            assert_eq!(std::fs::read_dir("/dev/shm").unwrap().count(), 0, "{place}");
        });
    });
}

/// A file that cannot be made without a name has a temporary one, which is found.
#[test]
fn half_made_file_is_listed() {
    isolated("half_made_file_is_listed", false, || {
        let mut half_made = 0;
        kill_inside_create("create_without_tmpfile", &name(), |place| {
            let files = || std::fs::read_dir("/dev/shm").unwrap().count();
            if files() == 0 {
                return;
            }
            half_made += 1;
            // The memory of a process that was killed stays while another one reads its map in /proc.
            let found = wait_for(|| list().unwrap().pop().filter(|found| found.stale));
            assert_eq!(found.holds, "something half-made", "{place}");
            found.remove().unwrap();
            assert_eq!(files(), 0, "{place}");
        })
        .inspect(|_| assert_ne!(half_made, 0, "no kill came between the two names"));
    });
}

/// The name is given through /proc, or, by a newer kernel, without.
#[test]
fn create_without_proc_works_or_explains() {
    isolated("create_without_proc_works_or_explains", false, || {
        let none = None::<&str>;
        nix::mount::mount(none, "/proc", Some("tmpfs"), nix::mount::MsFlags::empty(), none)
            .unwrap();
        let name = name();
        match Value::create(&name, 1_u8) {
            Ok(value) => {
                assert_eq!(Value::<u8>::open(&name).unwrap().get(), 1);
                assert!(Value::create(&name, 2_u8).is_err());
                drop(value);
            }
            Err(error) => assert!(error.to_string().contains("mount it"), "{error}"),
        }
        assert_eq!(std::fs::read_dir("/dev/shm").unwrap().count(), 0);
    });
}

#[test]
fn kill_inside_create_frees_the_key() {
    let key = std::process::id().cast_signed() | 0x2000_0000;
    let address = key.to_string();
    let start = || Traced::start_at_mark("shared", "create", &["system v", &address]);
    let (mut half_made, mut stale) = (0, 0);
    let kills = kill_at_every(Unit::Call, start, |place| {
        match Value::<u32>::open(Location::SystemV(key)) {
            Err(Error::Unusable { reason, .. }) if reason.contains("not complete") => {
                assert!(reason.contains("replaces it"), "{place}: {reason}");
                half_made += 1;
            }
            Err(Error::Unusable { reason, .. }) if reason.contains("stale") => stale += 1,
            Err(error) if error.errno() == Some(Errno::ENOENT) => {}
            other => panic!("{place}: {:?}", other.map(drop)),
        }
        let value = wait_for(|| match Value::create(Location::SystemV(key), 1_u8) {
            Err(error) if error.errno() == Some(Errno::EEXIST) => None,
            value => Some(value.unwrap_or_else(|error| panic!("{place}: {error}"))),
        });
        assert_eq!(Value::<u8>::open(Location::SystemV(key)).unwrap().get(), 1, "{place}");
        drop(value);
    });
    assert!(kills == 0 || half_made > 0 && stale > 0, "{half_made}, {stale} of {kills}");
}

/// A segment that a living process has is not taken for one left behind, whoever made it.
#[test]
fn mapped_segment_of_dead_creator_stays() {
    let name = name();
    let mut creator = Peer::start("shared", "abandon", &[&name]);
    creator.line();
    let user = Value::<u32>::open(&name).unwrap();
    creator.kill();
    let found = list().unwrap().into_iter().find(|found| found.name == name).unwrap();
    assert!(is_used(&found) && !found.stale, "{found:?}");
    let taken = Value::create(&name, 2_u32).map(drop).unwrap_err();
    assert_eq!(taken.errno(), Some(Errno::EEXIST));
    assert_eq!(user.get(), 1);
    drop(user);
    let value = wait_for(|| Value::create(&name, 2_u32).ok());
    assert_eq!(Value::<u32>::open(&name).unwrap().get(), 2);
    drop(value);
    assert!(!file(&name).exists());
}

#[test]
fn stale_name_has_one_new_creator() {
    const ROUNDS: usize = 200;
    let name = name();
    // An object of a process that is gone: the bytes of one that was killed.
    let mut dead = Peer::start("shared", "abandon", &[&name]);
    dead.line();
    dead.kill();
    let stale = std::fs::read(file(&name)).unwrap();
    let mut peers = [(); 4].map(|()| Peer::start("shared", "race", &[&name]));
    for round in 0..ROUNDS {
        let path = file(&name);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, &stale).unwrap();
        for peer in &mut peers {
            peer.write_line("make it");
        }
        let said: Vec<String> = peers.iter_mut().map(Peer::line).collect();
        let made = said.iter().filter(|line| *line == "made").count();
        assert_eq!(made, 1, "round {round}: {said:?}");
        assert!(said.iter().all(|line| line == "made" || line.contains("EEXIST")), "{said:?}");
        assert_eq!(Value::<u32>::open(&name).unwrap().get(), 1, "round {round}");
        for peer in &mut peers {
            peer.write_line("drop it");
            assert_eq!(peer.line(), "dropped");
        }
        assert!(!path.exists(), "round {round}");
    }
}

#[test]
fn drop_removes_name_without_descriptors() {
    for role in ["drop_without_descriptors", "drop_under_umask"] {
        let name = name();
        assert_eq!(Peer::start("shared", role, &[&name]).finish(), Some(0), "{role}");
        let left = file(&name).exists();
        let _ = std::fs::remove_file(file(&name));
        assert!(!left, "{role} left its name");
    }
}

#[test]
fn other_pid_namespace_is_told_apart() {
    let name = name();
    let mut inside = Peer::start("shared", "in_pid_namespace", &["abandon", &name]);
    if inside.line() == "refused" {
        eprintln!("SKIPPED: this user may not make a pid namespace");
        return;
    }
    let find = || list().unwrap().into_iter().find(|found| found.name == name).unwrap();
    let found = find();
    assert_eq!((found.creator, found.stale), (Creator::OtherNamespace, false), "{found:?}");
    assert!(is_used(&found), "{found:?}");
    assert_eq!(Value::<u32>::open(&name).unwrap().get(), 1);

    let task = format!("/proc/{0}/task/{0}/children", inside.pid());
    let child = std::fs::read_to_string(task).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
    let found = wait_for(|| Some(find()).filter(|found| !is_used(found)));
    assert_eq!((found.creator, found.stale), (Creator::OtherNamespace, false), "{found:?}");
    assert_eq!(Value::<u32>::open(&name).unwrap().get(), 1);
    let taken = Value::create(&name, 2_u32).map(drop).unwrap_err();
    assert_eq!(taken.errno(), Some(Errno::EEXIST));
    // It came into use since the list.
    let user = Value::<u32>::open(&name).unwrap();
    let usage = found.remove_unused().unwrap();
    assert!(matches!(usage, Usage::Used(_)), "{usage:?}");
    drop(user);
    found.remove().unwrap();

    let value = Value::create(&name, 5_u64).unwrap();
    let add = Peer::start("shared", "in_pid_namespace", &["add", &name, "1000"]);
    assert_eq!(add.finish(), Some(0));
    assert_eq!(value.get(), 1005);
    let ring = Ring::create(self::name(), 4096, WaitStrategy::Sleep).unwrap();
    let address = ring.memory().address();
    let mut ends = Peer::start("shared", "in_pid_namespace", &["ends", &address]);
    for _ in 0..2 {
        let refused = ends.line();
        assert!(refused.contains("pid namespace"), "{refused}");
    }
    assert_eq!(ends.finish(), Some(0));
    ring.receiver().unwrap();
    let mutex = Mutex::<u32>::create(self::name(), 1).unwrap();
    let address = mutex.memory().address();
    let mut opener = Peer::start("shared", "in_pid_namespace", &["open_mutex", &address]);
    let refused = opener.line();
    assert!(refused.contains("pid namespace"), "{refused}");
    assert_eq!(opener.finish(), Some(0));
}

#[test]
fn ring_delivers_every_length_in_order() {
    for wait in [WaitStrategy::Sleep, WaitStrategy::Spin] {
        let ring = Ring::create(name(), 1024, wait).unwrap();
        let mut receiver = ring.receiver().unwrap();
        let address = ring.memory().address();
        let peer = Peer::start("shared", "put", &[&address, "100000", "3"]);
        let mut message = Vec::new();
        for count in 0..100_000 {
            receiver.get_timeout(&mut message, FAIL_SAFE).unwrap();
            assert_eq!(message, expected(3, count), "message {count}");
        }
        assert!(matches!(receiver.get(&mut message), Err(Error::Closed { .. })));
        assert_eq!(peer.finish(), Some(0));
    }
}

#[test]
fn ring_fills_and_drains_at_every_position() {
    let ring = Ring::create(name(), 100, WaitStrategy::Sleep).unwrap();
    assert_eq!((ring.capacity(), ring.longest()), (128, 56));
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let too_long = sender.put(&[0; 57]).unwrap_err();
    assert!(matches!(too_long, Error::OutOfRange { given: 57, most: 56, .. }), "{too_long}");
    let mut message = Vec::new();
    for round in 0..1000_usize {
        // The longest one always fits into an empty ring.
        sender.try_put(&[round as u8; 56]).unwrap();
        receiver.try_get(&mut message).unwrap();
        assert_eq!(message, [round as u8; 56]);
        let mut put = 0;
        while sender.try_put(&vec![put as u8; (round + put) % 30]).is_ok() {
            put += 1;
        }
        assert!(put >= 2);
        let full = sender.try_put(&[0; 56]).unwrap_err();
        assert!(matches!(full, Error::WouldBlock { .. }));
        for at in 0..put {
            receiver.try_get(&mut message).unwrap();
            assert_eq!(message, vec![at as u8; (round + at) % 30]);
        }
        let empty = receiver.try_get(&mut message).unwrap_err();
        assert!(matches!(empty, Error::WouldBlock { .. }));
    }
    // As many as fit, at once.
    let batch = vec![[7_u8; 20]; 10];
    let put = sender.put_batch(&batch).unwrap();
    assert!((2..10).contains(&put));
    for _ in 0..put {
        receiver.try_get(&mut message).unwrap();
        assert_eq!(message, [7; 20]);
    }
    assert!(receiver.try_get(&mut message).is_err());
}

#[test]
fn full_or_empty_ring_times_out() {
    const SHORT: Duration = Duration::from_millis(30);
    for wait in [WaitStrategy::Sleep, WaitStrategy::Spin] {
        let ring = Ring::create(name(), 64, wait).unwrap();
        let many = RingMany::create(name(), 2, 8, wait).unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let (mut one, mut all) = (many.sender().unwrap(), many.receiver().unwrap());
        while sender.try_put(b"12345678").is_ok() {}
        while one.try_put(b"12345678").is_ok() {}
        let mut message = Vec::new();
        let times_out = |call: &mut dyn FnMut() -> ipc::Result<()>| {
            let start = Instant::now();
            assert!(matches!(call(), Err(Error::TimedOut { .. })));
            assert!(start.elapsed() >= SHORT);
        };
        times_out(&mut || sender.put_timeout(b"12345678", SHORT));
        times_out(&mut || one.put_timeout(b"12345678", SHORT));
        while receiver.try_get(&mut message).is_ok() {}
        while all.try_get(&mut message).is_ok() {}
        times_out(&mut || receiver.get_timeout(&mut message, SHORT));
        times_out(&mut || all.get_timeout(&mut message, SHORT));
    }
}

#[test]
fn ring_end_of_dead_owner_is_reusable() {
    let ring = Ring::create(name(), 4096, WaitStrategy::Sleep).unwrap();
    let mut peer = Peer::start("shared", "get", &[&ring.memory().address(), "0"]);
    assert_eq!(peer.line(), "here");
    assert_unusable(ring.receiver(), &format!("process {}", peer.pid()));
    let mut sender = ring.sender().unwrap();
    assert_unusable(ring.sender(), "is its sender");
    sender.put(b"for the next").unwrap();
    peer.kill();
    let mut message = Vec::new();
    let mut receiver = ring.receiver().unwrap();
    receiver.try_get(&mut message).unwrap();
    assert_eq!(message, b"for the next");
    drop(receiver);
    assert!(matches!(sender.put(b"x"), Err(Error::Closed { .. })));
    drop(sender);
    ring.sender().unwrap();
}

#[test]
fn death_of_peer_ends_waiting() {
    let ring = Ring::create(name(), 64, WaitStrategy::Sleep).unwrap();
    let mut peer = Peer::start("shared", "get", &[&ring.memory().address(), "0"]);
    assert_eq!(peer.line(), "here");
    let mut sender = ring.sender().unwrap();
    while sender.try_put(b"12345678").is_ok() {}
    peer.kill();
    assert!(matches!(sender.put(b"12345678"), Err(Error::Closed { .. })));
}

#[test]
fn unpublished_message_of_dead_sender_is_unseen() {
    let ring = Ring::create(name(), 4096, WaitStrategy::Sleep).unwrap();
    let address = ring.memory().address();
    let mut peer = Peer::start("shared", "tear", &[&address]);
    assert_eq!(peer.line(), "in the middle");
    let mut receiver = ring.receiver().unwrap();
    let mut message = Vec::new();
    receiver.get(&mut message).unwrap();
    assert_eq!(message, b"whole");
    let waits = receiver.try_get(&mut message);
    assert!(matches!(waits, Err(Error::WouldBlock { .. })), "it lives, and may finish");
    peer.kill();
    assert!(matches!(receiver.get(&mut message), Err(Error::Closed { .. })));

    let mut peer = Peer::start("shared", "put", &[&address, "1000", "1"]);
    assert_eq!(peer.line(), "here");
    for count in 0..1000 {
        receiver.get_timeout(&mut message, FAIL_SAFE).unwrap();
        assert_eq!(message, expected(1, count));
    }
    assert!(matches!(receiver.get(&mut message), Err(Error::Closed { .. })));
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn torn_message_of_dead_sender_is_skipped() {
    for wait in [WaitStrategy::Sleep, WaitStrategy::Spin] {
        let ring = RingMany::create(name(), 8, 112, wait).unwrap();
        let mut receiver = ring.receiver().unwrap();
        let address = ring.memory().address();
        let mut torn = Peer::start("shared", "tear_many", &[&address]);
        assert_eq!(torn.line(), "in the middle");
        // Behind the torn one, from another process.
        let mut other = Peer::start("shared", "put_many", &[&address, "1000", "2"]);
        assert_eq!(other.line(), "here");
        let mut message = Vec::new();
        receiver.get(&mut message).unwrap();
        assert_eq!(message, b"whole");
        let wait = receiver.get_timeout(&mut message, Duration::from_millis(50));
        assert!(matches!(wait, Err(Error::TimedOut { .. })), "it lives, and may finish");
        assert_eq!(receiver.torn(), 0);
        torn.kill();
        for count in 0..1000 {
            receiver.get_timeout(&mut message, FAIL_SAFE).unwrap();
            assert_eq!(message, expected(2, count));
        }
        assert_eq!(receiver.torn(), 1);
        assert_eq!(other.finish(), Some(0));
        // The word of the dead sender is free for others.
        let senders: Vec<_> = (0..64).map(|_| ring.sender().unwrap()).collect();
        assert!(matches!(ring.sender(), Err(Error::WouldBlock { .. })));
        drop(senders);
        assert!(matches!(receiver.get(&mut message), Err(Error::Closed { .. })));
    }
}

#[test]
fn changed_bytes_are_not_delivered() {
    let name = name();
    let ring = RingMany::create(&name, 8, 100, WaitStrategy::Sleep).unwrap();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    for message in [b"the first message ", b"the second message", b"the third message "] {
        sender.put(message).unwrap();
    }
    let bytes = std::fs::read(file(&name)).unwrap();
    let at = bytes.windows(10).position(|window| window == b"the second").unwrap() as u64;
    let memory = OpenOptions::new().write(true).open(file(&name)).unwrap();
    memory.write_all_at(b"T", at).unwrap();
    let mut message = Vec::new();
    receiver.get(&mut message).unwrap();
    assert_eq!(message, b"the first message ");
    receiver.get(&mut message).unwrap();
    assert_eq!(message, b"the third message ");
    assert_eq!(receiver.torn(), 1);
    // A length that cannot be.
    sender.put(b"the fourth message").unwrap();
    memory.write_all_at(&u64::MAX.to_le_bytes(), at + 128 * 2 - 16).unwrap();
    sender.put(b"the fifth message ").unwrap();
    receiver.get(&mut message).unwrap();
    assert_eq!(message, b"the fifth message ");
    assert_eq!(receiver.torn(), 2);
}

#[test]
fn corrupt_ring_is_an_error() {
    let name = name();
    let ring = Ring::create(&name, 4096, WaitStrategy::Sleep).unwrap();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    sender.put(b"message").unwrap();
    let bytes = std::fs::read(file(&name)).unwrap();
    let at = bytes.windows(7).position(|window| window == b"message").unwrap() as u64 - 8;
    let memory = OpenOptions::new().write(true).open(file(&name)).unwrap();
    for word in [1_u64, 0xbfff_ffff, 0x8000_0fff, 0xffff_ffff_8000_0007] {
        memory.write_all_at(&word.to_le_bytes(), at).unwrap();
        assert_unusable(receiver.try_get(&mut Vec::new()), "not put there");
    }
}

#[test]
fn four_senders_lose_no_message() {
    for wait in [WaitStrategy::Sleep, WaitStrategy::Spin] {
        let ring = RingMany::create(name(), 64, 112, wait).unwrap();
        let mut receiver = ring.receiver().unwrap();
        let address = ring.memory().address();
        let numbers: Vec<String> = (0..4).map(|number| number.to_string()).collect();
        let mut peers: Vec<_> = numbers
            .iter()
            .map(|number| Peer::start("shared", "put_many", &[&address, "25000", number]))
            .collect();
        for peer in &mut peers {
            assert_eq!(peer.line(), "here");
        }
        let mut next = HashMap::from([(0, 0), (1, 0), (2, 0), (3, 0)]);
        let mut message = Vec::new();
        for _ in 0..100_000 {
            receiver.get_timeout(&mut message, FAIL_SAFE).unwrap();
            let sender = u64::from_le_bytes(message[..8].try_into().unwrap());
            let count = next.get_mut(&sender).unwrap();
            assert_eq!(message, expected(sender, *count));
            *count += 1;
        }
        assert!(next.values().all(|&count| count == 25_000));
        assert!(matches!(receiver.get(&mut message), Err(Error::Closed { .. })));
        assert_eq!(receiver.torn(), 0);
        for peer in peers {
            assert_eq!(peer.finish(), Some(0));
        }
    }
}

/// What the peer's `put` sends.
fn expected(sender: u64, count: u64) -> Vec<u8> {
    let mut message = [sender.to_le_bytes(), count.to_le_bytes()].concat();
    let length = (sender * 31 + count) % 96;
    message.extend((0..length).map(|at| (sender + count + at) as u8));
    message
}
