//! Dates of HTTP: the one form that is sent, and the three that are read (RFC 9110, section 5.6.7).

use crate::human::UtcDateTime;
use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The times that a date can express, the years 1 to 9999, in seconds since 1970.
pub(super) const WRITABLE_DATES: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`. A time outside [`WRITABLE_DATES`] is moved to the nearest end.
pub(super) fn http_date(seconds: i64) -> [u8; 29] {
    let utc = UtcDateTime::from_unix(seconds.clamp(*WRITABLE_DATES.start(), *WRITABLE_DATES.end()));
    let mut date = *b"Sun, 00 Jan 0000 00:00:00 GMT";
    date[0..3].copy_from_slice(&DAYS[usize::from(utc.weekday)].as_bytes()[..3]);
    date[8..11].copy_from_slice(MONTHS[usize::from(utc.month - 1)]);
    let (century, year) = ((utc.year / 100) as u8, (utc.year % 100) as u8);
    let pairs = [
        (5, utc.day),
        (12, century),
        (14, year),
        (17, utc.hour),
        (20, utc.minute),
        (23, utc.second),
    ];
    for (at, number) in pairs {
        date[at] = b'0' + number / 10;
        date[at + 1] = b'0' + number % 10;
    }
    date
}

/// Reads a date in any of the three forms, in seconds since 1970. `None` where it is malformed: then the field is to
/// be ignored.
///
/// Names have their exact case and numbers their exact width. The day of the week must be one, but not the right
/// one, since the date is complete without it. Second 60 is that after second 59. `now` decides the century
/// of a year with two digits.
pub(super) fn parse_date(value: &[u8], now: i64) -> Option<i64> {
    let name_len = value.iter().position(|byte| !byte.is_ascii_alphabetic())?;
    let (name, rest) = value.split_at(name_len);
    let is_long = DAYS.iter().any(|day| day.as_bytes() == name);
    let is_short = DAYS.iter().any(|day| &day.as_bytes()[..3] == name);
    match rest {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [b',', b' ', d1, d2, b' ', m1, m2, m3, b' ', y1, y2, y3, y4, b' ', time @ ..]
            if is_short =>
        {
            let year = number(&[*y1, *y2, *y3, *y4])?;
            let time = time_of_day(time.strip_suffix(b" GMT")?)?;
            seconds(year, month(&[*m1, *m2, *m3])?, number(&[*d1, *d2])?, time)
        }
        // Sunday, 06-Nov-94 08:49:37 GMT
        [b',', b' ', d1, d2, b'-', m1, m2, m3, b'-', y1, y2, b' ', time @ ..] if is_long => {
            let time = time_of_day(time.strip_suffix(b" GMT")?)?;
            let (month, day) = (month(&[*m1, *m2, *m3])?, number(&[*d1, *d2])?);
            let year = with_century(number(&[*y1, *y2])?, (month, day, time), now);
            seconds(year, month, day, time)
        }
        // Sun Nov  6 08:49:37 1994
        [b' ', m1, m2, m3, b' ', d1, d2, b' ', time @ .., b' ', y1, y2, y3, y4] if is_short => {
            let day = if *d1 == b' ' { number(&[*d2])? } else { number(&[*d1, *d2])? };
            let year = number(&[*y1, *y2, *y3, *y4])?;
            seconds(year, month(&[*m1, *m2, *m3])?, day, time_of_day(time)?)
        }
        _ => None,
    }
}

/// The last year with these two digits in which the time is at most 50 years after `now`.
fn with_century(two_digits: u16, (month, day, time): (u8, u16, u32), now: i64) -> i64 {
    let now_utc = UtcDateTime::from_unix(now);
    let last = now_utc.year + 50;
    let year = last - (last - i64::from(two_digits)).rem_euclid(100);
    let now_time = now.rem_euclid(86_400) as u32;
    let is_later = (month, day, time) > (now_utc.month, now_utc.day.into(), now_time);
    if year == last && is_later { year - 100 } else { year }
}

fn seconds(year: impl Into<i64>, month: u8, day: u16, time: u32) -> Option<i64> {
    let days = UtcDateTime::days(year.into(), month, u8::try_from(day).ok()?)?;
    Some(days * 86_400 + i64::from(time))
}

/// 1 to 12.
fn month(name: &[u8; 3]) -> Option<u8> {
    (1..).zip(MONTHS).find(|(_, month)| month == name).map(|(number, _)| number)
}

/// `08:49:37` in seconds, up to and including `23:59:60`.
fn time_of_day(time: &[u8]) -> Option<u32> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = time else {
        return None;
    };
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?, number(&[*s1, *s2])?);
    let exists = hour < 24 && minute < 60 && second <= 60;
    exists.then(|| u32::from(hour) * 3_600 + u32::from(minute) * 60 + u32::from(second))
}

/// At most four digits.
fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests;
