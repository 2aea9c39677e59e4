//! Threads that the system refuses at the start: an error of `run`, with the name of what could not start.

use std::any::Any;
use std::io;
use std::panic;
use std::sync::mpsc::channel;
use std::thread;

/// Returns a function for `map_err` that says what the system has refused to start.
pub fn cannot_start(what: &str) -> impl FnOnce(io::Error) -> io::Error {
    move |error| {
        let hint = match error.kind() {
            io::ErrorKind::WouldBlock => "; raise the limit on threads (ulimit -u, pids.max)",
            _ => "",
        };
        io::Error::new(error.kind(), format!("cannot start {what}: {error}{hint}"))
    }
}

/// Runs `start` of a library that panics where the system refuses it a thread, and returns that panic as an error.
///
/// `start` runs in a thread of its own and nobody waits for it after the panic: its unwinding may never end, as that of
/// tokio's runtime, which joins workers that nothing stops. The process is about to end.
///
/// # Errors
///
/// The system refuses a thread, to the library or to this function.
pub fn start_library<T: Send + 'static>(
    what: &str,
    start: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (started, outcome) = channel();
    let panicked = started.clone();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let _ = panicked.send(Err(io::Error::other(message(panic.payload()))));
    }));
    let spawned = thread::Builder::new().spawn(move || {
        let _ = started.send(Ok(start()));
    });
    let outcome = match spawned {
        Ok(thread) => {
            let outcome = outcome.recv().unwrap_or_else(|error| Err(io::Error::other(error)));
            // Its place under the limit is free for the next thread.
            outcome.inspect(|_| drop(thread.join()))
        }
        Err(error) => Err(error),
    };
    panic::set_hook(hook);
    outcome.map_err(cannot_start(what))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, because the panic hook is the process's.
    #[test]
    fn panic_at_start_is_an_error() {
        assert_eq!(start_library("it", || 7).unwrap(), 7);
        let error = start_library("it", || assert_eq!(1 + 1, 3, "no thread")).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot start it: ") && text.contains("no thread"), "{text}");
        // An unwinding that never ends delays nothing.
        struct Endless;
        impl Drop for Endless {
            fn drop(&mut self) {
                loop {
                    thread::park();
                }
            }
        }
        let start = || {
            let _endless = Endless;
            panic!("no thread");
        };
        assert!(start_library::<()>("it", start).is_err());
    }
}
