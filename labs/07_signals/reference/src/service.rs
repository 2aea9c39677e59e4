//! Serves requests from standard input; and the memory that this program uses. There is nothing to do in this file.
//!
//! | request | what is done |
//! |---|---|
//! | `store N`, then N bytes | `begun N`, and when all of them have come, `stored N` |
//! | `print N` | N long lines to standard output, which is locked meanwhile; then `printed N` |
//! | `log N` | the same to standard error; then `logged N` |
//! | `memory N` | memory is allocated N times, and in the middle of each SIGUSR1 comes; then `remembered N` |
//! | `flood N` | SIGUSR1 comes N times; then `flooded N` |
//! | `late` | `late`; then SIGTERM comes when the next step begins, just before it reads |

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::io::{self, Write};

/// The requests on standard input, as far as they were read.
#[derive(Default)]
pub struct Service {
    line: Vec<u8>,
    /// The request to store so many bytes is in progress: so many are missing.
    store: Option<(usize, usize)>,
    late: bool,
    served: usize,
}

impl Service {
    /// Whether a request is in progress.
    pub fn busy(&self) -> bool {
        self.store.is_some() || !self.line.is_empty()
    }

    /// How many requests were served.
    pub fn served(&self) -> usize {
        self.served
    }

    /// Prints how many requests were served.
    pub fn report(&self) -> io::Result<()> {
        print_line(&format!("served {}", self.served))
    }

    /// Reads once from standard input, and so waits if there is nothing to read; then does what can be done. Nothing
    /// of the next request is read before this one is finished. Gives false at the end of the input.
    ///
    /// # Errors
    ///
    /// A signal came while it waited (`Interrupted`: nothing was read), or reading or writing fails.
    pub fn step(&mut self) -> io::Result<bool> {
        if std::mem::take(&mut self.late) {
            print_line("SIGTERM comes now")?;
            kill(Pid::this(), Signal::SIGTERM)?;
        }
        let mut bytes = [0; 4096];
        let room = self.store.map_or(1, |(_, missing)| missing.min(bytes.len()));
        let count = nix::unistd::read(io::stdin(), &mut bytes[..room])?;
        match &mut self.store {
            _ if count == 0 => return Ok(false),
            Some((_, missing)) => *missing -= count,
            None if bytes[0] == b'\n' => {
                let line = std::mem::take(&mut self.line);
                self.start_request(&String::from_utf8_lossy(&line))?;
            }
            None => self.line.push(bytes[0]),
        }
        if let Some((size, 0)) = self.store {
            self.store = None;
            self.finish_request(&format!("stored {size}"))?;
        }
        Ok(true)
    }

    fn start_request(&mut self, request: &str) -> io::Result<()> {
        let (word, number) = request.split_once(' ').unwrap_or((request, "0"));
        let number: usize = number.parse().map_err(io::Error::other)?;
        match word {
            "store" => {
                self.store = Some((number, number));
                print_line(&format!("begun {number}"))
            }
            "print" => {
                fill(&mut io::stdout().lock(), number)?;
                self.finish_request(&format!("printed {number}"))
            }
            "log" => {
                fill(&mut io::stderr().lock(), number)?;
                self.finish_request(&format!("logged {number}"))
            }
            "memory" => {
                for _ in 0..number {
                    SIGNAL_NEXT.set(true);
                    drop(black_box(Box::new([0u8; 100])));
                }
                self.finish_request(&format!("remembered {number}"))
            }
            "flood" => {
                for _ in 0..number {
                    kill(Pid::this(), Signal::SIGUSR1)?;
                }
                self.finish_request(&format!("flooded {number}"))
            }
            "late" => {
                self.late = true;
                self.finish_request("late")
            }
            "" => Ok(()),
            _ => print_line("what?"),
        }
    }

    fn finish_request(&mut self, what: &str) -> io::Result<()> {
        self.served += 1;
        print_line(what)
    }
}

/// More than a pipe holds, if `lines` are many.
fn fill(out: &mut impl Write, lines: usize) -> io::Result<()> {
    for n in 0..lines {
        writeln!(out, "{n:08} {:.<90}", "")?;
    }
    out.flush()
}

/// Prints a line, now.
pub fn print_line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// The memory of this program. As in every allocator there is a moment in which its books are in disorder, and it must
/// not be called again by the same thread. Others wait for a lock then, for ever, or hand out the same piece twice,
/// once in a thousand runs; this one says so, every time.
pub struct Heap;

thread_local! {
    /// This thread is in the allocator.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// A signal will come when it is there next.
    static SIGNAL_NEXT: Cell<bool> = const { Cell::new(false) };
}

fn enter() {
    if INSIDE.replace(true) {
        let text = b"a signal handler calls the allocator, which it has interrupted\n";
        // SAFETY: the bytes live through the call. Nothing else may be called here.
        unsafe {
            libc::write(2, text.as_ptr().cast(), text.len());
            libc::abort();
        }
    }
    if SIGNAL_NEXT.replace(false) {
        let _ = kill(Pid::this(), Signal::SIGUSR1);
    }
}

fn leave() {
    INSIDE.set(false);
}

// SAFETY: everything is done by the allocator of the system.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        enter();
        // SAFETY: as the caller promises.
        let memory = unsafe { System.alloc(layout) };
        leave();
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        enter();
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) };
        leave();
    }
}
