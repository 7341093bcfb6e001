//! Each day until 2106, against a calendar that only counts on.

use clock::Date;

#[test]
fn every_day_follows_the_one_before() {
    let (mut year, mut month, mut day) = (1970_u16, 1_u8, 1_u8);
    for days in 0..=u32::MAX / 86_400 {
        let date = Date::of(days * 86_400);
        assert_eq!((date.year, date.month, date.day), (year, month, day), "day {days}");
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        day += 1;
        if day > length {
            (month, day) = (month + 1, 1);
        }
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
}

#[test]
fn dates_are_shown_in_order_of_size() {
    for (seconds, text) in [
        (0, "1970-01-01 00:00:00 UTC"),
        (951_868_799, "2000-02-29 23:59:59 UTC"),
        (1_769_860_800, "2026-01-31 12:00:00 UTC"),
        (2_147_483_648, "2038-01-19 03:14:08 UTC"),
        (u32::MAX, "2106-02-07 06:28:15 UTC"),
    ] {
        assert_eq!(Date::of(seconds).to_string(), text);
    }
}
