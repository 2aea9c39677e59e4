//! Validators, conditional requests and ranges: what a client that has an older version, or wants
//! only a part, should get.

use super::date::{now, parse_date};
use super::text::push_hex;
use crate::store::{Existing, Precondition, Stat, Version};

/// Why a condition is refused with 400.
pub(super) const MALFORMED_LIST: &str = "a list of entity tags is malformed";

/// Why a request is refused with 412.
pub(crate) const CONDITION_FAILED: &str = "the precondition does not hold";

/// What the response to a `GET` or `HEAD` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The whole file or listing: 200.
    Full,
    /// A part of a file, never an empty one: 206.
    Partial {
        /// The first byte.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// The client's copy is still good: 304.
    NotModified,
    /// A condition cannot be read: 400.
    Malformed,
    /// The file or listing is not the one that the client means: 412.
    PreconditionFailed,
    /// The part wanted lies beyond the end: 416.
    Unsatisfiable,
}

/// Decides the response to a `GET` or `HEAD` of this file, in the order of RFC 9110, section 13.2.2: the range comes
/// after all conditions. Only a `GET` has a range.
pub(super) fn decide(
    mut range: Option<RangeSpec>,
    conditions: Option<&Conditions>,
    version: &Version,
) -> Decision {
    if let Some(conditions) = conditions {
        let etag = Etag::of(version);
        if let Some(decision) = conditions.decide(&Target::File(&version.stat, &etag)) {
            return decision;
        }
        if let Some(validator) = &conditions.if_range
            && !is_same_version(validator, version, &etag)
        {
            range = None;
        }
    }
    match range {
        None => Decision::Full,
        Some(range) => range.of_file(version.stat.size),
    }
}

/// Decides the response to a `GET` or `HEAD` of a listing. It has no tag, no date and no ranges, so all that counts is
/// that it exists.
pub(super) fn decide_listing(conditions: Option<&Conditions>) -> Decision {
    conditions.and_then(|conditions| conditions.decide(&Target::Untagged)).unwrap_or(Decision::Full)
}

/// What a condition is compared with.
enum Target<'a> {
    /// Nothing exists under the name.
    Nothing,
    /// Something that has neither tag nor date: `*` covers it, and no tag does.
    Untagged,
    /// A file.
    File(&'a Stat, &'a Etag),
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

    /// Whether a list of tags is malformed: a `PUT` is refused for it.
    pub(super) fn has_malformed_list(&self) -> bool {
        [&self.if_match, &self.if_none_match].into_iter().flatten().any(|list| is_malformed(list))
    }

    /// Decides a `GET` or `HEAD`; `None` where no condition stands in its way.
    fn decide(&self, target: &Target<'_>) -> Option<Decision> {
        if self.if_match.as_ref().is_some_and(|list| is_malformed(list)) {
            return Some(Decision::Malformed);
        }
        if !self.is_unchanged(target) {
            return Some(Decision::PreconditionFailed);
        }
        let not_modified = match (&self.if_none_match, &self.if_modified_since, target) {
            // A malformed list means nothing; the whole file is never wrong.
            (Some(list), _, _) => is_listed(list, target, Comparison::Weak) == Some(true),
            (None, Some(date), Target::File(stat, _)) => {
                parse_date(date, now()).is_some_and(|date| stat.mtime <= date)
            }
            _ => false,
        };
        not_modified.then_some(Decision::NotModified)
    }

    /// `If-Match`, or else `If-Unmodified-Since`. The latter does not count where there is no date to compare.
    fn is_unchanged(&self, target: &Target<'_>) -> bool {
        match (&self.if_match, &self.if_unmodified_since, target) {
            (Some(list), _, _) => is_listed(list, target, Comparison::Strong) == Some(true),
            (None, Some(date), Target::File(stat, _)) => {
                parse_date(date, now()).is_none_or(|date| stat.mtime <= date)
            }
            _ => true,
        }
    }
}

/// Whether a `PUT` may replace what exists, or create a file where nothing does.
impl Precondition for Conditions {
    fn holds(&self, existing: &Existing) -> bool {
        let etag;
        let target = match existing {
            Existing::Nothing => Target::Nothing,
            Existing::Other => Target::Untagged,
            Existing::File(version) => {
                etag = Etag::of(version);
                Target::File(&version.stat, &etag)
            }
        };
        if !self.is_unchanged(&target) {
            return false;
        }
        match &self.if_none_match {
            None => true,
            // A malformed list was meant to protect something.
            Some(list) => is_listed(list, &target, Comparison::Weak) == Some(false),
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

    /// Decides about this range of a file of `size` bytes.
    fn of_file(self, size: u64) -> Decision {
        let (offset, length) = match self {
            RangeSpec::From { first, last } => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                (first, end.saturating_sub(first))
            }
            // The last bytes of nothing are nothing. That can be satisfied, but `Content-Range` cannot express it.
            RangeSpec::Suffix(1..) if size == 0 => return Decision::Full,
            RangeSpec::Suffix(length) => {
                let length = length.min(size);
                (size - length, length)
            }
        };
        if length > 0 { Decision::Partial { offset, length } } else { Decision::Unsatisfiable }
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

/// The entity tag of a version of a file.
pub(super) struct Etag {
    bytes: [u8; Etag::MAX],
    len: usize,
    is_strong: bool,
}

impl Etag {
    /// `W/`, two quotes, five hyphens, four numbers of 64 bits and two of 32.
    const MAX: usize = 2 + 2 + 5 + 4 * 16 + 2 * 8;

    /// The tag to compare with.
    pub(super) fn of(version: &Version) -> Etag {
        let Version { stat, is_strong, .. } = *version;
        let mut etag = Etag { bytes: [0; Etag::MAX], len: 0, is_strong };
        if !is_strong {
            etag.bytes[..2].copy_from_slice(b"W/");
            etag.len = 2;
        }
        let numbers = [
            stat.ino,
            stat.size,
            stat.mtime.cast_unsigned(),
            stat.mtime_nsec.into(),
            stat.ctime.cast_unsigned(),
            stat.ctime_nsec.into(),
        ];
        for (number, before) in numbers.into_iter().zip(*b"\"-----") {
            etag.bytes[etag.len] = before;
            etag.len += 1 + push_hex(number, &mut etag.bytes[etag.len + 1..]);
        }
        etag.bytes[etag.len] = b'"';
        etag.len += 1;
        etag
    }

    /// The tag to send. `None` as long as the next change might leave it as it is.
    pub(super) fn to_send(version: &Version) -> Option<Etag> {
        version.is_settled.then(|| Etag::of(version))
    }

    /// As it is written in a field.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The part with the quotes, which a weak tag shares with a strong one.
    fn opaque(&self) -> &[u8] {
        let tag = self.as_bytes();
        if self.is_strong { tag } else { &tag[2..] }
    }
}

/// How two tags are compared: a weak one equals nothing strongly.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of tags cannot be read, or is empty.
fn is_malformed(list: &[u8]) -> bool {
    is_listed(list, &Target::Nothing, Comparison::Weak).is_none()
}

/// Whether the list of tags, or `*`, covers the target. `None` where the list is malformed or empty.
fn is_listed(list: &[u8], target: &Target<'_>, comparison: Comparison) -> Option<bool> {
    if list == b"*" {
        return Some(!matches!(target, Target::Nothing));
    }
    let etag = match target {
        Target::File(_, etag) if etag.is_strong || comparison == Comparison::Weak => Some(*etag),
        _ => None,
    };
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
        let equal = etag.is_some_and(|etag| etag.opaque() == tag);
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

/// `If-Range`: whether the client's part is certainly of exactly this version.
fn is_same_version(validator: &[u8], version: &Version, etag: &Etag) -> bool {
    if !version.is_strong {
        return false;
    }
    if let Some((tag, weak, after)) = take_tag(validator) {
        return !weak && after.is_empty() && tag == etag.as_bytes();
    }
    // A client may send a date only if it got the file in a later second than the date's. If the inode has not changed
    // after the second of the date, the client got this version; a time that was set back proves nothing.
    let Stat { mtime, ctime, .. } = version.stat;
    let now = now();
    ctime == mtime && mtime < now - 1 && parse_date(validator, now) == Some(mtime)
}

#[cfg(test)]
mod tests;
