//! Whose word the clock takes.

use clock::{Clock, FARTHEST, STEP, Trust, Verdict};

const BUILD: u32 = 1_790_000_000;
const DAY: u32 = 86_400;
/// The true time in these tests, at uptime 0.
const TRUE: u32 = BUILD + 100 * DAY;

/// A clock that a server has set at uptime 10.
fn set() -> Clock {
    let mut clock = Clock::new(BUILD);
    assert_eq!(clock.hear(TRUE + 10, 10), Verdict::Set);
    clock
}

#[test]
fn before_any_word_the_build_is_a_lower_bound() {
    let clock = Clock::new(BUILD);
    assert_eq!(clock.trust(), Trust::Build);
    assert!(!clock.is_exact() && !clock.is_worth_keeping());
    assert_eq!(clock.now(100), BUILD + 100);
    assert_eq!(clock.now(u32::MAX), u32::MAX, "no overflow");
}

#[test]
fn a_kept_time_is_a_better_lower_bound() {
    let mut clock = Clock::new(BUILD);
    clock.recall(BUILD + DAY, 0);
    assert_eq!(clock.trust(), Trust::Kept);
    assert!(!clock.is_exact() && !clock.is_worth_keeping());
    assert_eq!(clock.now(5), BUILD + DAY + 5);
}

#[test]
fn a_kept_time_that_cannot_be_is_forgotten() {
    for kept in [0, BUILD - 1, BUILD, BUILD + FARTHEST + 1, u32::MAX] {
        let mut clock = Clock::new(BUILD);
        clock.recall(kept, 0);
        assert_eq!((clock.trust(), clock.now(0)), (Trust::Build, BUILD), "{kept}");
    }
    let mut clock = set();
    clock.recall(TRUE + 50 * DAY, 20);
    assert_eq!(clock.now(20), TRUE + 20, "a server knows better");
}

#[test]
fn a_first_word_is_taken() {
    let clock = set();
    assert_eq!(clock.trust(), Trust::Server);
    assert!(clock.is_exact() && clock.is_worth_keeping());
    assert_eq!(clock.now(110), TRUE + 110);
}

#[test]
fn a_word_from_before_the_build_is_refused() {
    for mut clock in [Clock::new(BUILD), set()] {
        let before = clock.now(20);
        for seconds in [0, 1, BUILD - 1] {
            assert_eq!(clock.hear(seconds, 20), Verdict::BeforeBuild);
        }
        clock.suspect();
        assert_eq!(clock.hear(BUILD - 1, 20), Verdict::BeforeBuild);
        assert_eq!(clock.now(20), before);
    }
}

#[test]
fn an_absurdly_late_word_is_refused() {
    for mut clock in [Clock::new(BUILD), set()] {
        let before = clock.now(20);
        for seconds in [BUILD + FARTHEST + 1, u32::MAX] {
            assert_eq!(clock.hear(seconds, 20), Verdict::TooLate);
            assert_eq!(clock.hear(seconds, 20), Verdict::TooLate, "however often it is said");
        }
        assert_eq!(clock.now(20), before);
    }
}

#[test]
fn drift_is_corrected_at_once() {
    let mut clock = set();
    assert_eq!(clock.hear(TRUE + 3600 + STEP, 3600), Verdict::Agrees);
    assert_eq!(clock.now(3600), TRUE + 3600 + STEP);
    assert_eq!(clock.hear(TRUE + 7200, 7200), Verdict::Agrees);
    assert_eq!(clock.now(7200), TRUE + 7200);
}

#[test]
fn a_jump_needs_a_second_witness() {
    for jump in [i64::from(STEP) + 1, 2 * 86_400, -2 * 86_400, 365 * 86_400] {
        let mut clock = set();
        let told = |uptime: u32| (TRUE + uptime).wrapping_add_signed(jump as i32);
        assert_eq!(clock.hear(told(100), 100), Verdict::Doubted);
        assert_eq!(clock.now(100), TRUE + 100);
        assert!(!clock.is_worth_keeping(), "in doubt");
        // Another who says something else again is no witness.
        assert_eq!(clock.hear(TRUE + 40 * DAY, 110), Verdict::Doubted);
        assert_eq!(clock.hear(told(120), 120), Verdict::Doubted);
        assert_eq!(clock.hear(told(130) + 1, 130), Verdict::Corrected);
        assert_eq!(clock.now(130), told(130) + 1);
        assert!(clock.is_worth_keeping());
    }
}

#[test]
fn a_liar_who_stands_alone_changes_nothing() {
    let mut clock = set();
    for round in 1..20 {
        assert_eq!(clock.hear(TRUE + round * 3600 + 3 * DAY, round * 3600), Verdict::Doubted);
        assert_eq!(clock.hear(TRUE + round * 3600 + 20, round * 3600 + 20), Verdict::Agrees);
        assert!(clock.is_worth_keeping());
    }
    assert_eq!(clock.now(0), TRUE);
}

#[test]
fn a_lie_that_came_first_heals_by_two_who_tell_the_truth() {
    let mut clock = Clock::new(BUILD);
    assert_eq!(clock.hear(TRUE + 3 * 365 * DAY, 0), Verdict::Set);
    assert_eq!(clock.hear(TRUE + 64, 64), Verdict::Doubted);
    assert_eq!(clock.hear(TRUE + 79, 79), Verdict::Corrected);
    assert_eq!(clock.now(79), TRUE + 79);
}

#[test]
fn when_a_certificate_does_not_fit_the_next_word_counts() {
    let mut clock = Clock::new(BUILD);
    assert_eq!(clock.hear(TRUE + 3 * 365 * DAY, 0), Verdict::Set);
    clock.suspect();
    assert!(!clock.is_worth_keeping());
    assert!(clock.is_exact(), "an expired certificate must not help itself in");
    assert_eq!(clock.now(10), TRUE + 3 * 365 * DAY + 10);
    assert_eq!(clock.hear(TRUE + 20, 20), Verdict::Corrected);
    assert_eq!(clock.now(20), TRUE + 20);
    // Only the next one.
    assert_eq!(clock.hear(TRUE + 5 * DAY, 30), Verdict::Doubted);
}

#[test]
fn a_word_from_before_the_kept_time_needs_a_second_witness() {
    let kept = |time| {
        let mut clock = Clock::new(BUILD);
        clock.recall(time, 0);
        clock
    };
    assert_eq!(kept(TRUE).hear(TRUE + DAY, 1), Verdict::Set);
    assert_eq!(kept(TRUE).hear(TRUE + 1 - STEP, 1), Verdict::Set, "drift");
    // The device was kept in a drawer for years: no contradiction.
    assert_eq!(kept(TRUE).hear(TRUE + 5 * 365 * DAY, 1), Verdict::Set);
    let mut clock = kept(TRUE);
    assert_eq!(clock.hear(TRUE - DAY, 1), Verdict::Doubted);
    assert_eq!(clock.now(1), TRUE + 1);
    assert_eq!(clock.hear(TRUE - DAY + 15, 16), Verdict::Set);
}
