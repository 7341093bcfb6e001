//! When a device without a connection suspects itself.

use runtime_model::patience::{LEAST_MS, Patience, SPREAD_MS};

const LEAST: u64 = LEAST_MS as u64;
const SPREAD: u64 = SPREAD_MS as u64;

/// Looks each second, link up, and says after how many milliseconds it is over.
fn lasts(random: u32) -> u64 {
    let mut patience = Patience::new(0, true, random);
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
fn of_a_cable_only_time_with_a_link_counts() {
    let mut patience = Patience::new(0, false, 0);
    assert!(!patience.is_over(LEAST - 1, true));
    assert!(!patience.is_over(100 * LEAST, false));
    assert!(!patience.is_over(100 * LEAST, true));
    assert!(patience.is_over(100 * LEAST + 1, true));
    assert_eq!(patience.hours(), 400);
}

/// It is deaf, or its access point is off. For longer than a night it is not believed.
#[test]
fn a_radio_without_a_link_has_four_times_as_long() {
    let mut patience = Patience::new(0, true, 0);
    const FOURFOLD: u64 = 16 * 3_600_000;
    assert!(!patience.is_over(LEAST / 2, true));
    let half = LEAST / 2 + FOURFOLD / 2;
    assert!(!patience.is_over(half - 4, false));
    assert!(patience.is_over(half, false));
    assert_eq!(patience.hours(), 10);
    patience.connected(half + 1);
    assert!(!patience.is_over(half + FOURFOLD - 3, false));
    assert!(patience.is_over(half + 1 + FOURFOLD, false));
}

#[test]
fn a_connection_begins_it_anew() {
    let mut patience = Patience::new(0, false, 0);
    assert!(!patience.is_over(LEAST - 1, true));
    patience.connected(LEAST + 5);
    assert!(!patience.is_over(2 * LEAST + 4, true));
    assert!(patience.is_over(2 * LEAST + 5, true));
}

#[test]
fn a_clock_that_goes_back_does_no_harm() {
    let mut patience = Patience::new(1000, false, 0);
    assert!(!patience.is_over(0, true));
    assert!(!patience.is_over(1000, true));
    assert_eq!(patience.hours(), 0);
}
