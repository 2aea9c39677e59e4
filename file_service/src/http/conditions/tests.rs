use super::super::date::http_date;
use super::super::request::{Parsed, Request, parse};
use super::*;
use crate::store::Existing;
use proptest::prelude::*;

/// Sun, 06 Nov 1994 08:49:37 GMT
const MTIME: i64 = 784_111_777;
const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// A file that has not changed since it was written.
fn version(size: u64) -> Version {
    Version::settled(size, MTIME)
}

/// Whether a `PUT` with these fields may land where this exists.
fn permits_put(fields: &[(&str, &str)], existing: Existing) -> bool {
    request("PUT", fields).take_precondition().is_none_or(|condition| condition.holds(&existing))
}

fn with_mtime(mtime: i64) -> Version {
    let version = version(100);
    Version { stat: Stat { mtime, ..version.stat }, ..version }
}

fn weak() -> Version {
    Version { is_strong: false, ..version(100) }
}

fn tag_of(version: &Version) -> String {
    String::from_utf8(Etag::of(version).as_bytes().to_vec()).unwrap()
}

fn tag() -> String {
    tag_of(&version(100))
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
    request("GET", fields).decide(&version(100))
}

fn partial(offset: u64, length: u64) -> Decision {
    Decision::Partial { offset, length }
}

#[test]
fn tag_depends_on_the_version() {
    assert_eq!(tag(), format!("\"2a-64-{MTIME:x}-1f4-{MTIME:x}-258\""));
    let same = version(100);
    let Version { stat, .. } = same;
    for other in [
        Stat { size: 101, ..stat },
        Stat { mtime: MTIME + 1, ..stat },
        Stat { mtime_nsec: 501, ..stat },
        Stat { ctime: MTIME + 1, ..stat },
        Stat { ctime_nsec: 601, ..stat },
        Stat { ino: 43, ..stat },
    ] {
        assert_ne!(tag_of(&Version { stat: other, ..same }), tag(), "{other:?}");
    }
    // A device may have another number after the next start.
    assert_eq!(tag_of(&Version { stat: Stat { mount: None, ..stat }, ..same }), tag());
}

#[test]
fn tag_has_room_for_any_number() {
    let none = Stat {
        size: 0,
        mtime: 0,
        mtime_nsec: 0,
        ctime: 0,
        ctime_nsec: 0,
        ino: 0,
        mount: None,
        is_linked: false,
    };
    assert_eq!(tag_of(&Version { stat: none, ..version(0) }), "\"0-0-0-0-0-0\"");
    let most = Stat {
        size: u64::MAX,
        mtime: -1,
        mtime_nsec: u32::MAX,
        ctime: -1,
        ctime_nsec: u32::MAX,
        ino: u64::MAX,
        ..none
    };
    assert_eq!(Etag::of(&Version { stat: most, ..weak() }).as_bytes().len(), Etag::MAX);
}

#[test]
fn unsettled_tag_is_compared_not_sent() {
    let young = Version { is_settled: false, ..version(100) };
    assert!(Etag::to_send(&young).is_none());
    assert_eq!(tag_of(&young), tag());
    assert_eq!(
        Etag::to_send(&version(100)).map(|etag| etag.as_bytes().to_vec()),
        Some(tag().into())
    );
    let request = request("GET", &[("If-None-Match", &tag())]);
    assert_eq!(request.decide(&young), Decision::NotModified);
}

#[test]
fn weak_tag_matches_weakly_only() {
    let (weak, tag) = (weak(), tag());
    let sent = tag_of(&weak);
    assert_eq!(sent, format!("W/{tag}"));
    let decide = |fields: &[(&str, &str)]| request("GET", fields).decide(&weak);
    for tag in [&sent, &tag] {
        assert_eq!(decide(&[("If-None-Match", tag)]), Decision::NotModified);
        assert_eq!(decide(&[("If-Match", tag)]), Decision::PreconditionFailed);
        assert_eq!(decide(&[("Range", "bytes=0-1"), ("If-Range", tag)]), Decision::Full);
        assert!(!permits_put(&[("If-Match", tag)], Existing::File(weak)));
        assert!(!permits_put(&[("If-None-Match", tag)], Existing::File(weak)));
    }
    assert_eq!(decide(&[("If-Match", "*")]), Decision::Full);
    assert_eq!(decide(&[("Range", "bytes=0-1"), ("If-Range", AT)]), Decision::Full);
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
        assert_eq!(head.decide(&version(100)), Decision::Full, "only GET has ranges");
    }
    assert_eq!(get(&[("Range", "bytes=0-1"), ("Range", "bytes=2-3")]), Decision::Full);
    assert_eq!(get(&[("Range", "bytes=0-1"), ("Range", "lines=2-3")]), Decision::Full);
}

#[test]
fn range_of_empty_file_is_416() {
    for (value, decision) in [
        ("bytes=0-", Decision::Unsatisfiable),
        ("bytes=0-0", Decision::Unsatisfiable),
        ("bytes=5-", Decision::Unsatisfiable),
        ("bytes=-0", Decision::Unsatisfiable),
        // The last bytes of an empty file are all that it has.
        ("bytes=-1", Decision::Full),
        ("bytes=-99999999999999999999999", Decision::Full),
    ] {
        let request = request("GET", &[("Range", value)]);
        assert_eq!(request.decide(&version(0)), decision, "{value}");
    }
    assert_eq!(request("GET", &[]).decide(&version(0)), Decision::Full);
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
    assert_eq!(head.decide(&version(100)), Decision::NotModified);
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
    ] {
        let expected = if same { Decision::Full } else { Decision::PreconditionFailed };
        assert_eq!(get(&[("If-Match", &list)]), expected, "{list:?}");
    }
}

#[test]
fn malformed_list_of_tags_is_refused() {
    for list in
        ["junk", "\"a", "a\"", "\"a\" \"b\"", "w/\"a\"", "\"a b\"", "*, \"a\"", "*, *", ",", ""]
    {
        assert_eq!(get(&[("If-Match", list)]), Decision::Malformed, "{list:?}");
        assert_eq!(get(&[("If-None-Match", list)]), Decision::Full, "{list:?}");
        for field in ["If-Match", "If-None-Match"] {
            let put = request("PUT", &[(field, list)]);
            assert!(put.malformed_condition().is_some(), "{field}: {list:?}");
            assert!(!permits_put(&[(field, list)], Existing::File(version(100))));
            assert!(!permits_put(&[(field, list)], Existing::Nothing));
        }
    }
    for list in ["*", "\"a\"", "W/\"a\"", ",\"a\",, \"b\" ,", "\"\"", "\"\u{e9},\""] {
        let put = request("PUT", &[("If-Match", list), ("If-None-Match", list)]);
        assert_eq!(put.malformed_condition(), None, "{list:?}");
    }
    // The other conditions are ignored where they are malformed.
    let fields = [("If-Unmodified-Since", "junk"), ("If-Range", "junk")];
    assert_eq!(request("PUT", &fields).malformed_condition(), None);
    assert!(permits_put(&fields, Existing::File(version(100))));
}

#[test]
fn listing_exists_and_has_no_validators() {
    for (fields, decision) in [
        (&[][..], Decision::Full),
        (&[("If-Match", "*")][..], Decision::Full),
        (&[("If-Match", "\"x\"")], Decision::PreconditionFailed),
        (&[("If-Match", "W/\"x\"")], Decision::PreconditionFailed),
        (&[("If-Match", "junk")], Decision::Malformed),
        (&[("If-None-Match", "*")], Decision::NotModified),
        (&[("If-None-Match", "\"x\"")], Decision::Full),
        (&[("If-None-Match", "junk")], Decision::Full),
        (&[("If-Match", "\"x\""), ("If-None-Match", "*")], Decision::PreconditionFailed),
        (&[("If-Modified-Since", AT)], Decision::Full),
        (&[("If-Unmodified-Since", "Mon, 01 Jan 0001 00:00:00 GMT")], Decision::Full),
        (&[("Range", "bytes=0-1"), ("If-Range", "\"x\"")], Decision::Full),
    ] {
        for method in ["GET", "HEAD"] {
            assert_eq!(request(method, fields).decide_listing(), decision, "{fields:?}");
        }
    }
}

#[test]
fn star_covers_what_is_no_file() {
    for (field, list, permitted) in [
        ("If-Match", "*", true),
        ("If-Match", "\"x\"", false),
        ("If-None-Match", "*", false),
        ("If-None-Match", "\"x\"", true),
        ("If-Unmodified-Since", "Mon, 01 Jan 0001 00:00:00 GMT", true),
    ] {
        assert_eq!(permits_put(&[(field, list)], Existing::Other), permitted, "{field}: {list}");
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
fn early_date_is_compared_as_any() {
    let decide = |name, date, mtime| request("GET", &[(name, date)]).decide(&with_mtime(mtime));
    let before_1970 = "Wed, 31 Dec 1969 23:59:59 GMT";
    for (mtime, changed) in [(-2, false), (-1, false), (0, true), (MTIME, true)] {
        let (since, until) = if changed {
            (Decision::Full, Decision::PreconditionFailed)
        } else {
            (Decision::NotModified, Decision::Full)
        };
        assert_eq!(decide("If-Modified-Since", before_1970, mtime), since, "{mtime}");
        assert_eq!(decide("If-Unmodified-Since", before_1970, mtime), until, "{mtime}");
    }
    // A leap second is the first second of the next day.
    let leap = "Sat, 31 Dec 2016 23:59:60 GMT";
    let midnight = 1_483_228_800;
    assert_eq!(decide("If-Unmodified-Since", leap, midnight), Decision::Full);
    assert_eq!(decide("If-Unmodified-Since", leap, midnight + 1), Decision::PreconditionFailed);
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
fn date_of_touched_file_keeps_no_range() {
    let range = [("Range", "bytes=0-1"), ("If-Range", AT)];
    let version = version(100);
    // Another content, and the time put back; or only another mode, which looks the same.
    let touched = Version { stat: Stat { ctime: MTIME + 1, ..version.stat }, ..version };
    assert_eq!(request("GET", &range).decide(&touched), Decision::Full);
    assert_eq!(request("GET", &range).decide(&version), partial(0, 2));
}

#[test]
fn fresh_date_does_not_validate_range() {
    let now = now();
    let stat = Stat { mtime: now, ctime: now, ..version(100).stat };
    let fresh = Version { stat, ..version(100) };
    let date = String::from_utf8(http_date(now).to_vec()).unwrap();
    let request = request("GET", &[("Range", "bytes=0-1"), ("If-Range", &date)]);
    assert_eq!(request.decide(&fresh), Decision::Full);
}

#[test]
fn upload_conditions_permit_or_refuse() {
    let tag = &tag();
    let old = version(100);
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
        assert_eq!(permits_put(fields, Existing::File(old)), replaces, "{fields:?} replaces");
        assert_eq!(permits_put(fields, Existing::Nothing), creates, "{fields:?} creates");
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
                if let Decision::Partial { offset, length } = range.of_file(size) {
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
        let version = with_mtime(mtime);
        let get = request("GET", &[(name, &value), ("Range", "bytes=0-1")]);
        let _ = (get.decide(&version), get.decide_listing());
        let put = [(name, &*value)];
        let _ = (permits_put(&put, Existing::File(version)), permits_put(&put, Existing::Nothing));
    }
}
