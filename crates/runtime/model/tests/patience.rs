//! When a device without a connection suspects itself.

use runtime_model::patience::{LEAST_MS, Patience, SPREAD_MS};

const LEAST: u64 = LEAST_MS as u64;
const SPREAD: u64 = SPREAD_MS as u64;

/// Looks each second, link up, and says after how many milliseconds it is over.
fn lasts(random: u32) -> u64 {
    let mut patience = Patience::new(0, random);
    (0..).map(|second| second * 1000).find(|now| patience.is_over(*now, true)).unwrap()
}

#[test]
fn it_lasts_for_hours_and_not_for_all_the_same() {
    assert_eq!(lasts(0), LEAST);
    let longest = lasts(u32::MAX);
    assert!((LEAST + SPREAD - 1000..=LEAST + SPREAD).contains(&longest), "{longest}");
    assert!(lasts(1 << 31) > LEAST + SPREAD / 3);
}

#[test]
fn only_time_with_a_link_counts() {
    let mut patience = Patience::new(0, 0);
    assert!(!patience.is_over(LEAST - 1, true));
    assert!(!patience.is_over(100 * LEAST, false));
    assert!(!patience.is_over(100 * LEAST, true));
    assert!(patience.is_over(100 * LEAST + 1, true));
    assert_eq!(patience.hours(), 4);
}

#[test]
fn a_connection_begins_it_anew() {
    let mut patience = Patience::new(0, 0);
    assert!(!patience.is_over(LEAST - 1, true));
    patience.connected(LEAST + 5);
    assert!(!patience.is_over(2 * LEAST + 4, true));
    assert!(patience.is_over(2 * LEAST + 5, true));
}

#[test]
fn a_clock_that_goes_back_does_no_harm() {
    let mut patience = Patience::new(1000, 0);
    assert!(!patience.is_over(0, true));
    assert!(!patience.is_over(1000, true));
    assert_eq!(patience.hours(), 0);
}
