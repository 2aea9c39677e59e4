use super::super::request::{Parsed, Request, parse};
use super::*;
use crate::store::Existing;
use proptest::prelude::*;

/// Sun, 06 Nov 1994 08:49:37 GMT
const MTIME: i64 = 784_111_777;
const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn stat(size: u64) -> Stat {
    Stat { size, mtime: MTIME, mtime_nsec: 500, ino: 42 }
}

fn tag() -> String {
    String::from_utf8(Etag::of(&stat(100)).as_bytes().to_vec()).unwrap()
}

fn request(method: &str, fields: &[(&str, &str)]) -> Request {
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("{method} /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    match parse(head.as_bytes()) {
        Parsed::Complete { request, .. } => request,
        other => panic!("{head:?}: {other:?}"),
    }
}

/// What is decided about a file of 100 bytes.
fn get(fields: &[(&str, &str)]) -> Decision {
    request("GET", fields).decide(&stat(100))
}

fn partial(offset: u64, length: u64) -> Decision {
    Decision::Partial { offset, length }
}

#[test]
fn tag_depends_on_the_version() {
    assert_eq!(tag(), format!("\"{MTIME:x}-1f4-64-2a\""));
    let zero = Etag::of(&Stat { size: 0, mtime: 0, mtime_nsec: 0, ino: 0 });
    assert_eq!(zero.as_bytes(), b"\"0-0-0-0\"");
    let largest = Stat { size: u64::MAX, mtime: -1, mtime_nsec: u32::MAX, ino: u64::MAX };
    assert_eq!(Etag::of(&largest).as_bytes().len(), Etag::MAX);
}

#[test]
fn range_is_cut_to_the_file() {
    for (value, decision) in [
        ("bytes=0-0", partial(0, 1)),
        ("bytes=0-99", partial(0, 100)),
        ("bytes=0-", partial(0, 100)),
        ("bytes=10-19", partial(10, 10)),
        ("bytes=99-", partial(99, 1)),
        ("bytes=90-1000", partial(90, 10)),
        ("bytes=90-99999999999999999999999", partial(90, 10)),
        ("bytes=90-18446744073709551615", partial(90, 10)),
        ("bytes=-1", partial(99, 1)),
        ("bytes=-100", partial(0, 100)),
        ("bytes=-1000", partial(0, 100)),
        ("bytes=-99999999999999999999999", partial(0, 100)),
        ("BYTES=0-0", partial(0, 1)),
        ("bytes=007-8", partial(7, 2)),
        ("bytes= 1-2", partial(1, 2)),
        ("bytes=100-", Decision::Unsatisfiable),
        ("bytes=100-200", Decision::Unsatisfiable),
        ("bytes=99999999999999999999999-", Decision::Unsatisfiable),
        ("bytes=-0", Decision::Unsatisfiable),
        ("bytes=5-4", Decision::Full),
        ("bytes=0-1,5-6", Decision::Full),
        ("bytes=0-1,", Decision::Full),
        ("bytes=-", Decision::Full),
        ("bytes=", Decision::Full),
        ("bytes", Decision::Full),
        ("bytes=a-b", Decision::Full),
        ("bytes=+1-2", Decision::Full),
        ("bytes=1 -2", Decision::Full),
        ("bytes=1--2", Decision::Full),
        ("bytes=--2", Decision::Full),
        ("bytes =0-1", Decision::Full),
        ("lines=0-1", Decision::Full),
        ("", Decision::Full),
    ] {
        assert_eq!(get(&[("Range", value)]), decision, "{value:?}");
        let head = request("HEAD", &[("Range", value)]);
        assert_eq!(head.decide(&stat(100)), Decision::Full, "only GET has ranges");
    }
    assert_eq!(get(&[("Range", "bytes=0-1"), ("Range", "bytes=2-3")]), Decision::Full);
    assert_eq!(get(&[("Range", "bytes=0-1"), ("Range", "lines=2-3")]), Decision::Full);
}

#[test]
fn empty_file_satisfies_no_range() {
    for value in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"] {
        let request = request("GET", &[("Range", value)]);
        assert_eq!(request.decide(&stat(0)), Decision::Unsatisfiable, "{value}");
    }
    assert_eq!(request("GET", &[]).decide(&stat(0)), Decision::Full);
}

#[test]
fn if_none_match_yields_304() {
    let tag = &tag();
    for (list, known) in [
        (tag.clone(), true),
        (format!("W/{tag}"), true),
        (format!("\"a\", {tag}"), true),
        (format!("\"a,b\" ,, W/{tag} ,"), true),
        ("*".into(), true),
        ("\"a\"".into(), false),
        ("\"\"".into(), false),
        (tag.trim_matches('"').into(), false),
        (format!("{tag}x"), false),
        (format!("\"a {tag}"), false),
        (format!("w/{tag}"), false),
        (String::new(), false),
        (format!("*, {tag}"), false),
    ] {
        let expected = if known { Decision::NotModified } else { Decision::Full };
        assert_eq!(get(&[("If-None-Match", &list)]), expected, "{list:?}");
    }
    assert_eq!(get(&[("If-None-Match", "\"a\""), ("if-none-match", tag)]), Decision::NotModified);
    let head = request("HEAD", &[("If-None-Match", tag)]);
    assert_eq!(head.decide(&stat(100)), Decision::NotModified);
}

#[test]
fn if_match_is_strong() {
    let tag = &tag();
    for (list, same) in [
        (tag.clone(), true),
        (format!("\"a\",{tag}"), true),
        ("*".into(), true),
        (format!("W/{tag}"), false),
        ("\"a\"".into(), false),
        ("junk".into(), false),
        (String::new(), false),
    ] {
        let expected = if same { Decision::Full } else { Decision::PreconditionFailed };
        assert_eq!(get(&[("If-Match", &list)]), expected, "{list:?}");
    }
}

#[test]
fn date_condition_compares_seconds() {
    let modified_since = |date| get(&[("If-Modified-Since", date)]);
    assert_eq!(modified_since(BEFORE), Decision::Full);
    assert_eq!(modified_since(AT), Decision::NotModified);
    assert_eq!(modified_since(AFTER), Decision::NotModified);
    assert_eq!(modified_since("Sunday, 06-Nov-94 08:49:37 GMT"), Decision::NotModified);
    assert_eq!(modified_since("Sun Nov  6 08:49:37 1994"), Decision::NotModified);
    assert_eq!(modified_since("yesterday"), Decision::Full);
    assert_eq!(
        get(&[("If-Modified-Since", AT), ("If-Modified-Since", AT)]),
        Decision::Full,
        "two dates are none"
    );
    let unmodified_since = |date| get(&[("If-Unmodified-Since", date)]);
    assert_eq!(unmodified_since(BEFORE), Decision::PreconditionFailed);
    assert_eq!(unmodified_since(AT), Decision::Full);
    assert_eq!(unmodified_since(AFTER), Decision::Full);
    assert_eq!(unmodified_since("yesterday"), Decision::Full);
}

#[test]
fn conditions_apply_in_rfc_order() {
    let tag = &tag();
    // If-Match before If-Unmodified-Since, which it replaces.
    assert_eq!(get(&[("If-Match", tag), ("If-Unmodified-Since", BEFORE)]), Decision::Full);
    // A failed precondition before 304.
    assert_eq!(get(&[("If-None-Match", tag), ("If-Match", "\"a\"")]), Decision::PreconditionFailed);
    assert_eq!(
        get(&[("If-None-Match", tag), ("If-Unmodified-Since", BEFORE)]),
        Decision::PreconditionFailed
    );
    // If-None-Match replaces If-Modified-Since.
    assert_eq!(get(&[("If-None-Match", "\"a\""), ("If-Modified-Since", AT)]), Decision::Full);
    assert_eq!(
        get(&[("If-None-Match", tag), ("If-Modified-Since", BEFORE)]),
        Decision::NotModified
    );
    // All of them before the range.
    assert_eq!(get(&[("Range", "bytes=500-"), ("If-None-Match", tag)]), Decision::NotModified);
    assert_eq!(get(&[("Range", "bytes=0-1"), ("If-Match", "\"a\"")]), Decision::PreconditionFailed);
    assert_eq!(get(&[("Range", "bytes=0-1"), ("If-Match", tag)]), partial(0, 2));
}

#[test]
fn if_range_mismatch_ignores_the_range() {
    let tag = &tag();
    let range = ("Range", "bytes=0-1");
    for (validator, same) in [
        (tag.clone(), true),
        (AT.into(), true),
        (format!("W/{tag}"), false),
        ("\"a\"".into(), false),
        (format!("{tag}, \"a\""), false),
        ("*".into(), false),
        (BEFORE.into(), false),
        (AFTER.into(), false),
        ("junk".into(), false),
    ] {
        let expected = if same { partial(0, 2) } else { Decision::Full };
        assert_eq!(get(&[range, ("If-Range", &validator)]), expected, "{validator:?}");
    }
    // A range that cannot be had of this version may be one of another.
    assert_eq!(get(&[("Range", "bytes=500-"), ("If-Range", "\"a\"")]), Decision::Full);
    assert_eq!(get(&[("Range", "bytes=500-"), ("If-Range", tag)]), Decision::Unsatisfiable);
    assert_eq!(get(&[("If-Range", tag)]), Decision::Full);
}

#[test]
fn fresh_date_does_not_validate_range() {
    let fresh = Stat { mtime: now(), ..stat(100) };
    let date = httpdate::fmt_http_date(
        UNIX_EPOCH + std::time::Duration::from_secs(fresh.mtime.cast_unsigned()),
    );
    let request = request("GET", &[("Range", "bytes=0-1"), ("If-Range", &date)]);
    assert_eq!(request.decide(&fresh), Decision::Full);
}

#[test]
fn upload_conditions_permit_or_refuse() {
    let tag = &tag();
    let old = stat(100);
    for (fields, replaces, creates) in [
        (&[][..], true, true),
        (&[("If-None-Match", "*")][..], false, true),
        (&[("If-None-Match", tag)], false, true),
        (&[("If-None-Match", "\"a\"")], true, true),
        (&[("If-None-Match", "junk")], false, false),
        (&[("If-Match", "*")], true, false),
        (&[("If-Match", tag)], true, false),
        (&[("If-Match", "\"a\"")], false, false),
        (&[("If-Match", "junk")], false, false),
        (&[("If-Unmodified-Since", AT)], true, true),
        (&[("If-Unmodified-Since", BEFORE)], false, true),
        (&[("If-Modified-Since", AT)], true, true),
        (&[("If-Match", tag), ("If-None-Match", "*")], false, false),
    ] {
        let request = request("PUT", fields);
        assert_eq!(request.permits_put(&Existing::File(old)), replaces, "{fields:?} replaces");
        assert_eq!(request.permits_put(&Existing::Nothing), creates, "{fields:?} creates");
    }
}

proptest! {
    #[test]
    fn any_range_lies_inside_the_file(
        first in any::<u64>(), last in any::<u64>(), size in 0..=i64::MAX as u64,
        near in 0..300u64, text in "(bytes=)?[0-9]{0,25}-?[0-9]{0,25}",
    ) {
        let ranges = [
            RangeSpec::From { first, last: Some(last) },
            RangeSpec::From { first: near, last: Some(near + last % 300) },
            RangeSpec::From { first, last: None },
            RangeSpec::Suffix(first),
            RangeSpec::Suffix(near),
        ];
        for range in ranges.into_iter().chain(RangeSpec::parse(text.as_bytes())) {
            for size in [size, near, size % 300] {
                if let Some((offset, length)) = range.within(size) {
                    prop_assert!(length > 0);
                    prop_assert!(offset.checked_add(length).is_some_and(|end| end <= size));
                }
            }
        }
    }

    #[test]
    fn any_condition_is_decided_without_panic(
        name in prop::sample::select(vec![
            "If-Match", "If-None-Match", "If-Range", "If-Modified-Since", "If-Unmodified-Since",
        ]),
        value in "[W/\"*, a-c]{0,20}|[ -~]{0,40}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT",
        mtime in any::<i64>(),
    ) {
        let stat = Stat { mtime, ..stat(100) };
        let _ = request("GET", &[(name, &value), ("Range", "bytes=0-1")]).decide(&stat);
        let put = request("PUT", &[(name, &value)]);
        let _ = (put.permits_put(&Existing::File(stat)), put.permits_put(&Existing::Nothing));
    }
}
