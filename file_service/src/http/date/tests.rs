use super::*;
use proptest::prelude::*;
use std::time::Duration;

/// Sun, 06 Nov 1994 08:49:37 GMT
const THEN: i64 = 784_111_777;

/// Mon, 30 Nov 2026 12:00:00 GMT
const NOW: i64 = 1_796_040_000;

fn parse(date: &str) -> Option<i64> {
    parse_date(date.as_bytes(), NOW)
}

#[test]
fn all_three_forms_are_read() {
    for (date, seconds) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", THEN),
        ("Sunday, 06-Nov-94 08:49:37 GMT", THEN),
        ("Sun Nov  6 08:49:37 1994", THEN),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Sun Nov 16 08:49:37 1994", THEN + 10 * 86_400),
        ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
    ] {
        assert_eq!(parse(date), Some(seconds), "{date}");
    }
}

#[test]
fn date_before_1970_is_negative() {
    for (date, seconds) in [
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ("Wed Dec 31 23:59:59 1969", -1),
        ("Sun, 31 Dec 1899 00:00:00 GMT", -2_209_075_200),
        ("Mon, 01 Jan 0001 00:00:00 GMT", *WRITABLE_DATES.start()),
        ("Sat, 01 Jan 0000 00:00:00 GMT", -62_167_219_200),
    ] {
        assert_eq!(parse(date), Some(seconds), "{date}");
    }
}

#[test]
fn leap_second_follows_second_59() {
    let midnight = Some(1_483_228_800);
    assert_eq!(parse("Sun, 01 Jan 2017 00:00:00 GMT"), midnight);
    assert_eq!(parse("Sat, 31 Dec 2016 23:59:60 GMT"), midnight);
    assert_eq!(parse("Saturday, 31-Dec-16 23:59:60 GMT"), midnight);
    assert_eq!(parse("Sat Dec 31 23:59:60 2016"), midnight);
}

#[test]
fn short_year_is_within_fifty_years() {
    for (short, long) in [
        ("Wednesday, 31-Dec-69 23:59:59 GMT", "Tue, 31 Dec 2069 23:59:59 GMT"),
        ("Monday, 30-Nov-76 12:00:00 GMT", "Mon, 30 Nov 2076 12:00:00 GMT"),
        ("Monday, 30-Nov-76 12:00:01 GMT", "Tue, 30 Nov 1976 12:00:01 GMT"),
        ("Monday, 01-Dec-76 00:00:00 GMT", "Wed, 01 Dec 1976 00:00:00 GMT"),
        ("Monday, 01-Jan-77 00:00:00 GMT", "Sat, 01 Jan 1977 00:00:00 GMT"),
        ("Monday, 01-Jan-99 00:00:00 GMT", "Fri, 01 Jan 1999 00:00:00 GMT"),
        ("Monday, 01-Jan-00 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("Monday, 30-Nov-26 12:00:01 GMT", "Mon, 30 Nov 2026 12:00:01 GMT"),
        ("Tuesday, 29-Feb-76 00:00:00 GMT", "Sat, 29 Feb 2076 00:00:00 GMT"),
    ] {
        assert!(parse(long).is_some());
        assert_eq!(parse(short), parse(long), "{short}");
    }
    // Near the end of a century the digits may be of the next one.
    let now = parse("Tue, 01 Jan 2097 00:00:00 GMT").unwrap();
    let next = parse_date(b"Monday, 01-Mar-10 00:00:00 GMT", now);
    assert_eq!(next, parse("Sat, 01 Mar 2110 00:00:00 GMT"));
}

#[test]
fn wrong_weekday_is_read_over() {
    assert_eq!(parse("Mon, 06 Nov 1994 08:49:37 GMT"), Some(THEN));
    assert_eq!(parse("Saturday, 06-Nov-94 08:49:37 GMT"), Some(THEN));
    assert_eq!(parse("Tue Nov  6 08:49:37 1994"), Some(THEN));
}

#[test]
fn malformed_date_is_none() {
    for date in [
        "",
        "yesterday",
        "784111777",
        "Sun",
        "Sun, ",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday Nov  6 08:49:37 1994",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37  GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Su, 06 Nov 1994 08:49:37 GMT",
        ", 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nuv 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov   6 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sunday, 31-Feb-94 08:49:37 GMT",
    ] {
        assert_eq!(parse(date), None, "{date:?}");
    }
}

proptest! {
    #[test]
    fn written_date_equals_that_of_httpdate(seconds in 0..253_402_300_800i64) {
        let time = UNIX_EPOCH + Duration::from_secs(seconds.cast_unsigned());
        let expected = httpdate::fmt_http_date(time);
        prop_assert_eq!(&http_date(seconds)[..], expected.into_bytes());
    }

    #[test]
    fn any_time_is_written(seconds in any::<i64>()) {
        http_date(seconds);
    }

    #[test]
    fn written_date_is_read_back(seconds in WRITABLE_DATES) {
        prop_assert_eq!(parse_date(&http_date(seconds), NOW), Some(seconds));
    }

    #[test]
    fn read_date_equals_that_of_httpdate(seconds in 0..253_402_300_800i64, form in 0..3) {
        let utc = UtcDateTime::from_unix(seconds);
        let (day, month) = (DAYS[usize::from(utc.weekday)], MONTHS[usize::from(utc.month - 1)]);
        let month = std::str::from_utf8(month).unwrap();
        let time = format!("{:02}:{:02}:{:02}", utc.hour, utc.minute, utc.second);
        let date = match form {
            0 => format!("{}, {:02} {month} {:04} {time} GMT", &day[..3], utc.day, utc.year),
            // Between the pivots of both, which differ.
            1 if !(1980..2060).contains(&utc.year) => return Ok(()),
            1 => format!("{day}, {:02}-{month}-{:02} {time} GMT", utc.day, utc.year % 100),
            _ => format!("{} {month} {:2} {time} {:04}", &day[..3], utc.day, utc.year),
        };
        prop_assert_eq!(parse(&date), Some(seconds));
        let theirs = httpdate::parse_http_date(&date);
        prop_assert_eq!(theirs.ok(), Some(UNIX_EPOCH + Duration::from_secs(seconds as u64)));
    }

    #[test]
    fn any_bytes_are_read_without_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..40), now in any::<i64>(),
        near in "[A-Z][a-z]{2,8},? [0-9]{2}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} [0-9:]{8}( GMT| [0-9]{4})",
    ) {
        let _ = parse_date(&bytes, now);
        let _ = parse_date(near.as_bytes(), now);
    }
}
