use super::*;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::thread;

fn descriptor(of: &impl AsFd) -> OwnedFd {
    of.as_fd().try_clone_to_owned().unwrap()
}

#[test]
fn messages_arrive_whole_and_in_order() {
    for sleeping in [false, true] {
        let ring = Ring::create(4, 100, sleeping).unwrap();
        let mut receiver = Ring::from_fd(descriptor(&ring)).unwrap().receiver().unwrap();
        assert!(Ring::from_fd(descriptor(&ring)).unwrap().receiver().is_err(), "a second one");
        let mut sender = ring.sender().unwrap();
        let many = ManyRing::create(4, 100, sleeping).unwrap();
        let mut many_receiver = ManyRing::from_fd(descriptor(&many)).unwrap().receiver().unwrap();
        let mut many_sender = many.sender();
        let sending = thread::spawn(move || {
            for n in 0..1_000_u32 {
                sender.put(&n.to_le_bytes().repeat(25));
                many_sender.put(&n.to_le_bytes().repeat(3));
            }
        });
        let mut buffer = [0; 100];
        for n in 0..1_000_u32 {
            assert_eq!(receiver.get(&mut buffer), 100);
            assert_eq!(buffer[..], n.to_le_bytes().repeat(25));
            assert_eq!(many_receiver.get(&mut buffer), 12);
            assert_eq!(buffer[..12], n.to_le_bytes().repeat(3));
        }
        sending.join().unwrap();
    }
}

#[test]
fn memory_of_another_kind_is_refused() {
    let words = Words::create().unwrap();
    assert!(Ring::from_fd(descriptor(&words)).is_err());
    assert!(Semaphore::from_fd(descriptor(&words)).is_err());
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(Words::from_fd(file.into()).is_err());
    assert!(Ring::create(0, 1, false).is_err());
    assert!(msgsnd(-1, b"short").is_err());
}

#[test]
fn monitor_wakes_its_waiter() {
    let monitor = Monitor::create().unwrap();
    let same = Monitor::from_fd(descriptor(&monitor)).unwrap();
    let other = thread::spawn(move || {
        let mut held = same.lock();
        while held[0].load(Ordering::Relaxed) == 0 {
            held.wait();
        }
        held[1].store(5, Ordering::Relaxed);
    });
    monitor.lock()[0].store(1, Ordering::Relaxed);
    monitor.notify();
    other.join().unwrap();
    assert_eq!(monitor.lock()[1].load(Ordering::Relaxed), 5);
}
