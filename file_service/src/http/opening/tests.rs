use super::*;

const HTTP: Opening = Opening::Http { is_head: false };

#[test]
fn whole_first_line_decides() {
    let is = |line: &str, expected| {
        let bytes = format!("{line}\nHASH x\n");
        assert_eq!(opening(bytes.as_bytes()), Some(expected), "{line:?}");
        assert_eq!(opening_so_far(bytes.as_bytes()), expected, "{line:?}");
    };
    for line in [
        "GET / HTTP/1.1",
        "GET / HTTP/1.1\r",
        "get /a HTTP/1.0\r",
        "BREW pot HTTP/1.1",
        "GET /a b HTTP/1.9",
        "PRI * HTTP/2.0\r",
        "GET  HTTP/1.1",
        "\r\nGET / HTTP/1.1\r",
    ] {
        is(line, HTTP);
    }
    for line in ["HEAD / HTTP/1.1\r", "\r\nHEAD / HTTP/1.0"] {
        is(line, Opening::Http { is_head: true });
    }
    for line in [
        "",
        "\r",
        "HASH none",
        "GET /x",
        "GET / 0 5",
        "GET HTTP/1.1",
        " HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/11",
        "GET / http/1.1",
        "GET / HTTP/1.1\r\r",
        "\nGET / HTTP/1.1",
        "\r\n\r\nGET / HTTP/1.1",
    ] {
        is(line, Opening::Other);
    }
}

#[test]
fn line_without_end_is_undecided() {
    let begins = ["GET /", "PUT /x HTT", "\r\nPOST /", "OPTIONS *", "HEAD http://a", "CONNECT /\r"];
    for bytes in begins {
        assert_eq!(opening(bytes.as_bytes()), None, "{bytes:?}");
        assert_ne!(opening_so_far(bytes.as_bytes()), Opening::Other, "{bytes:?}");
    }
    for bytes in ["", "\r", "\r\n", "G", "GET ", "GET h", "get /", "HASH /x", "GET HTTP/1.1", "\0"]
    {
        assert_eq!(opening(bytes.as_bytes()), None, "{bytes:?}");
        assert_eq!(opening_so_far(bytes.as_bytes()), Opening::Other, "{bytes:?}");
    }
}

#[test]
fn endless_line_is_decided() {
    let line = |begin: &str, length: usize| {
        let mut line = begin.as_bytes().to_vec();
        line.resize(length, b'x');
        line
    };
    assert_eq!(opening(&line("GET /", MAX_HTTP_LINE - 1)), None);
    assert_eq!(opening(&line("GET /", MAX_HTTP_LINE)), Some(HTTP));
    assert_eq!(opening(&line("GET ", MAX_LINE - 1)), None);
    assert_eq!(opening(&line("GET ", MAX_LINE)), Some(Opening::Other));
    // An ending that comes too late changes nothing.
    let late = [&line("BREW ", MAX_LINE)[..], b" HTTP/1.1\r\n"].concat();
    assert_eq!(opening(&late), Some(Opening::Other));
}

#[test]
fn more_bytes_change_no_verdict() {
    for bytes in ["GET / HTTP/1.1\r\nHost: h\r\n\r\n", "\r\nHEAD /x HTTP/1.0\r\n\r\n", "GET /x\n"] {
        let whole = opening(bytes.as_bytes());
        assert!(whole.is_some());
        for end in 0..bytes.len() {
            let part = opening(&bytes.as_bytes()[..end]);
            assert!(part.is_none() || part == whole, "{bytes:?} up to {end}: {part:?}");
        }
    }
}
