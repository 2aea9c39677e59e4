//! Validators, conditional requests and ranges: what a client that has an older version, or wants
//! only a part, should get.

use super::text::{now, push_hex};
use crate::store::{Existing, Precondition, Stat};
use std::time::UNIX_EPOCH;

/// What the response to a `GET` or `HEAD` of a file is.
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

/// Decides the response to a `GET` or `HEAD` of this file, in the order of RFC 9110, section 13.2.2. Only a `GET` has a
/// range.
pub(super) fn decide(
    mut range: Option<RangeSpec>,
    conditions: Option<&Conditions>,
    stat: &Stat,
) -> Decision {
    if let Some(conditions) = conditions {
        let etag = Etag::of(stat);
        if !conditions.is_unchanged(Some((stat, &etag))) {
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

/// Whether a `PUT` may replace the existing file, or create it where none exists; otherwise 412.
pub(super) fn permits_put(conditions: Option<&Conditions>, existing: &Existing) -> bool {
    let Some(conditions) = conditions else {
        return true;
    };
    let exists = *existing != Existing::Nothing;
    let existing = match existing {
        Existing::File(stat) => Some(stat),
        Existing::Nothing | Existing::Other => None,
    };
    let etag = existing.map(Etag::of);
    // What has no tag of its own exists all the same.
    if exists && etag.is_none() {
        let is_star = |list: &Option<Vec<u8>>| list.as_deref() == Some(b"*");
        return (conditions.if_match.is_none() || is_star(&conditions.if_match))
            && !is_star(&conditions.if_none_match);
    }
    if !conditions.is_unchanged(existing.zip(etag.as_ref())) {
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
    /// Returns where the value of a field belongs; `None` unless the field is a conditional one.
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
        let slot: fn(&mut Conditions) -> &mut Option<Vec<u8>> = if is("Match") {
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
        Some(slot(conditions.get_or_insert_default()))
    }

    /// Whether any of the fields concerns a `PUT`.
    pub(super) fn concern_put(&self) -> bool {
        self.if_match.is_some()
            || self.if_none_match.is_some()
            || self.if_unmodified_since.is_some()
    }

    /// `If-Match`, or else `If-Unmodified-Since`. Where there is no file, it has no date either and
    /// the latter does not count.
    fn is_unchanged(&self, existing: Option<(&Stat, &Etag)>) -> bool {
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

impl Precondition for Conditions {
    fn holds(&self, existing: &Existing) -> bool {
        permits_put(Some(self), existing)
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
mod tests;
