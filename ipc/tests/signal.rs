//! Signals, sent to processes of their own: those of the tests' process would reach any of its threads.

mod common;

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Peer, TEST_TIMEOUT};
use ipc::Error;
use ipc::signal::{
    Blocked, Handler, PidFd, Signal, SignalFd, Signals, default, ignore, queue, send, send_group,
};

fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

#[test]
fn signal_before_pause_is_not_lost() {
    let mut peer = Peer::start("signal", "race", &[]);
    assert_eq!(peer.line(), "checked 0");
    send(peer.pid(), Signal::USR1).unwrap();
    // It has arrived, and waits: the peer has not reached its pause.
    let status = fs::read_to_string(format!("/proc/{}/status", peer.pid())).unwrap();
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
    assert_eq!(u64::from_str_radix(pending.trim(), 16).unwrap(), 1 << (libc::SIGUSR1 - 1));
    peer.write_line("go on");
    assert_eq!(peer.line(), "woken 1");
    assert_eq!(peer.line(), "still 1, pending {SIGUSR1}");
    assert_eq!(peer.line(), "then 2");
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn pause_with_timeout_times_out() {
    let mut peer = Peer::start("signal", "pause", &[]);
    assert!(peer.line().starts_with("SIGUSR1: nothing came within 20ms; "));
    send(peer.pid(), Signal::USR1).unwrap();
    assert_eq!(peer.line(), "woken 1");
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn standard_signals_merge_realtime_signals_queue() {
    let mut peer = Peer::start("signal", "read", &[]);
    assert_eq!(peer.line(), "ready");
    let (pid, uid) = (peer.pid(), nix::unistd::getuid());
    for value in [7, -8, i32::MAX] {
        queue(pid, Signal::realtime(3).unwrap(), value).unwrap();
    }
    queue(pid, Signal::realtime(0).unwrap(), 1).unwrap();
    for _ in 0..10 {
        send(pid, Signal::USR1).unwrap();
    }
    peer.write_line("read");
    let sender = format!("Some(Sender {{ pid: {}, uid: {uid} }})", own_pid());
    assert_eq!(peer.line(), format!("SIGUSR1 Sent {sender} None"));
    assert_eq!(peer.line(), format!("SIGRTMIN+0 Queued {sender} Some(1)"));
    for value in [7, -8, i32::MAX] {
        assert_eq!(peer.line(), format!("SIGRTMIN+3 Queued {sender} Some({value})"));
    }
    assert_eq!(peer.line(), "done");
    assert_eq!(peer.line(), "true");
    assert_eq!(peer.line(), "Child true");
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn pidfd_delivers_signal_with_value() {
    let mut peer = Peer::start("signal", "descriptor", &[]);
    assert_eq!(peer.line(), "ready");
    let pidfd = PidFd::open(peer.pid()).unwrap();
    let signal = Signal::realtime(1).unwrap();
    pidfd.queue(signal, -5).unwrap();
    pidfd.send(signal).unwrap();
    queue(pidfd.pid(), signal, 6).unwrap();
    let uid = nix::unistd::getuid();
    let sender = format!("Some(Sender {{ pid: {}, uid: {uid} }})", own_pid());
    assert_eq!(peer.line(), format!("SIGRTMIN+1 Queued {sender} Some(-5)"));
    assert_eq!(peer.line(), format!("SIGRTMIN+1 Sent {sender} None"));
    assert_eq!(peer.line(), format!("SIGRTMIN+1 Queued {sender} Some(6)"));
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn pidfd_of_ended_process_is_closed() {
    let mut peer = Peer::start("signal", "wait", &[]);
    assert_eq!(peer.line(), "ready");
    let pidfd = PidFd::open(peer.pid()).unwrap();
    let late = pidfd.wait_end(Duration::from_millis(10)).unwrap_err();
    assert!(matches!(late, Error::TimedOut { .. }), "{late}");
    peer.kill();
    pidfd.wait_end(TEST_TIMEOUT).unwrap();
    let error = pidfd.send(Signal::TERM).unwrap_err();
    assert!(matches!(&error, Error::Closed { object } if object.contains("process")), "{error}");
    assert!(matches!(pidfd.queue(Signal::USR1, 1), Err(Error::Closed { .. })));
}

#[test]
fn send_to_invalid_pid_is_refused() {
    for pid in [0, -1, i32::MIN] {
        assert!(matches!(send(pid, Signal::TERM), Err(Error::InvalidName { .. })));
        assert!(matches!(queue(pid, Signal::TERM, 1), Err(Error::InvalidName { .. })));
        assert!(matches!(PidFd::open(pid), Err(Error::InvalidName { .. })));
        assert!(matches!(send_group(pid, Signal::TERM), Err(Error::InvalidName { .. })));
    }
    assert!(matches!(send_group(1, Signal::TERM), Err(Error::InvalidName { .. })));
    // Above the largest pid that Linux gives out (2^22).
    let nobody = 1 << 23;
    assert!(matches!(send(nobody, Signal::TERM), Err(Error::Closed { .. })));
    assert!(matches!(PidFd::open(nobody), Err(Error::Closed { .. } | Error::System { .. })));
    assert!(matches!(send_group(nobody, Signal::TERM), Err(Error::Closed { .. })));
}

#[test]
fn send_group_reaches_every_member() {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    let cat = |group| {
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped()).process_group(group).spawn().unwrap()
    };
    let mut leader = cat(0);
    let group = leader.id().cast_signed();
    let mut member = cat(group);
    send_group(group, Signal::TERM).unwrap();
    assert_eq!(leader.wait().unwrap().signal(), Some(libc::SIGTERM));
    assert_eq!(member.wait().unwrap().signal(), Some(libc::SIGTERM));
}

#[test]
fn unchangeable_signals_are_refused() {
    for signal in [Signal::KILL, Signal::STOP] {
        assert!(matches!(Handler::new(signal), Err(Error::InvalidName { .. })));
        assert!(matches!(Handler::interrupting(signal), Err(Error::InvalidName { .. })));
        assert!(matches!(ignore(signal), Err(Error::InvalidName { .. })));
        assert!(matches!(default(signal), Err(Error::InvalidName { .. })));
        assert!(matches!(Blocked::new([signal, Signal::URG]), Err(Error::InvalidName { .. })));
        let error = SignalFd::new([signal]).unwrap_err();
        assert!(error.to_string().contains(&signal.to_string()), "{error}");
    }
    for number in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
        let signal = Signal::new(number).unwrap();
        assert!(matches!(Handler::new(signal), Err(Error::InvalidName { .. })));
    }
    // A refusal takes nothing.
    drop(ignore(Signal::URG).unwrap());
    drop(Handler::new(Signal::URG).unwrap());
}

#[test]
fn invalid_signal_numbers_are_refused() {
    for number in [i32::MIN, -1, 0, 65] {
        assert!(matches!(Signal::new(number), Err(Error::OutOfRange { .. })));
    }
    assert!(matches!(Signal::new(32), Err(Error::InvalidName { .. })));
    assert!(matches!(Signal::realtime(31), Err(Error::OutOfRange { .. })));
    let last = Signal::realtime(30).unwrap();
    assert!(last.is_realtime() && !Signal::TERM.is_realtime());
    assert_eq!(format!("{last} {:>8}", Signal::INT), "SIGRTMIN+30   SIGINT");
    let all = Signals::all();
    assert!(all.contains(last) && !all.contains(Signal::KILL));
    assert_eq!(all.iter().count(), 29 + 31);
}

#[test]
fn child_inherits_mask_and_ignored_signals() {
    let mut peer = Peer::start("signal", "mask", &[]);
    let (before, within, after) = (peer.line(), peer.line(), peer.line());
    let fields = |line: &str| {
        let fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let number = |name: &str| {
            let index = fields.iter().position(|field| field == name).expect("a field");
            u64::from_str_radix(&fields[index + 1], 16).expect("a set")
        };
        [number("SigBlk:"), number("SigIgn:"), number("SigCgt:")]
    };
    let bit = |signal: Signal| 1_u64 << (signal.number() - 1);
    let [blocked, ignored, caught] = fields(&before);
    // Whoever started the test may have had HUP ignored, as `nohup` does. The peer has a handler for it.
    let ignored = ignored & !bit(Signal::HUP) | bit(Signal::USR2);
    assert_eq!(
        fields(&within),
        [blocked | bit(Signal::USR1), ignored, caught],
        "handlers do not cross exec"
    );
    assert_eq!(before, after);
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn dropped_guard_restores_disposition() {
    let mut peer = Peer::start("signal", "restore", &[]);
    assert_eq!(peer.line(), "alive");
    assert_eq!(peer.line(), "");
    assert_eq!(peer.finish(), None, "ended by the signal");
}

#[test]
fn default_sigpipe_ends_the_process() {
    let mut peer = Peer::start("signal", "pipe", &[]);
    assert!(peer.line().ends_with("closed by the other side"));
    assert_eq!(peer.line(), "");
    assert_eq!(peer.finish(), None, "ended by SIGPIPE");
}

#[test]
fn alarm_is_set_repeated_and_cancelled() {
    let mut peer = Peer::start("signal", "alarm", &[]);
    assert_eq!(peer.line(), "done");
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn handler_removal_under_signals_is_safe() {
    let mut peer = Peer::start("signal", "churn", &[]);
    assert_eq!(peer.line(), "ready");
    let mut storm = Peer::start("signal", "storm", &[&peer.pid().to_string()]);
    assert_eq!(storm.line(), "ready");
    assert_eq!(peer.line(), "done");
    assert_eq!(storm.finish(), Some(0));
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn guard_order_leaves_mask_unchanged() {
    use nix::sys::signal::{SigSet, Signal as Number};
    let mask = || SigSet::thread_get_mask().unwrap();
    let numbers = [Number::SIGUSR1, Number::SIGUSR2, Number::SIGWINCH, Number::SIGURG];
    let blocked = |mask: &SigSet| numbers.map(|signal| mask.contains(signal));
    let free = mask();
    SigSet::from(Number::SIGURG).thread_block().unwrap();
    let sets = [
        vec![Number::SIGUSR1, Number::SIGUSR2],
        vec![Number::SIGUSR2, Number::SIGWINCH, Number::SIGURG],
        vec![Number::SIGWINCH, Number::SIGUSR1],
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for descriptors in [false, true] {
            type Guard = Option<Box<dyn std::any::Any>>;
            let mut guards: Vec<Guard> = sets
                .iter()
                .map(|set| {
                    let set: Signals = set.iter().map(|signal| Signal::from(*signal)).collect();
                    let guard: Box<dyn std::any::Any> = match descriptors {
                        false => Box::new(Blocked::new(set).unwrap()),
                        true => Box::new(SignalFd::new(set).unwrap()),
                    };
                    Some(guard)
                })
                .collect();
            // What the program changes meanwhile is not taken back.
            SigSet::from(Number::SIGIO).thread_block().unwrap();
            for (dropped, index) in order.into_iter().enumerate() {
                guards[index] = None;
                let living = &order[dropped + 1..];
                let expected = numbers.map(|signal| {
                    signal == Number::SIGURG
                        || living.iter().any(|guard| sets[*guard].contains(&signal))
                });
                assert_eq!(blocked(&mask()), expected, "{order:?}, living {living:?}");
            }
            assert!(mask().contains(Number::SIGIO));
        }
    }
    free.thread_set_mask().unwrap();
}

#[test]
fn pause_keeps_other_guards_blocked() {
    let mut peer = Peer::start("signal", "nested", &[]);
    assert_eq!(peer.line(), "usr1 1 usr2 0");
    assert_eq!(peer.line(), "usr1 1 usr2 1");
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn unread_signal_is_discarded_at_drop() {
    let mut peer = Peer::start("signal", "unread", &[]);
    assert_eq!(peer.line(), "outer still has SIGUSR1");
    assert_eq!(peer.line(), "alive");
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn notification_never_outlives_its_receiver() {
    for order in ["queue", "signals", "close", "handler"] {
        for state in ["pending", "armed"] {
            let mut peer = Peer::start("signal", "notification", &[order, state]);
            assert_eq!(peer.line(), "alive", "{order} first, {state}");
            assert_eq!(peer.finish(), Some(0));
        }
    }
}

#[test]
fn notification_stays_with_second_receiver() {
    let mut peer = Peer::start("signal", "receivers", &[]);
    assert_eq!(peer.line(), "SIGUSR1");
    assert_eq!(peer.finish(), Some(0));
}
