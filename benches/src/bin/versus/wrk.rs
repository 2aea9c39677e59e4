//! wrk as the load.

use super::{Failure, myself};
use benches::{Placement, tether};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

/// What a run of wrk found.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Requests that were answered.
    pub requests: u64,
    /// The same in a second.
    pub per_second: f64,
    /// wrk's own words on what went wrong, if anything did.
    pub errors: Option<String>,
}

/// Loads `addr` from as many `connections` for some seconds, from the client's place.
pub fn run(
    program: &Path,
    addr: SocketAddr,
    path: &str,
    connections: usize,
    close: bool,
    seconds: u32,
    placement: Placement,
) -> Result<Load, Failure> {
    let mut command = myself("become")?;
    command.arg(program).args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")]);
    if close {
        command.args(["-H", "Connection: close"]);
    }
    command.arg(format!("http://{addr}{path}")).stdin(Stdio::null());
    tether::mark(&mut command);
    let output = placement.on_client_core(|| command.output())?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).ok_or_else(|| Failure::Broken(format!("wrk gave no figures: {text}")))
}

fn parse(text: &str) -> Option<Load> {
    let mut requests = None;
    let mut per_second = None;
    let mut errors = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some((number, _)) = line.split_once(" requests in ") {
            requests = number.parse().ok();
        } else if let Some(number) = line.strip_prefix("Requests/sec:") {
            per_second = number.trim().parse().ok();
        } else if line.starts_with("Socket errors:") || line.starts_with("Non-2xx") {
            errors.push(line);
        }
    }
    Some(Load {
        requests: requests?,
        per_second: per_second?,
        errors: (!errors.is_empty()).then(|| errors.join("; ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_words_are_understood() {
        let text = "Running 2s test @ http://127.0.0.1:1/4k
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.02ms  ...
  139846 requests in 2.00s, 580.00MB read
  Socket errors: connect 0, read 3, write 0, timeout 1
Requests/sec:  69889.58
Transfer/sec:    289.86MB
";
        let load = parse(text).unwrap();
        assert_eq!(load.requests, 139_846);
        assert_eq!(load.per_second, 69889.58);
        let errors = "Socket errors: connect 0, read 3, write 0, timeout 1";
        assert_eq!(load.errors.as_deref(), Some(errors));
        assert_eq!(parse("unable to connect"), None);
    }
}
