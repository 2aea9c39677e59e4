//! Validators, conditional requests and ranges: what a client that knows an older version, or wants
//! only a part, should get.

use std::time::UNIX_EPOCH;

use super::request::{Method, Request};
use super::response::{now, push_hex};
use crate::store::Stat;

/// What the answer to a `GET` or `HEAD` of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The whole file: 200.
    Full,
    /// A part of it, never an empty one: 206.
    Partial {
        /// The first byte.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// The client's copy is still good: 304.
    NotModified,
    /// The file is not the one that the client means: 412.
    PreconditionFailed,
    /// The part wanted lies beyond the end: 416.
    Unsatisfiable,
}

/// What a `GET` or `HEAD` of this file is answered, in the order of RFC 9110, section 13.2.2.
pub(crate) fn decide(request: &Request, stat: &Stat) -> Decision {
    let mut range = request.range.filter(|_| request.method == Method::Get);
    if let Some(conditions) = &request.conditions {
        let etag = Etag::of(stat);
        if !conditions.still_the_same(Some((stat, &etag))) {
            return Decision::PreconditionFailed;
        }
        let not_modified = match (&conditions.if_none_match, &conditions.if_modified_since) {
            // A malformed list means nothing; the whole file is never wrong.
            (Some(list), _) => is_listed(list, Some(&etag), Comparison::Weak) == Some(true),
            (None, Some(date)) => parse_date(date).is_some_and(|date| stat.mtime <= date),
            (None, None) => false,
        };
        if not_modified {
            return Decision::NotModified;
        }
        if let Some(validator) = &conditions.if_range
            && !is_same_version(validator, stat, &etag)
        {
            range = None;
        }
    }
    match range {
        None => Decision::Full,
        Some(range) => match range.within(stat.size) {
            Some((offset, length)) => Decision::Partial { offset, length },
            None => Decision::Unsatisfiable,
        },
    }
}

/// Whether a `PUT` may replace this file, or create it where there is none; otherwise 412.
pub(crate) fn decide_put(request: &Request, existing: Option<&Stat>) -> bool {
    let Some(conditions) = &request.conditions else {
        return true;
    };
    let etag = existing.map(Etag::of);
    if !conditions.still_the_same(existing.zip(etag.as_ref())) {
        return false;
    }
    match &conditions.if_none_match {
        None => true,
        // A malformed list was meant to protect something.
        Some(list) => is_listed(list, etag.as_ref(), Comparison::Weak) == Some(false),
    }
}

/// The values of the conditional fields as they came.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    if_match: Option<Vec<u8>>,
    if_none_match: Option<Vec<u8>>,
    if_modified_since: Option<Vec<u8>>,
    if_unmodified_since: Option<Vec<u8>>,
    if_range: Option<Vec<u8>>,
}

impl Conditions {
    /// Where the value of a field belongs; `None` where its name is no conditional field's.
    pub(super) fn field<'a>(
        conditions: &'a mut Option<Box<Conditions>>,
        name: &str,
    ) -> Option<&'a mut Option<Vec<u8>>> {
        // Nearly every request has none, and most field names end the matter here.
        let (prefix, rest) = name.split_at_checked(3)?;
        if !prefix.eq_ignore_ascii_case("If-") {
            return None;
        }
        let is = |known: &str| rest.eq_ignore_ascii_case(known);
        let place: fn(&mut Conditions) -> &mut Option<Vec<u8>> = if is("Match") {
            |conditions| &mut conditions.if_match
        } else if is("None-Match") {
            |conditions| &mut conditions.if_none_match
        } else if is("Modified-Since") {
            |conditions| &mut conditions.if_modified_since
        } else if is("Unmodified-Since") {
            |conditions| &mut conditions.if_unmodified_since
        } else if is("Range") {
            |conditions| &mut conditions.if_range
        } else {
            return None;
        };
        Some(place(conditions.get_or_insert_default()))
    }

    /// `If-Match`, or else `If-Unmodified-Since`. Where there is no file, it has no date either and
    /// the latter does not count.
    fn still_the_same(&self, existing: Option<(&Stat, &Etag)>) -> bool {
        if let Some(list) = &self.if_match {
            let etag = existing.map(|(_, etag)| etag);
            is_listed(list, etag, Comparison::Strong) == Some(true)
        } else if let Some(date) = &self.if_unmodified_since
            && let Some((stat, _)) = existing
        {
            parse_date(date).is_none_or(|date| stat.mtime <= date)
        } else {
            true
        }
    }
}

/// One byte range, as the client wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangeSpec {
    /// `first-last` or `first-`.
    From {
        /// The first byte.
        first: u64,
        /// The last one; the end of the file where it is absent or lies beyond.
        last: Option<u64>,
    },
    /// `-length`: the last bytes of the file.
    Suffix(u64),
}

impl RangeSpec {
    /// Reads the value of a `Range` field. `None` for another unit, for several ranges and for
    /// what is malformed: then the field is ignored, as the standard allows or demands.
    pub(super) fn parse(value: &[u8]) -> Option<RangeSpec> {
        let (unit, range) = value.split_at_checked(6)?;
        if !unit.eq_ignore_ascii_case(b"bytes=") {
            return None;
        }
        let range = range.trim_ascii();
        let (first, last) = range.split_at(memchr::memchr(b'-', range)?);
        match (first, &last[1..]) {
            ([], length) => Some(RangeSpec::Suffix(parse_position(length)?)),
            (first, []) => Some(RangeSpec::From { first: parse_position(first)?, last: None }),
            (first, last) => {
                let (first, last) = (parse_position(first)?, parse_position(last)?);
                (first <= last).then_some(RangeSpec::From { first, last: Some(last) })
            }
        }
    }

    /// Offset and length of the part; `None` where no byte of a file of this size is in it.
    ///
    /// That is so for any range of an empty file: no `Content-Range` can describe nothing.
    fn within(self, size: u64) -> Option<(u64, u64)> {
        let (offset, length) = match self {
            RangeSpec::From { first, last } => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                (first, end.saturating_sub(first))
            }
            RangeSpec::Suffix(length) => {
                let length = length.min(size);
                (size - length, length)
            }
        };
        (length > 0).then_some((offset, length))
    }
}

/// Digits only. A number of any length is well formed; the largest stands for all beyond it, since
/// it lies beyond the end of every file.
fn parse_position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |n, digit| {
        n.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit - b'0'))).unwrap_or(u64::MAX)
    }))
}

/// The entity tag of a file: a strong one, since an upload never changes a file in place but puts
/// a new one, with its own inode and time, where the old one was.
pub(super) struct Etag {
    bytes: [u8; Etag::MAX],
    len: usize,
}

impl Etag {
    /// Two quotes, three hyphens, three numbers of 64 bits and one of 32.
    const MAX: usize = 2 + 3 + 3 * 16 + 8;

    pub(super) fn of(stat: &Stat) -> Etag {
        let mut etag = Etag { bytes: [0; Etag::MAX], len: 0 };
        let numbers = [stat.mtime.cast_unsigned(), stat.mtime_nsec.into(), stat.size, stat.ino];
        for (number, before) in numbers.into_iter().zip(*b"\"---") {
            etag.bytes[etag.len] = before;
            etag.len += 1 + push_hex(number, &mut etag.bytes[etag.len + 1..]);
        }
        etag.bytes[etag.len] = b'"';
        etag.len += 1;
        etag
    }

    /// With its quotes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// How two tags are compared: a weak one equals nothing strongly.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether the list of tags, or `*`, covers the file, which has no tag where it does not exist.
/// `None` where the list is malformed or empty.
fn is_listed(list: &[u8], etag: Option<&Etag>, comparison: Comparison) -> Option<bool> {
    if list == b"*" {
        return Some(etag.is_some());
    }
    let mut rest = list;
    let mut listed = None;
    loop {
        // Empty members are allowed.
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return listed;
        }
        let (tag, weak, after) = take_tag(rest)?;
        rest = after.trim_ascii_start();
        if !matches!(rest, [] | [b',', ..]) {
            return None;
        }
        let equal = etag.is_some_and(|etag| etag.as_bytes() == tag);
        let counts = !(weak && comparison == Comparison::Strong);
        listed = Some(listed == Some(true) || (equal && counts));
    }
}

/// One tag with its quotes, whether it is weak, and what follows it.
fn take_tag(bytes: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let (weak, tag) = match bytes.strip_prefix(b"W/") {
        Some(tag) => (true, tag),
        None => (false, bytes),
    };
    let inner = tag.strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', inner)?;
    if inner[..end].iter().any(|&b| b <= b' ' || b == 0x7f) {
        return None;
    }
    let (tag, after) = tag.split_at(end + 2);
    Some((tag, weak, after))
}

/// `If-Range`: whether the client's part is of exactly this version.
fn is_same_version(validator: &[u8], stat: &Stat, etag: &Etag) -> bool {
    if let Some((tag, weak, after)) = take_tag(validator) {
        return !weak && after.is_empty() && tag == etag.as_bytes();
    }
    // A date proves it only if the file cannot have changed again within the same second.
    parse_date(validator).is_some_and(|date| date == stat.mtime && stat.mtime < now() - 1)
}

/// Seconds since the epoch of a date in any of the three forms of HTTP. A malformed one is to be
/// ignored.
fn parse_date(value: &[u8]) -> Option<i64> {
    let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::request::{Parsed, parse};
    use super::*;
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
        decide(&request("GET", fields), &stat(100))
    }

    fn partial(offset: u64, length: u64) -> Decision {
        Decision::Partial { offset, length }
    }

    #[test]
    fn tags_tell_versions_apart() {
        assert_eq!(tag(), format!("\"{MTIME:x}-1f4-64-2a\""));
        let zero = Etag::of(&Stat { size: 0, mtime: 0, mtime_nsec: 0, ino: 0 });
        assert_eq!(zero.as_bytes(), b"\"0-0-0-0\"");
        let largest = Stat { size: u64::MAX, mtime: -1, mtime_nsec: u32::MAX, ino: u64::MAX };
        assert_eq!(Etag::of(&largest).as_bytes().len(), Etag::MAX);
    }

    #[test]
    fn ranges() {
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
            assert_eq!(decide(&head, &stat(100)), Decision::Full, "only GET has ranges");
        }
        assert_eq!(get(&[("Range", "bytes=0-1"), ("Range", "bytes=2-3")]), Decision::Full);
        assert_eq!(get(&[("Range", "bytes=0-1"), ("Range", "lines=2-3")]), Decision::Full);
    }

    #[test]
    fn nothing_can_be_cut_from_an_empty_file() {
        for value in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"] {
            let request = request("GET", &[("Range", value)]);
            assert_eq!(decide(&request, &stat(0)), Decision::Unsatisfiable, "{value}");
        }
        assert_eq!(decide(&request("GET", &[]), &stat(0)), Decision::Full);
    }

    #[test]
    fn if_none_match_spares_a_copy() {
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
        assert_eq!(
            get(&[("If-None-Match", "\"a\""), ("if-none-match", tag)]),
            Decision::NotModified
        );
        let head = request("HEAD", &[("If-None-Match", tag)]);
        assert_eq!(decide(&head, &stat(100)), Decision::NotModified);
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
    fn dates() {
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
    fn conditions_have_an_order() {
        let tag = &tag();
        // If-Match before If-Unmodified-Since, which it replaces.
        assert_eq!(get(&[("If-Match", tag), ("If-Unmodified-Since", BEFORE)]), Decision::Full);
        // A failed precondition before 304.
        assert_eq!(
            get(&[("If-None-Match", tag), ("If-Match", "\"a\"")]),
            Decision::PreconditionFailed
        );
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
        assert_eq!(
            get(&[("Range", "bytes=0-1"), ("If-Match", "\"a\"")]),
            Decision::PreconditionFailed
        );
        assert_eq!(get(&[("Range", "bytes=0-1"), ("If-Match", tag)]), partial(0, 2));
    }

    #[test]
    fn if_range_guards_the_range() {
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
    fn a_fresh_date_proves_nothing() {
        let fresh = Stat { mtime: now(), ..stat(100) };
        let date = httpdate::fmt_http_date(
            UNIX_EPOCH + std::time::Duration::from_secs(fresh.mtime.cast_unsigned()),
        );
        let request = request("GET", &[("Range", "bytes=0-1"), ("If-Range", &date)]);
        assert_eq!(decide(&request, &fresh), Decision::Full);
    }

    #[test]
    fn uploads_have_conditions_too() {
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
            assert_eq!(decide_put(&request, Some(&old)), replaces, "{fields:?} replaces");
            assert_eq!(decide_put(&request, None), creates, "{fields:?} creates");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_inside_the_file(
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
        fn no_condition_makes_it_panic(
            name in prop::sample::select(vec![
                "If-Match", "If-None-Match", "If-Range", "If-Modified-Since", "If-Unmodified-Since",
            ]),
            value in "[W/\"*, a-c]{0,20}|[ -~]{0,40}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT",
            mtime in any::<i64>(),
        ) {
            let stat = Stat { mtime, ..stat(100) };
            let _ = decide(&request("GET", &[(name, &value), ("Range", "bytes=0-1")]), &stat);
            let put = request("PUT", &[(name, &value)]);
            let _ = (decide_put(&put, Some(&stat)), decide_put(&put, None));
        }
    }
}
