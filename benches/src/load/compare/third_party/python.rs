//! Servers as a course would write them with care: the same replies, under three ways to serve many clients.

use super::{Found, Kind, ThirdParty, missing};
use crate::{Placement, Server};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SCRIPT: &str = include_str!("python.py");

/// A way to serve many clients.
#[derive(Clone, Debug)]
pub(super) struct Python {
    program: PathBuf,
    root: PathBuf,
    how: &'static str,
}

pub(super) fn find(root: &Path) -> Found {
    let names = ["python-threads", "python-forks", "python-gevent"];
    // What is called python3 may be a script that looks for the one that is meant.
    const ASK: &str = "import sys, importlib.util as u\n\
        print(sys.executable, sys.version.split()[0], u.find_spec('gevent') is not None, sep='\\n')";
    let answer = Command::new("python3").args(["-c", ASK]).stderr(Stdio::null()).output();
    let answer = answer.ok().filter(|output| output.status.success());
    let answer = answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let mut lines = answer.as_deref().unwrap_or_default().lines();
    let (Some(program), Some(version), Some(gevent)) = (lines.next(), lines.next(), lines.next())
    else {
        return Found { skipped: names.map(missing).to_vec(), ..Found::default() };
    };
    let server = |how: &'static str, words: &str| ThirdParty {
        name: format!("python-{how}"),
        note: format!("Python {version}, {words}, TCP_NODELAY, a reply in one write"),
        configuration: SCRIPT.into(),
        kind: Kind::Python(Python { program: program.into(), root: root.to_owned(), how }),
    };
    let mut found = Found::default();
    found.servers.push(server("threads", "socketserver.ThreadingMixIn"));
    found.servers.push(server("forks", "socketserver.ForkingMixIn without its limit of 40"));
    match gevent {
        "True" => found.servers.push(server("gevent", "gevent's StreamServer")),
        _ => found.skipped.push(missing("python-gevent")),
    }
    found
}

pub(super) fn start(
    python: &Python,
    mut command: Command,
    placement: Placement,
) -> io::Result<Server> {
    command.arg(&python.program).args(["-c", SCRIPT, python.how]).arg(&python.root);
    Server::spawn(command, placement)
}
