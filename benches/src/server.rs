//! A measured server: a process of its own, started, found and stopped.

use crate::control_group::ControlGroup;
use crate::{Placement, Variant, tether};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a server may take to stop before it is killed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(15);

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    addr: SocketAddr,
    /// Holds all of its processes, where such a group can be made.
    group: Option<ControlGroup>,
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
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let (mut child, group) = launch(&mut command, placement)?;
        let mut line = String::new();
        if let Some(output) = &mut child.stdout {
            BufReader::with_capacity(256, output).read_line(&mut line)?;
        }
        match line.trim_end().strip_prefix("listening on ").and_then(|addr| addr.parse().ok()) {
            Some(addr) => Ok(Server { child, addr, group }),
            None => {
                let _ = child.kill();
                let status = child.wait()?;
                Err(io::Error::other(format!("{command:?} does not listen: {status}")))
            }
        }
    }

    /// Starts any command that is going to listen on `addr`.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn spawn_at(
        command: &mut Command,
        addr: SocketAddr,
        placement: Placement,
    ) -> io::Result<Server> {
        let (child, group) = launch(command, placement)?;
        Ok(Server { child, addr, group })
    }

    /// Waits for its end, at most for `time`; returns how it ended, if it did.
    ///
    /// # Errors
    ///
    /// The system does not answer.
    pub fn ended_within(&mut self, time: Duration) -> io::Result<Option<ExitStatus>> {
        let _ = ended(self.pid(), time);
        self.child.try_wait()
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
        // A process that has been waited for has no number any more.
        if let Ok(None) = self.child.try_wait() {
            let pid = self.pid();
            let _ = kill_process(pid, Signal::TERM);
            if !ended(pid, EXIT_TIMEOUT) {
                let _ = self.child.kill();
            }
            let _ = self.child.wait();
        }
        // Whatever the server has left behind ends with it.
        drop(self.group.take());
    }
}

/// Starts a command in the server's place, tied to this process, and in a control group where one can be made.
fn launch(
    command: &mut Command,
    placement: Placement,
) -> io::Result<(Child, Option<ControlGroup>)> {
    let group = ControlGroup::create();
    if let Some(group) = &group {
        group.mark(command);
    }
    tether::mark(command);
    let child = placement.on_server_core(|| command.spawn())?;
    Ok((child, group))
}

/// Waits for the end of a child, at most for `time`; returns whether it has ended.
fn ended(pid: Pid, time: Duration) -> bool {
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return false;
    };
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    matches!(poll(&mut fds, Some(&time)), Ok(1))
}
