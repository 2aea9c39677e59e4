//! The clock of [`super::datagrams`].

use super::{TIMEOUT, TestContext};
use harness::wait;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[test]
fn datagram_time_is_when_it_arrived() {
    let context = TestContext::new(PathBuf::new(), PathBuf::new(), 1);
    let socket = || context.datagram_socket(Ipv4Addr::LOCALHOST).unwrap();
    let (one, other) = (socket(), socket());
    let exchange = |pause: Duration| {
        one.send("now", other.address()).unwrap();
        let sent = Instant::now();
        wait::pause(pause);
        let got = other.receive(TIMEOUT).unwrap().unwrap();
        assert_eq!((got.from, &got.bytes[..]), (one.address(), &b"now"[..]));
        (sent, got.at)
    };
    // The kernel begins to note times a moment after it was first asked to.
    let noted = || {
        let (sent, came) = exchange(Duration::from_millis(50));
        came <= sent + Duration::from_millis(25)
    };
    assert!(wait::within(4 * TIMEOUT, noted), "they come when they are looked for");
}
