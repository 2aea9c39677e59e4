//! What a check has to work with: the student's programs as processes, clients that trust nothing, and
//! waits that end with an event or with a finding.
//!
//! A check runs in a process of its own (see [`crate::grader`]), which is killed with everything that it has
//! started when it takes too long. It has one thread; whatever it waits for has a bound.

mod client;
mod datagrams;
mod describe;
mod listener;
mod program;
mod server;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use crate::poll::poll_for;
pub use client::Client;
pub use datagrams::{Datagram, DatagramSocket};
pub use describe::{describe_exit, describe_processes, hex, quote, thread_syscalls};
pub use listener::Listener;
pub use program::{Launch, Program};
pub use server::Server;
pub use verdict::{Finding, Stop, TIMEOUT, UNWRITTEN, Verdict, fail};

use rustix::process::geteuid;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The code of a check.
pub type Check = fn(&TestContext) -> Verdict;

/// The surroundings of one run of a check.
#[derive(Debug)]
pub struct TestContext {
    binaries: PathBuf,
    directory: PathBuf,
    seed: u64,
}

impl TestContext {
    /// With the programs in `binaries`, and `directory` for files, which is empty and will be removed.
    pub fn new(binaries: PathBuf, directory: PathBuf, seed: u64) -> TestContext {
        TestContext { binaries, directory, seed }
    }

    /// A directory of this check's own.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A number below `bound` from the seed, another for every `salt`.
    pub fn choose(&self, salt: u64, bound: u64) -> u64 {
        // splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
        let mut z =
            self.seed.wrapping_add(salt.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    /// How to start a program of the student's.
    pub fn program(&self, name: &str) -> Launch {
        Launch::new(&self.binaries.join(name), name, &self.directory)
    }

    /// A socket on a free port, for a program that connects to it.
    pub fn listen(&self) -> Verdict<Listener> {
        Ok(Listener::bind()?)
    }

    /// Starts the program `server` with these options and takes the address from its first line.
    pub fn server<S: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = S>) -> Verdict<Server> {
        self.program("server").args(options).start()?.listening()
    }

    /// As [`TestContext::server`], but never as root, whom no limit on processes binds: see [`Program::limit_processes`].
    /// The server may read the directory of this check.
    pub fn unprivileged_server<S: AsRef<OsStr>>(
        &self,
        options: impl IntoIterator<Item = S>,
    ) -> Verdict<Server> {
        let mut launch = self.program("server");
        if geteuid().is_root() {
            // What is built may lie where only root can go.
            let (copy, all) = (self.directory.join("server"), Permissions::from_mode(0o755));
            std::fs::copy(self.binaries.join("server"), &copy)?;
            std::fs::set_permissions(&copy, all.clone())?;
            std::fs::set_permissions(&self.directory, all)?;
            launch = Launch::new(&copy, "server", &self.directory).unprivileged();
        }
        match launch.args(options).start() {
            Ok(program) => program.listening(),
            Err(Stop::GraderError(why)) => {
                Err(Stop::Skip(format!("cannot run a program as a user without privilege: {why}")))
            }
            Err(other) => Err(other),
        }
    }

    /// A datagram socket on a free port of this host: 127.0.0.1, another address of the loopback network, or
    /// 0.0.0.0 for all of them. It may send to a broadcast address.
    pub fn datagram_socket(&self, host: Ipv4Addr) -> Verdict<DatagramSocket> {
        DatagramSocket::bind(host)
    }
}
