//! Writing a child's input and reading its output at the same time.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};

use super::child::{Exit, Process};
use crate::error::{Error, Result};
use crate::sys::{Deadline, retry, timespec};

/// As much as a pipe takes without waiting once it takes anything: `PIPE_BUF`.
const PIECE: usize = libc::PIPE_BUF;

impl Process {
    /// Writes `input` to the child's standard input and closes it, reads its standard output to the end, and waits for
    /// the child. Returns its output, and how it ended.
    ///
    /// Both are done at the same time. A program that first writes all and then reads comes to a standstill as soon as
    /// the child has filled the pipe of its output and waits, while the program fills the pipe of the child's input and
    /// waits, too. The idea is that of Python's `Popen.communicate`.
    ///
    /// The child must have been started with `Stdio::piped()` for its standard input, unless `input` is empty, and for its
    /// standard output, or the output is empty. A child that ends before it has read all of `input` is not an error. The
    /// output ends when *every* process that holds it has closed it: the child, and what it has started in the
    /// background.
    ///
    /// ```
    /// use std::process::Stdio;
    ///
    /// use ipc::process::{Exit, Process};
    ///
    /// let sort = Process::command("sort").stdin(Stdio::piped()).stdout(Stdio::piped());
    /// let (output, exit) = sort.start()?.communicate(b"pipe\nfifo\n")?;
    /// assert_eq!((&output[..], exit), (&b"fifo\npipe\n"[..], Exit::Code(0)));
    /// # Ok::<(), ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`]: there is input, and no pipe for it; nothing was done. [`Error::System`]: the kernel refuses.
    /// Otherwise as [`join`](Self::join).
    pub fn communicate(&mut self, input: &[u8]) -> Result<(Vec<u8>, Exit)> {
        self.exchange(input, None)
    }

    /// As [`communicate`](Self::communicate), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: the child still runs, or its output is not at its end. Nothing is lost: a further call with an
    /// empty input goes on with the rest of this one's, and returns the whole output. To give up, [`kill`](Self::kill) the
    /// child before that call. Otherwise as [`communicate`](Self::communicate).
    pub fn communicate_timeout(
        &mut self,
        input: &[u8],
        timeout: Duration,
    ) -> Result<(Vec<u8>, Exit)> {
        self.exchange(input, Some(Deadline::monotonic(timeout)))
    }

    fn exchange(&mut self, input: &[u8], deadline: Option<Deadline>) -> Result<(Vec<u8>, Exit)> {
        if self.stdin.is_none() && !input.is_empty() {
            let reason = "its standard input is not a pipe that this process holds; start it with Stdio::piped()";
            return Err(Error::unusable(self.object(), reason));
        }
        self.unsent.extend(input);
        let mut late = false;
        loop {
            if self.unsent.is_empty() {
                self.stdin = None; // the end of its input
            }
            if self.stdin.is_none() && self.stdout.is_none() {
                break;
            }
            // Output that does not end is always there to be read.
            if let (true, Some(deadline)) = (late, &deadline) {
                return Err(deadline.passed(self.object()));
            }
            let (writable, readable) = self.wait_for_pipes(deadline.as_ref())?;
            if writable {
                self.write_piece()?;
            }
            if readable {
                self.read_piece()?;
            }
            late = deadline.as_ref().is_some_and(|deadline| deadline.left().is_zero());
        }
        let exit = self.wait(deadline)?;
        Ok((std::mem::take(&mut self.output), exit))
    }

    /// Waits until one of the pipes can be used; returns which, input first.
    fn wait_for_pipes(&self, deadline: Option<&Deadline>) -> Result<(bool, bool)> {
        let stdin = self.stdin.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
        let stdout = self.stdout.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        let has_stdin = stdin.is_some();
        let mut polled: Vec<PollFd<'_>> = stdin.into_iter().chain(stdout).collect();
        let ready = retry(|| {
            let left = deadline.map(|deadline| timespec(deadline.left()));
            ppoll(&mut polled, left, None)
        })
        .map_err(|errno| self.system_error("ppoll", errno))?;
        match deadline {
            Some(deadline) if ready == 0 => return Err(deadline.passed(self.object())),
            _ => {}
        }
        let mut ready = polled.iter().map(|one| one.any().unwrap_or(true));
        Ok((has_stdin && ready.next().unwrap_or(false), ready.next().unwrap_or(false)))
    }

    fn write_piece(&mut self) -> Result<()> {
        let (Some(stdin), (piece, _)) = (&mut self.stdin, self.unsent.as_slices()) else {
            return Ok(());
        };
        match stdin.write(&piece[..piece.len().min(PIECE)]) {
            Ok(written) => drop(self.unsent.drain(..written)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A child need not read all of its input.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.unsent.clear(),
            Err(error) => return Err(Error::io(self.object(), "write", &error)),
        }
        Ok(())
    }

    fn read_piece(&mut self) -> Result<()> {
        let Some(stdout) = &mut self.stdout else { return Ok(()) };
        let mut buffer = [0; 16 << 10];
        match stdout.read(&mut buffer) {
            Ok(0) => self.stdout = None,
            Ok(n) => self.output.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(self.object(), "read", &error)),
        }
        Ok(())
    }
}
