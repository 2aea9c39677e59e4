use super::*;
use proptest::prelude::*;

fn decoded(path: &str) -> Result<Vec<u8>, Code> {
    RelPath::decode(path.as_bytes()).map(|p| p.as_bytes().to_vec())
}

#[test]
fn number_has_one_form() {
    for (text, value) in [("0", 0), ("7", 7), ("9223372036854775807", i64::MAX as u64)] {
        assert_eq!(parse_number(text.as_bytes()), Some(value));
    }
    for text in [
        "",
        "00",
        "05",
        "+5",
        "-1",
        " 5",
        "5 ",
        "0x5",
        "9223372036854775808",
        "99999999999999999999",
    ] {
        assert_eq!(parse_number(text.as_bytes()), None, "{text}");
    }
    assert_eq!(parse_number(&[b'1'; 400]), None);
}

#[test]
fn path_above_root_is_rejected() {
    assert_eq!(decoded("/"), Ok(vec![]));
    assert_eq!(decoded("/a/b"), Ok(b"a/b".to_vec()));
    assert_eq!(decoded("a%20b/%25/%C3%A4"), Ok("a b/%/ä".into()));
    assert_eq!(decoded("%FF"), Ok(vec![0xff]));
    assert_eq!(decoded("a/"), Ok(b"a".to_vec()));
    for path in [
        "",
        "//",
        "a//b",
        "a//",
        ".",
        "..",
        "../a",
        "a/../b",
        "%2e%2e",
        "%2E",
        "a/%2e%2e/b",
        "a%2Fb",
        "%00",
        "a%0ab",
        "%7F",
        "%",
        "%4",
        "%zz",
        "a b",
        "a\tb",
        "/../etc",
        ".~upload-0123456789abcdef",
    ] {
        assert_eq!(decoded(path), Err(Code::BadPath), "{path:?}");
    }
    assert!(decoded(&"x".repeat(255)).is_ok());
    assert_eq!(decoded(&"x".repeat(256)), Err(Code::BadPath));
    assert_eq!(RelPath::decode(b"a\xff"), Err(Code::BadPath));
}

#[test]
fn verb_is_checked_before_arguments() {
    let code = |line: &str| Request::parse(line.as_bytes()).map_err(|e| (e.code, e.close));
    assert_eq!(code(""), Err((Code::BadCommand, false)));
    assert_eq!(code(" GET a"), Err((Code::BadCommand, false)));
    assert_eq!(code("FROB a  b"), Err((Code::BadCommand, false)));
    assert_eq!(code("GET"), Err((Code::BadArgument, false)));
    assert_eq!(code("GET "), Err((Code::BadArgument, false)));
    assert_eq!(code("GET a "), Err((Code::BadArgument, false)));
    assert_eq!(code("GET a 0 1 2 3 4"), Err((Code::BadArgument, false)));
    assert_eq!(code("PUT a"), Err((Code::BadArgument, true)));
    assert_eq!(code("PUT a x"), Err((Code::BadArgument, true)));
    assert_eq!(code("quit\r"), Ok(Request::Quit));
    assert_eq!(code("list"), Ok(Request::List(Ok(RelPath::root()))));
    assert_eq!(
        code("get a/"),
        Ok(Request::Get { path: Err(Code::BadPath), offset: 0, length: None })
    );
}

proptest! {
    #[test]
    fn any_line_is_parsed_without_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::parse(&line);
    }

    #[test]
    fn encoded_name_decodes_to_itself(name in proptest::collection::vec(any::<u8>(), 1..200)) {
        let mut encoded = Vec::new();
        encode_name(&name, &mut encoded);
        prop_assert!(encoded.is_ascii() || std::str::from_utf8(&encoded).is_ok());
        match RelPath::decode(&encoded) {
            Ok(path) => prop_assert!(path.as_bytes() == name || name.starts_with(b"/") || name.ends_with(b"/")),
            Err(_) => prop_assert!(
                name.iter().any(|&b| is_control(b) || b == b'/') || name == b"." || name == b".."
            ),
        }
    }

    #[test]
    fn accepted_path_stays_below_root(path in "[./a%2eEf]{1,40}") {
        if let Ok(path) = RelPath::decode(path.as_bytes()) {
            for component in path.as_bytes().split(|&b| b == b'/') {
                prop_assert!(path.is_root() || (!component.is_empty() && component != b"." && component != b".."));
            }
        }
    }
}
