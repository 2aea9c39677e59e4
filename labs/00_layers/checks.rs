//! Frames made from a seed, and what is in them.

use crate::context::{Check, TestContext, Verdict, fail};
use std::fmt::Write;
use std::time::Duration;

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("layers.tcp", plain_tcp),
    ("layers.udp", udp),
    ("layers.options", options),
    ("layers.padding", padding),
    ("association.five_tuple", five_tuple),
    ("errors.truncated", truncated),
    ("errors.others", others),
];

/// A frame, and what should be said of it.
struct Frame {
    bytes: Vec<u8>,
    said: String,
}

/// Lengths of the options in words of 4 bytes, of the payload and of the padding in bytes.
fn make(
    context: &TestContext,
    salt: u64,
    tcp: bool,
    ip_options: u8,
    tcp_options: u8,
    payload: usize,
    padding: usize,
) -> Frame {
    let byte = |n: u64| context.choose(salt * 100 + n, 256) as u8;
    let source = [10, byte(1), byte(2), byte(3)];
    let destination = [192, 168, byte(4), byte(5)];
    // Both bytes of a port matter, and the two ports differ.
    let port = |n: u64| 0x0102 + context.choose(salt * 100 + n, 0x7000) as u16;
    let (from, to) = (port(6), port(7) ^ 0x8000);
    let ip = 20 + 4 * usize::from(ip_options);
    let transport = if tcp { 20 + 4 * usize::from(tcp_options) } else { 8 };
    let total = (ip + transport + payload) as u16;
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    bytes.extend([0x40 | (5 + ip_options), 0]);
    bytes.extend(total.to_be_bytes());
    bytes.extend([byte(8), byte(9), 0x40, 0, 64, if tcp { 6 } else { 17 }, 0, 0]);
    bytes.extend(source);
    bytes.extend(destination);
    bytes.extend(std::iter::repeat_n(1, 4 * usize::from(ip_options)));
    bytes.extend(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    if tcp {
        bytes.extend([
            byte(10),
            0,
            0,
            1,
            0,
            0,
            0,
            2,
            (5 + tcp_options) << 4,
            0x18,
            2,
            0,
            0,
            0,
            0,
            0,
        ]);
        bytes.extend(std::iter::repeat_n(1, 4 * usize::from(tcp_options)));
    } else {
        bytes.extend(((8 + payload) as u16).to_be_bytes());
        bytes.extend([0, 0]);
    }
    bytes.extend((0..payload).map(|n| byte(20 + n as u64)));
    bytes.extend(std::iter::repeat_n(0, padding));
    let name = if tcp { "tcp" } else { "udp" };
    let dotted = |a: [u8; 4]| format!("{}.{}.{}.{}", a[0], a[1], a[2], a[3]);
    let said = format!(
        "ethernet 14 ip {ip} transport {transport} payload {payload} {name} {}:{from} > {}:{to}",
        dotted(source),
        dotted(destination)
    );
    Frame { bytes, said }
}

/// What the program says of these frames, a line each.
fn ask(context: &TestContext, frames: &[Vec<u8>]) -> Verdict<Vec<String>> {
    let mut text = String::new();
    for frame in frames {
        for byte in frame {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    let mut program = context.program("layers").start()?;
    program.write(&text)?;
    program.close_stdin();
    let status = program.wait("the program to end when its input does", Duration::from_secs(4))?;
    let said = program.output().lines().map(str::to_owned).collect::<Vec<_>>();
    if !status.success() || said.len() != frames.len() {
        let what = format!("{} lines, one for each frame, and exit code 0", frames.len());
        return fail(what, format!("{} lines; {}", said.len(), program.describe()));
    }
    Ok(said)
}

/// How many words of a line are about layers; the rest is the association.
const LAYERS: usize = 8;

/// The first difference between the layers that are said and those that should be, and what may be the `reason`.
fn compare(context: &TestContext, frames: &[Frame], reason: fn(&str) -> &'static str) -> Verdict {
    let bytes: Vec<Vec<u8>> = frames.iter().map(|frame| frame.bytes.clone()).collect();
    let layers = |line: &str| line.split(' ').take(LAYERS).collect::<Vec<_>>().join(" ");
    for (said, frame) in ask(context, &bytes)?.iter().zip(frames) {
        let (got, wanted) = (layers(said), layers(&frame.said));
        if got != wanted {
            return fail(wanted, format!("{got}{}", reason(&got)));
        }
    }
    Ok(())
}

fn plain_tcp(context: &TestContext) -> Verdict {
    let frames = (0..8).map(|n| make(context, n, true, 0, 0, 10 * n as usize, 0));
    compare(context, &frames.collect::<Vec<_>>(), |_| "")
}

fn udp(context: &TestContext) -> Verdict {
    let frames = (0..8).map(|n| make(context, n, false, 0, 0, 3 + n as usize, 0));
    compare(context, &frames.collect::<Vec<_>>(), |got| {
        let right = got.contains("transport 8 ");
        if right { "" } else { ": the header of UDP has 8 bytes, and none of TCP's fields" }
    })
}

fn options(context: &TestContext) -> Verdict {
    let ip = (1..=10).map(|n| make(context, u64::from(n), true, n, 0, 5, 0));
    compare(
        context,
        &ip.collect::<Vec<_>>(),
        |_| ": the packet's header is longer than 20 bytes, as its first byte says",
    )?;
    let tcp = (1..=10).map(|n| make(context, u64::from(n), true, 0, n, 5, 0));
    compare(
        context,
        &tcp.collect::<Vec<_>>(),
        |_| ": the segment's header is longer than 20 bytes, as its data offset says",
    )
}

fn padding(context: &TestContext) -> Verdict {
    // Ethernet fills a frame up to 60 bytes.
    let tcp = (0..6).map(|n| make(context, n, true, 0, 0, n as usize, 6 - n as usize));
    let udp = (0..6).map(|n| make(context, n, false, 0, 0, n as usize, 18 - n as usize));
    compare(
        context,
        &tcp.chain(udp).collect::<Vec<_>>(),
        |_| ": the padding of the frame was counted as payload",
    )
}

fn five_tuple(context: &TestContext) -> Verdict {
    let frames: Vec<Frame> = (30..40).map(|n| make(context, n, n % 2 == 0, 0, 0, 1, 0)).collect();
    let bytes: Vec<Vec<u8>> = frames.iter().map(|frame| frame.bytes.clone()).collect();
    for (said, frame) in ask(context, &bytes)?.iter().zip(&frames) {
        let tuple =
            |line: &str| line.split(' ').skip(LAYERS).map(str::to_owned).collect::<Vec<_>>();
        let (got, wanted) = (tuple(said), tuple(&frame.said));
        if got != wanted {
            let swapped = got.len() == 4 && got[1] == wanted[3] && got[3] == wanted[1];
            let why = if swapped { ": source and destination are swapped" } else { "" };
            return fail(wanted.join(" "), format!("{}{why}", got.join(" ")));
        }
    }
    Ok(())
}

fn truncated(context: &TestContext) -> Verdict {
    for tcp in [true, false] {
        let whole = make(context, 50, tcp, 2, if tcp { 3 } else { 0 }, 9, 0).bytes;
        let prefixes: Vec<Vec<u8>> = (0..whole.len()).map(|n| whole[..n].to_vec()).collect();
        for (n, said) in ask(context, &prefixes)?.iter().enumerate() {
            if said != "error short" {
                let what = format!("`error short` of the first {n} of {} bytes", whole.len());
                return fail(what, said);
            }
        }
    }
    Ok(())
}

fn others(context: &TestContext) -> Verdict {
    let change = |at: usize, to: u8| {
        let mut frame = make(context, 60, true, 0, 0, 4, 0).bytes;
        frame[at] = to;
        frame
    };
    let cases = [
        (change(13, 6), "error not-ipv4", "ARP, type 0x0806"),
        (change(12, 0x86), "error not-ipv4", "type 0x8600"),
        (change(23, 1), "error not-tcp-or-udp", "ICMP"),
        (change(14, 0x44), "error bad-header", "an IPv4 header of 16 bytes"),
        (change(14, 0x65), "error bad-header", "version 6 in a packet of type IPv4"),
        (change(46, 0x40), "error bad-header", "a TCP header of 16 bytes"),
    ];
    let frames: Vec<Vec<u8>> = cases.iter().map(|case| case.0.clone()).collect();
    for (said, (_, wanted, what)) in ask(context, &frames)?.iter().zip(&cases) {
        if said != wanted {
            return fail(format!("`{wanted}` of {what}"), said);
        }
    }
    Ok(())
}
