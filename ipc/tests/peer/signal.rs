//! Processes that signals are sent to, and what they make of them.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use crate::{next_line, wait_for_eof};
use ipc::Error;
use ipc::pipe;
use ipc::queue::{PosixQueue, Queue};
use ipc::signal::{
    Blocked, Handler, Signal, SignalFd, alarm, alarm_cancel, alarm_every, alarm_left, default,
    ignore, raise, send,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

pub fn run(role: &str, arguments: &[String]) -> Outcome {
    match role {
        "wait" => wait(),
        "race" => race(),
        "pause" => pause(),
        "read" => read(),
        "descriptor" => descriptor(),
        "mask" => mask(),
        "restore" => restore(),
        "pipe" => closed_pipe(),
        "alarm" => alarms(),
        "churn" => churn(),
        "storm" => storm(arguments),
        "nested" => nested(),
        "unread" => unread(),
        "notification" => notification(arguments),
        "receivers" => receivers(),
        _ => Err(format!("nothing called {role:?}").into()),
    }
}

/// A target.
fn wait() -> Outcome {
    println!("ready");
    wait_for_eof()
}

/// Checks, is held up between the check and the pause, and pauses.
fn race() -> Outcome {
    let handler = Handler::new(Signal::USR1)?;
    let blocked = Blocked::new([Signal::USR1])?;
    println!("checked {}", handler.count());
    next_line()?;
    blocked.pause_until(|| handler.count() > 0)?;
    println!("woken {}", handler.count());
    // The pause has blocked it again.
    raise(Signal::USR1)?;
    println!("still {}, pending {:?}", handler.count(), blocked.pending()?);
    drop(blocked);
    println!("then {}", handler.count());
    Ok(())
}

/// Waits with a limit, first in vain.
fn pause() -> Outcome {
    let handler = Handler::new(Signal::USR1)?;
    let blocked = Blocked::new([Signal::USR1])?;
    let late = blocked.pause_timeout(Duration::from_millis(20)).unwrap_err();
    println!("{late}");
    blocked.pause_timeout(Duration::from_secs(60))?;
    println!("woken {}", handler.count());
    Ok(())
}

/// Reports everything that a signalfd says, after a line has come.
fn read() -> Outcome {
    let usual = [Signal::USR1, Signal::realtime(0)?, Signal::realtime(3)?, Signal::CHLD];
    let signals = SignalFd::new(usual)?;
    println!("ready");
    next_line()?;
    loop {
        match signals.try_read() {
            Ok(got) => println!("{} {:?} {:?} {:?}", got.signal, got.cause, got.sender, got.value),
            Err(Error::WouldBlock { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("done");
    let late = signals.read_timeout(Duration::from_millis(20)).unwrap_err();
    println!("{}", matches!(late, Error::TimedOut { .. }));
    let mut child = Command::new("true").spawn()?;
    let got = signals.read()?;
    println!("{:?} {}", got.cause, got.sender.is_some_and(|who| who.pid as u32 == child.id()));
    child.wait()?;
    Ok(())
}

/// The same by `sigwaitinfo`.
fn descriptor() -> Outcome {
    let blocked = Blocked::new([Signal::realtime(1)?])?;
    println!("ready");
    for _ in 0..3 {
        let got = blocked.wait_timeout(Duration::from_secs(60))?;
        println!("{} {:?} {:?} {:?}", got.signal, got.cause, got.sender, got.value);
    }
    Ok(())
}

/// Shows what a child inherits, within the guards and after them.
fn mask() -> Outcome {
    let child = || -> Outcome {
        let output = Command::new("grep").args(["^Sig[BIC]", "/proc/self/status"]).output()?;
        let text = String::from_utf8(output.stdout)?;
        println!("{}", text.split_whitespace().collect::<Vec<_>>().join(" "));
        Ok(())
    };
    child()?;
    {
        let _handler = Handler::new(Signal::HUP)?;
        let _blocked = Blocked::new([Signal::USR1])?;
        let _ignored = ignore(Signal::USR2)?;
        child()?;
    }
    child()
}

/// After the guards everything is as it was: the last signal is the end.
fn restore() -> Outcome {
    {
        let handler = Handler::new(Signal::USR1)?;
        assert!(matches!(Handler::new(Signal::USR1), Err(Error::Unusable { .. })));
        assert!(matches!(ignore(Signal::USR1), Err(Error::Unusable { .. })));
        raise(Signal::USR1)?;
        assert_eq!((handler.count(), handler.wait()?), (1, 1));
        let late = handler.wait_timeout(Duration::from_millis(1));
        assert!(matches!(late, Err(Error::TimedOut { .. })));
    }
    assert_eq!(Handler::new(Signal::USR1)?.count(), 0, "each counts for itself");
    {
        let _ignored = ignore(Signal::USR1)?;
        raise(Signal::USR1)?;
        let handler = Handler::new(Signal::USR2)?;
        raise(Signal::USR2)?;
        assert_eq!(handler.count(), 1);
    }
    println!("alive");
    raise(Signal::USR1)?;
    println!("not reached");
    Ok(())
}

/// `SIGPIPE` as other programs have it.
fn closed_pipe() -> Outcome {
    let (reader, mut writer) = pipe::pipe()?;
    drop(reader);
    println!("{}", writer.write(b"x").unwrap_err());
    let _default = default(Signal::PIPE)?;
    writer.write_all(b"x")?;
    println!("not reached");
    Ok(())
}

/// The alarm in all its ways.
fn alarms() -> Outcome {
    let blocked = Blocked::new([Signal::ALRM])?;
    let hour = Duration::from_secs(3600);
    assert!(matches!(alarm(Duration::ZERO), Err(Error::OutOfRange { .. })));
    assert!(matches!(alarm_every(hour, Duration::ZERO), Err(Error::OutOfRange { .. })));
    assert_eq!(alarm_left()?, None);
    assert_eq!(alarm(hour)?, None);
    let left = alarm_left()?.ok_or("no alarm")?;
    assert!(left <= hour && left > hour / 2);
    assert!(alarm(Duration::MAX)?.is_some());
    assert!(alarm_cancel()?.is_some_and(|left| left > hour));
    assert_eq!(alarm_cancel()?, None);
    assert!(blocked.try_wait().is_err());
    alarm(Duration::from_nanos(1))?;
    assert_eq!(blocked.wait()?.signal, Signal::ALRM);
    alarm_every(Duration::from_millis(1), Duration::from_millis(2))?;
    for _ in 0..5 {
        blocked.wait()?;
    }
    alarm_cancel()?;
    println!("done");
    Ok(())
}

/// Installs and removes a handler again and again, while signals arrive.
fn churn() -> Outcome {
    ignore(Signal::USR1)?.keep();
    println!("ready");
    let mut seen = 0;
    let mut rounds = 0;
    while seen < 500 || rounds < 2000 {
        let handler = Handler::new(Signal::USR1)?;
        std::thread::yield_now();
        seen += handler.count();
        rounds += 1;
    }
    println!("done");
    Ok(())
}

/// Sends signals until it is told to stop.
fn storm(arguments: &[String]) -> Outcome {
    let pid = arguments.first().ok_or("a pid is missing")?.parse()?;
    println!("ready");
    std::thread::spawn(move || while send(pid, Signal::USR1).is_ok() {});
    wait_for_eof()
}

/// A pause of the outer guard while the inner one lives.
fn nested() -> Outcome {
    let (usr1, usr2) = (Handler::new(Signal::USR1)?, Handler::new(Signal::USR2)?);
    let outer = Blocked::new([Signal::USR1])?;
    let inner = Blocked::new([Signal::USR2])?;
    raise(Signal::USR2)?;
    raise(Signal::USR1)?;
    outer.pause()?;
    println!("usr1 {} usr2 {}", usr1.count(), usr2.count());
    drop(outer);
    drop(inner);
    println!("usr1 {} usr2 {}", usr1.count(), usr2.count());
    Ok(())
}

/// Drops descriptors with signals that nobody has read, of the thread and of the process.
fn unread() -> Outcome {
    let realtime = Signal::realtime(2)?;
    let signals = [Signal::USR1, Signal::TERM, realtime];
    let own = std::process::id().cast_signed();
    let outer = SignalFd::new(signals)?;
    let inner = SignalFd::new(signals)?;
    raise(Signal::USR1)?;
    drop(inner);
    println!("outer still has {}", outer.try_read()?.signal);
    for _ in 0..3 {
        raise(Signal::USR1)?;
        send(own, Signal::TERM)?;
        raise(realtime)?;
        send(own, realtime)?;
    }
    drop(outer);
    println!("alive");
    Ok(())
}

/// Ends the use of a queue and of the descriptor that gets its notifications in one order or the other, with a
/// notification that is pending or one that could still come.
fn notification(arguments: &[String]) -> Outcome {
    let name = format!("/ipc-test-notification-{}", std::process::id());
    for _ in 0..100 {
        let queue = PosixQueue::create(&name, 4, 16)?;
        let second = PosixQueue::open(&name)?;
        if arguments[0] == "handler" {
            let handler = Handler::new(Signal::USR1)?;
            queue.notify(Signal::USR1)?;
            drop(handler);
            second.put(b"one")?;
            continue;
        }
        let signals = SignalFd::new([Signal::USR1])?;
        queue.notify(Signal::USR1)?;
        if arguments[1] == "pending" {
            second.put(b"one")?;
        }
        match arguments[0].as_str() {
            "signals" => {
                drop(signals);
                second.try_put(b"two")?;
                drop(queue);
            }
            "close" => {
                queue.close();
                drop(signals);
                second.try_put(b"two")?;
            }
            _ => {
                drop(queue);
                second.try_put(b"two")?;
                drop(signals);
            }
        }
        second.try_put(b"three")?;
    }
    println!("alive");
    Ok(())
}

/// Drops one of two receivers.
fn receivers() -> Outcome {
    let name = format!("/ipc-test-receivers-{}", std::process::id());
    let queue = PosixQueue::create(&name, 4, 16)?;
    let first = SignalFd::new([Signal::USR1])?;
    let second = SignalFd::new([Signal::USR1])?;
    queue.notify(Signal::USR1)?;
    drop(first);
    queue.put(b"one")?;
    println!("{}", second.read_timeout(Duration::from_secs(60))?.signal);
    Ok(())
}
