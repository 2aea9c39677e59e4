//! Which mechanism to choose, as a table.

use super::representative_size;
use crate::ipc::cases::{Cores, Mechanism, NUMBER, Pattern, Waiting, bytes};
use crate::ipc::group::nanos;
use crate::ipc::report::Report;
use crate::load::report::{Figure, NONE};
use crate::text::escape;
use std::fmt::Write as _;

/// The need, the mechanism to take, and why.
const WHEN: [(&str, Mechanism, &str); 15] = [
    (
        "Bytes from a parent to its child, or into another program",
        Mechanism::Pipe,
        "No name, and the end of file comes by itself. What a shell uses.",
    ),
    (
        "The same between programs that are no relatives",
        Mechanism::Fifo,
        "A name in the file system, with permissions.",
    ),
    (
        "A conversation; a server with several clients; descriptors passed on",
        Mechanism::Stream,
        "Both directions in one descriptor, and the kernel vouches for who is there.",
    ),
    (
        "The same with whole messages",
        Mechanism::Packets,
        "No framing to write, and the end is noticed.",
    ),
    (
        "Short messages from any process, without a connection",
        Mechanism::Datagram,
        "The sender waits when the receiver is full: nothing is lost.",
    ),
    (
        "Jobs that outlive their sender; urgent ones first",
        Mechanism::PosixQueue,
        "The kernel keeps whole messages; works with poll.",
    ),
    (
        "To take messages by their type, or to talk to an old program",
        Mechanism::SysvQueue,
        "Selective receive is what the other queue has not.",
    ),
    (
        "As many messages as possible from one trusted process to another",
        Mechanism::Ring,
        "No system call for a message. It costs a processor if it spins.",
    ),
    (
        "The same from many",
        Mechanism::ManyRing,
        "A checksum and the recovery from dead senders are in the price.",
    ),
    (
        "Turns, or places that are counted",
        Mechanism::PosixSemaphore,
        "No system call as long as no process has to wait.",
    ),
    (
        "The same, given back when the holder dies",
        Mechanism::SysvSemaphore,
        "Undo. A system call each time.",
    ),
    (
        "Several numbers that change together, and waiting for a change",
        Mechanism::Condition,
        "A mutex that survives the death of its holder, and the condition next to it.",
    ),
    (
        "It has happened, for any number of waiters",
        Mechanism::Event,
        "No system call if no process sleeps.",
    ),
    (
        "To reach a process that waits for something else, or does not know you",
        Mechanism::Signal,
        "Nothing has to be set up but a pid.",
    ),
    (
        "Another machine, one day",
        Mechanism::Tcp,
        "The only one here that reaches there. Measured without the library, over loopback.",
    ),
];

pub fn which_one_when(report: &Report) -> Figure {
    let mut html = String::from(
        "<table><thead><tr><th scope=\"col\">You want</th><th scope=\"col\" style=\"text-align:left\">Take</th><th scope=\"col\" style=\"text-align:left\">Since</th><th scope=\"col\">There and back, one core</th>\
         <th scope=\"col\">One way, two cores</th></tr></thead><tbody>",
    );
    for (want, mechanism, since) in WHEN {
        let back = time(report, mechanism, Pattern::RoundTrip, Cores::One, Waiting::Sleeping);
        let spinning = time(report, mechanism, Pattern::OneWay, Cores::Two, Waiting::Spinning);
        let sleeping = time(report, mechanism, Pattern::OneWay, Cores::Two, Waiting::Sleeping);
        let one_way = match (&spinning, &sleeping) {
            (Some(spinning), Some(sleeping)) => format!("{spinning} spinning, {sleeping} sleeping"),
            _ => spinning.or(sleeping).unwrap_or(NONE.to_owned()),
        };
        let _ = write!(
            html,
            "<tr><td class=\"long\">{}</td><td style=\"text-align:left\">{}</td><td class=\"long\">{}</td><td>{}</td><td>{}</td></tr>",
            escape(want),
            escape(mechanism.title()),
            escape(since),
            escape(&back.unwrap_or(NONE.to_owned())),
            escape(&one_way)
        );
    }
    html.push_str("</tbody></table>");
    let size = bytes(representative_size(report));
    Figure {
        title: "Which one when".to_owned(),
        svg: html,
        caption: format!(
            "Choose by what it can do; most cost about the same. The figures are those of this run, for messages of {size}, \
             or a number where nothing longer is carried."
        ),
        table: Vec::new(),
        wide: true,
    }
}

fn time(
    report: &Report,
    mechanism: Mechanism,
    pattern: Pattern,
    cores: Cores,
    waiting: Waiting,
) -> Option<String> {
    let size = if mechanism.carries_messages() { representative_size(report) } else { NUMBER };
    report.find(mechanism, pattern, cores, waiting, size)?.primary_nanos().map(nanos)
}
