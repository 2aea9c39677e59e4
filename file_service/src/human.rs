//! Sizes and dates as people read them.

/// A moment in UTC, as date and time of day in the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcDateTime {
    /// The year; 0 is the year before 1.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 for Sunday.
    pub weekday: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl UtcDateTime {
    /// Converts seconds since 1970. Any number is valid, a negative one too: a file can have any time, and crates
    /// such as httpdate end at the year 9999.
    ///
    /// The algorithm is Howard Hinnant's `civil_from_days`.
    pub fn from_unix(seconds: i64) -> UtcDateTime {
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Counted from 1 March of the year 0, so that a leap day is the last day of its year, in
        // eras of 400 years, which all have the same number of days.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // March is 0; from there on, the lengths of the months follow a line of slope 153 / 5.
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        UtcDateTime {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: month as u8,
            day: day as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
            hour: (rest / 3_600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
        }
    }

    /// Returns the days from 1970 to a date, or `None` where the month does not have such a day. The inverse of
    /// [`from_unix`](UtcDateTime::from_unix), Hinnant's `days_from_civil`.
    ///
    /// `year` must be at most a billion years away.
    pub fn days(year: i64, month: u8, day: u8) -> Option<i64> {
        if !(1..=12).contains(&month) {
            return None;
        }
        let shifted = year - i64::from(month <= 2);
        let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
        let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let date = UtcDateTime::from_unix(days * 86_400);
        ((date.month, date.day) == (month, day)).then_some(days)
    }
}

/// Formats a number of bytes in at most four digits and a unit: `17 B`, `1.5 KiB`, `3.0 GiB`.
pub fn format_size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // Compared as it will be rounded, lest there be a `1024.0 KiB`.
    while value >= 1023.95 {
        value /= 1024.0;
        unit += 1;
    }
    // 2^64 bytes are 16 EiB, so the last letter is always enough.
    let letter = b"KMGTPEZ".get(unit).copied().map_or('?', char::from);
    format!("{value:.1} {letter}iB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn size_has_four_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(format_size(bytes), text);
        }
    }

    #[test]
    fn leap_years_have_leap_days() {
        for (seconds, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (951_782_400, (2000, 2, 29)),
            (4_107_542_399, (2100, 2, 28)),
            (4_107_542_400, (2100, 3, 1)),
        ] {
            let UtcDateTime { year, month, day, .. } = UtcDateTime::from_unix(seconds);
            assert_eq!((year, month, day), date);
        }
    }

    #[test]
    fn months_have_their_days() {
        for (year, lengths) in [
            (1900, [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]),
            (2000, [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]),
            (2023, [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]),
            (2024, [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]),
        ] {
            for (month, length) in (1..).zip(lengths) {
                for day in 0..=u8::MAX {
                    let exists = (1..=length).contains(&day);
                    assert_eq!(UtcDateTime::days(year, month, day).is_some(), exists);
                }
            }
        }
        assert_eq!(UtcDateTime::days(2000, 0, 1), None);
        assert_eq!(UtcDateTime::days(2000, 13, 1), None);
    }

    proptest! {
        #[test]
        fn days_invert_the_date(days in -400_000_000i64..400_000_000) {
            let date = UtcDateTime::from_unix(days * 86_400);
            prop_assert_eq!(UtcDateTime::days(date.year, date.month, date.day), Some(days));
        }

        #[test]
        fn any_time_has_a_date(seconds in any::<i64>()) {
            let date = UtcDateTime::from_unix(seconds);
            prop_assert!((1..=12).contains(&date.month) && (1..=31).contains(&date.day));
        }
    }
}
