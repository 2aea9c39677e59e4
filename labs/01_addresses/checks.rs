//! Questions with known answers, and questions made from a seed whose answers the standard library knows.

use crate::context::{Check, TIMEOUT, TestContext, Verdict, fail, hex};
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("ipv4.text_to_bytes", aton),
    ("ipv4.strict", strict),
    ("ipv4.bytes_to_text", ntoa),
    ("ipv6.text_to_bytes", pton6),
    ("ipv6.shortest_text", ntop6),
    ("order.numbers", order),
    ("network.masks", masks),
    ("network.ends_of_the_range", ends),
    ("record.packed", packed),
    ("record.unpacked", unpacked),
    ("services.by_name", by_name),
    ("services.by_port", by_port),
];

/// Asks each question and compares; the answer to what makes no sense is `error`. `why` may name the mistake.
fn ask(
    context: &TestContext,
    cases: &[(String, String)],
    why: fn(&str, &str) -> &'static str,
) -> Verdict {
    let mut program = context.program("addresses").start()?;
    let questions: String = cases.iter().map(|(question, _)| format!("{question}\n")).collect();
    program.write(&questions)?;
    program.close_stdin();
    let status = program.wait("the program to end when its input does", TIMEOUT)?;
    let output = program.output();
    let said: Vec<&str> = output.lines().collect();
    for (at, (question, wanted)) in cases.iter().enumerate() {
        match said.get(at) {
            Some(said) if said == wanted => {}
            Some(said) => {
                return fail(
                    format!("`{question}` to be answered with {wanted}"),
                    format!("{said}{}", why(wanted, said)),
                );
            }
            None => return fail(format!("an answer to `{question}`"), program.describe()),
        }
    }
    if status.success() { Ok(()) } else { fail("exit code 0", program.describe()) }
}

fn nothing(_: &str, _: &str) -> &'static str {
    ""
}

/// The bytes of a hexadecimal text in the other direction.
fn reversed(text: &str) -> String {
    let pairs: Vec<&str> =
        (0..text.len() / 2).rev().filter_map(|at| text.get(2 * at..2 * at + 2)).collect();
    pairs.concat()
}

fn byte_order(wanted: &str, said: &str) -> &'static str {
    if said == reversed(wanted) {
        ": the bytes are in the order of this machine, low byte first"
    } else {
        ""
    }
}

fn some_ipv4(context: &TestContext, n: u64) -> Ipv4Addr {
    Ipv4Addr::from(context.choose(n, 1 << 32) as u32)
}

/// With runs of zeros at all places and of all lengths.
fn some_ipv6(context: &TestContext, n: u64) -> Ipv6Addr {
    let zeros = context.choose(100 * n, 256);
    let group = |at: u64| match zeros >> at & 1 {
        1 => 0,
        _ => 1 + context.choose(100 * n + at + 1, 0xffff) as u16,
    };
    Ipv6Addr::from(std::array::from_fn::<u16, 8, _>(|at| group(at as u64)))
}

fn aton(context: &TestContext) -> Verdict {
    let fixed = ["0.0.0.0", "255.255.255.255", "127.0.0.1", "10.0.0.1", "1.2.3.4"];
    let fixed = fixed.map(|text| text.parse().unwrap_or(Ipv4Addr::UNSPECIFIED));
    let some = (0..20).map(|n| some_ipv4(context, n));
    let cases = fixed.into_iter().chain(some).map(|ip| (format!("aton {ip}"), hex(&ip.octets())));
    ask(context, &cases.collect::<Vec<_>>(), byte_order)
}

fn strict(context: &TestContext) -> Verdict {
    let bad = [
        "256.1.1.1",
        "1.2.3.999",
        "1.2.3",
        "1.2.3.4.5",
        "1..2.3",
        ".1.2.3",
        "1.2.3.4.",
        "01.2.3.4",
        "1.2.3.+4",
        "1.2.3.-4",
        "a.b.c.d",
        "0x7f.0.0.1",
        "1.2.3.4x",
        "1.2.3.300",
    ];
    let cases = bad.map(|text| (format!("aton {text}"), "error".to_owned()));
    ask(context, &cases, |_, _| ": that is no address")
}

fn ntoa(context: &TestContext) -> Verdict {
    let some = (20..40).map(|n| some_ipv4(context, n));
    let cases = some.map(|ip| (format!("ntoa {}", hex(&ip.octets())), ip.to_string()));
    ask(context, &cases.collect::<Vec<_>>(), nothing)
}

fn pton6(context: &TestContext) -> Verdict {
    let mut cases: Vec<(String, String)> = (0..30)
        .map(|n| some_ipv6(context, n))
        .chain(
            ["::", "::1", "1::", "fe80::1", "1:2:3:4:5:6:7:8"]
                .map(|text| text.parse().unwrap_or(Ipv6Addr::UNSPECIFIED)),
        )
        .map(|ip| (format!("pton6 {ip}"), hex(&ip.octets())))
        .collect();
    let bad = [
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "12345::",
        "g::",
        ":::",
        "1:",
        ":1",
        "1:2:3:4:5:6:7:8::",
    ];
    cases.extend(bad.map(|text| (format!("pton6 {text}"), "error".to_owned())));
    cases.push((
        "pton6 ABCD::0001".into(),
        hex(&Ipv6Addr::new(0xabcd, 0, 0, 0, 0, 0, 0, 1).octets()),
    ));
    ask(context, &cases, byte_order)
}

fn ntop6(context: &TestContext) -> Verdict {
    let groups: [[u16; 8]; 7] = [
        [0; 8],
        [0, 0, 0, 0, 0, 0, 0, 1],
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 2, 3, 4, 5, 6, 7], // one group alone stays 0
        [1, 0, 0, 2, 0, 0, 0, 3], // the longer of two
        [1, 0, 0, 2, 3, 0, 0, 4], // the first of two as long
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xa],
    ];
    let fixed = groups.map(Ipv6Addr::from);
    // The standard library writes some of them with an IPv4 address at the end.
    let plain = |ip: &Ipv6Addr| {
        ip.segments()[..5] != [0; 5] || ip.segments() == [0; 8] || ip.segments()[..7] == [0; 7]
    };
    let some = (40..80).map(|n| some_ipv6(context, n));
    let cases = fixed.into_iter().chain(some).filter(plain);
    let cases = cases.map(|ip| (format!("ntop6 {}", hex(&ip.octets())), ip.to_string()));
    ask(context, &cases.collect::<Vec<_>>(), nothing)
}

fn order(context: &TestContext) -> Verdict {
    let mut cases = vec![
        ("hton16 1".into(), "0001".into()),
        ("hton16 8080".into(), "1f90".into()),
        ("hton32 1".into(), "00000001".into()),
        ("ntoh32 00000100".into(), "256".into()),
    ];
    for n in 0..8 {
        let (small, large) = (context.choose(n, 1 << 16), context.choose(n + 50, 1 << 32));
        cases.push((format!("hton16 {small}"), format!("{small:04x}")));
        cases.push((format!("hton32 {large}"), format!("{large:08x}")));
        cases.push((format!("ntoh32 {large:08x}"), large.to_string()));
    }
    ask(context, &cases, byte_order)
}

/// By counting, so that no shift of ours is at stake.
fn network(ip: Ipv4Addr, length: u32) -> String {
    let size = 2u64.pow(32 - length);
    let first = u64::from(u32::from(ip)) / size * size;
    let address = |n: u64| Ipv4Addr::from(n as u32);
    let mask = address((1 << 32) - size);
    let (network, last) = (address(first), address(first + size - 1));
    format!("mask {mask} network {network} broadcast {last} addresses {size}")
}

fn masks(context: &TestContext) -> Verdict {
    let cases = (1..32).map(|length| {
        let ip = some_ipv4(context, u64::from(length));
        (format!("network {ip}/{length}"), network(ip, length))
    });
    ask(context, &cases.collect::<Vec<_>>(), nothing)
}

fn ends(context: &TestContext) -> Verdict {
    let ip = some_ipv4(context, 7);
    let cases = [
        (format!("network {ip}/0"), network(ip, 0)),
        (format!("network {ip}/32"), network(ip, 32)),
        (format!("network {ip}/33"), "error".into()),
    ];
    ask(context, &cases, |_, _| ": a shift by all 32 bits is not what it looks like")
}

const C_HAS_16: &str = ": a struct of C would have gaps there, so that numbers stand at even places; what travels has none";

fn gaps(wanted: &str, said: &str) -> &'static str {
    if said.len() > wanted.len() { C_HAS_16 } else { byte_order(wanted, said) }
}

fn packed(context: &TestContext) -> Verdict {
    let mut cases = vec![
        ("pack 1 2 abcd 1.0".to_owned(), "0100000002616263643f800000".to_owned()),
        ("pack -1 -2 ab -0.5".to_owned(), "fffffffffe61620000bf000000".to_owned()),
        ("pack 1 2 abcde 1.0".to_owned(), "error".to_owned()),
    ];
    for n in 0..8 {
        let number = context.choose(n, 1 << 31) as i32;
        cases.push((format!("pack 7 {number} xyz 2.5"), format!("07{number:08x}78797a0040200000")));
    }
    ask(context, &cases, gaps)
}

fn unpacked(context: &TestContext) -> Verdict {
    let number = context.choose(3, 1 << 31) as i32;
    let cases = [
        ("unpack 0100000002616263643f800000".to_owned(), "1 2 abcd 1".to_owned()),
        ("unpack fffffffffe61620000bf000000".to_owned(), "-1 -2 ab -0.5".to_owned()),
        (format!("unpack 07{number:08x}78797a0040200000"), format!("7 {number} xyz 2.5")),
        ("unpack 0100000002616263643f8000".to_owned(), "error".to_owned()),
        ("unpack 01000000000000026162636400000000".to_owned(), "error".to_owned()),
    ];
    ask(context, &cases, nothing)
}

const SERVICES: &str = "\
# A short list, in the form of services(5).
echo            7/tcp
echo            7/udp
discard         9/tcp           sink null
ssh             22/tcp          # Secure Shell
domain          53/tcp
domain          53/udp

http            80/tcp          www
# http          81/tcp
ntp             123/udp
shell           514/tcp         cmd syslog-like
syslog          514/udp
";

fn services(
    context: &TestContext,
    cases: &[(&str, &str)],
    why: fn(&str, &str) -> &'static str,
) -> Verdict {
    let file = context.directory().join("services");
    fs::write(&file, SERVICES)?;
    let whole = |(question, wanted): &(&str, &str)| {
        let (verb, rest) = question.split_once(' ').unwrap_or((question, ""));
        (format!("{verb} {} {rest}", file.display()), (*wanted).to_owned())
    };
    ask(context, &cases.iter().map(whole).collect::<Vec<_>>(), why)
}

fn by_name(context: &TestContext) -> Verdict {
    let cases = [
        ("port ssh tcp", "22"),
        ("port www tcp", "80"),
        ("port null tcp", "9"),
        ("port domain udp", "53"),
        ("port ssh udp", "error"),
        ("port ntp tcp", "error"),
        ("port Secure tcp", "error"),
        ("port # tcp", "error"),
        ("port nobody tcp", "error"),
    ];
    services(context, &cases, |wanted, _| match wanted {
        "error" => ": it is in a comment, or has that port with the other protocol",
        _ => "",
    })
}

fn by_port(context: &TestContext) -> Verdict {
    let cases = [
        ("service 514 tcp", "shell"),
        ("service 514 udp", "syslog"),
        ("service 80 tcp", "http"),
        ("service 81 tcp", "error"),
        ("service 123 tcp", "error"),
        ("service 123 udp", "ntp"),
    ];
    services(context, &cases, |_, said| match said {
        "shell" | "syslog" | "ntp" => {
            ": one number means one service with tcp and may mean another with udp"
        }
        _ => "",
    })
}
