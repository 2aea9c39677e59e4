//! A measured server: a process of its own, started, found and stopped.

use crate::{Placement, Variant, tether};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// How long a server may take to stop before it is killed.
const EXIT_TIMEOUT: Timespec = Timespec { tv_sec: 15, tv_nsec: 0 };

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    /// Starts `variant` on `root` in the server's place.
    ///
    /// `serve` is a command that takes a model's name and its options, as the `serve` binary does.
    ///
    /// # Errors
    ///
    /// It cannot be started or ends before it listens; it has then said why on standard error.
    pub fn start(
        mut serve: Command,
        variant: &Variant,
        root: &Path,
        options: &[&str],
        placement: Placement,
    ) -> io::Result<Server> {
        serve.arg(variant.model).args(variant.options).args(options);
        serve.args(["--addr", "127.0.0.1:0", "--root"]).arg(root);
        Server::spawn(serve, placement)
    }

    /// Starts any command that says `listening on ADDRESS` first.
    ///
    /// # Errors
    ///
    /// It cannot be started or ends before it listens.
    pub fn spawn(mut command: Command, placement: Placement) -> io::Result<Server> {
        tether::mark(&mut command).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = placement.on_server_core(|| command.spawn())?;
        let mut line = String::new();
        if let Some(output) = &mut child.stdout {
            BufReader::with_capacity(256, output).read_line(&mut line)?;
        }
        match line.trim_end().strip_prefix("listening on ").and_then(|addr| addr.parse().ok()) {
            Some(addr) => Ok(Server { child, addr }),
            None => {
                let _ = child.kill();
                let status = child.wait()?;
                Err(io::Error::other(format!("{command:?} does not listen: {status}")))
            }
        }
    }

    /// Takes charge of a process that was started by other means and serves on `addr`.
    pub fn adopt(child: Child, addr: SocketAddr) -> Server {
        Server { child, addr }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The process that was started; it may have children.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.pid();
        let _ = kill_process(pid, Signal::TERM);
        if !ended(pid) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Waits for the end of a child, not for ever.
fn ended(pid: Pid) -> bool {
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return false;
    };
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&EXIT_TIMEOUT)), Ok(1))
}
