//! Log lines in a flood.

use runtime_model::throttle::Throttle;

#[test]
fn a_burst_passes_and_then_one_a_period() {
    let mut throttle = Throttle::new(3, 250);
    let passed: Vec<_> = (0..10).map(|_| throttle.take(1_000)).collect();
    assert_eq!(passed[..4], [Some(0), Some(0), Some(0), None]);
    assert_eq!(throttle.take(1_249), None);
    assert_eq!(throttle.take(1_250), Some(8));
    assert_eq!(throttle.take(1_250), None);
    // Quiet earns no more than the burst.
    let later: Vec<_> = (0..5).map(|_| throttle.take(1_000_000)).collect();
    assert_eq!(later, [Some(1), Some(0), Some(0), None, None]);
}

#[test]
fn a_flood_for_minutes_costs_a_line_a_period() {
    let mut throttle = Throttle::new(32, 250);
    let lines = (0..12_000).filter(|n| throttle.take(n * 10).is_some()).count();
    assert!((480..=512).contains(&lines), "{lines} lines in 120 s");
}

#[test]
fn a_clock_that_goes_back_does_no_harm() {
    let mut throttle = Throttle::new(1, 250);
    assert_eq!(throttle.take(u64::MAX), Some(0));
    assert_eq!(throttle.take(0), None);
}
