//! When updates are left out.

use runtime_model::closings::{
    ANSWER_MS, Closings, LEFT_OUT_MS, MOST_DOUBLED, REFUSED_MS, STABLE_MS,
};

/// A connection that is closed so long after its question: whether there was one, and whether updates
/// are left out then.
fn closed(closings: &mut Closings, now: &mut u32, after: u32) -> (bool, bool) {
    let asks = closings.connected(*now);
    if asks {
        closings.asked(*now);
    }
    *now = now.wrapping_add(after);
    (asks, closings.ended(true, false, *now))
}

/// Left out, shortly before the clock wraps.
fn left_out() -> (Closings, u32) {
    let (mut closings, mut now) = (Closings::default(), u32::MAX - 1000);
    assert_eq!(closed(&mut closings, &mut now, 400), (true, false));
    assert_eq!(closed(&mut closings, &mut now, 400), (true, true));
    (closings, now)
}

#[test]
fn two_closings_in_a_row_leave_updates_out_for_an_hour() {
    let (mut closings, begin) = left_out();
    assert!(!closings.connected(begin.wrapping_add(1000)));
    // The network ends that one after half an hour.
    assert!(!closings.ended(false, false, begin.wrapping_add(LEFT_OUT_MS / 2)));
    assert!(!closings.connected(begin.wrapping_add(LEFT_OUT_MS / 2)));
    assert!(!closings.is_time(begin.wrapping_add(LEFT_OUT_MS - 1)));
    let mut now = begin.wrapping_add(LEFT_OUT_MS);
    assert!(closings.is_time(now));
    // The device makes the next one; that it is closed again is enough.
    assert!(!closings.ended(false, false, now));
    assert_eq!(closed(&mut closings, &mut now, 400), (true, true));
    // An hour later the policy is another.
    now = now.wrapping_add(LEFT_OUT_MS);
    assert!(closings.is_time(now) && closings.connected(now) && !closings.is_time(now));
    closings.asked(now);
    closings.answered();
    assert!(!closings.ended(true, false, now));
    assert_eq!(closed(&mut closings, &mut now, 400), (true, false));
}

#[test]
fn where_the_connection_without_them_is_closed_too_they_are_not_the_reason() {
    let (mut closings, mut now) = left_out();
    assert_eq!(closed(&mut closings, &mut now, STABLE_MS - 1), (false, false));
    assert_eq!(closed(&mut closings, &mut now, 400), (true, false));
    let (mut closings, mut now) = left_out();
    assert_eq!(closed(&mut closings, &mut now, STABLE_MS), (false, false));
    assert!(!closed(&mut closings, &mut now, 400).0);
}

#[test]
fn other_ends_do_not_count() {
    let (mut closings, mut now) = (Closings::default(), 0);
    for _ in 0..3 {
        assert_eq!(closed(&mut closings, &mut now, 400), (true, false));
        // Late: whoever does not answer at all has another reason.
        assert_eq!(closed(&mut closings, &mut now, ANSWER_MS), (true, false));
        assert_eq!(closed(&mut closings, &mut now, 400), (true, false));
        // By the network.
        assert!(closings.connected(now));
        closings.asked(now);
        assert!(!closings.ended(false, false, now));
        assert_eq!(closed(&mut closings, &mut now, 400), (true, false));
        // Answered.
        assert!(closings.connected(now));
        closings.asked(now);
        closings.answered();
        assert!(!closings.ended(true, false, now));
    }
}

#[test]
fn on_trial_they_are_asked_for_each_time() {
    let mut closings = Closings::default();
    for _ in 0..300 {
        assert!(closings.connected(0));
        closings.asked(0);
        assert!(!closings.ended(true, true, 0));
    }
}

/// How long after a refusal another connection asks, for a thing with this number.
fn pause(closings: &mut Closings, own: u32, soon: bool) -> u32 {
    // Shortly before the clock wraps.
    let now = u32::MAX - 5;
    assert!(closings.connected(now) && !closings.is_time(now));
    closings.asked(now);
    closings.refused(own, soon, now);
    let after = |wait: u32| closings.is_time(now.wrapping_add(wait));
    let (mut early, mut late) = (0, u32::MAX / 4);
    assert!(!after(early) && after(late));
    while late - early > 1 {
        let middle = early + (late - early) / 2;
        if after(middle) { late = middle } else { early = middle }
    }
    // It says nothing against the server that it closes then.
    assert!(!closings.ended(true, false, now.wrapping_add(late)));
    late
}

#[test]
fn what_is_refused_is_asked_for_again_and_ever_less_often() {
    let mut closings = Closings::default();
    let pauses: Vec<u32> =
        (0..=u32::from(MOST_DOUBLED) + 2).map(|_| pause(&mut closings, 0, false)).collect();
    for (number, pause) in (0..).zip(&pauses) {
        assert_eq!(*pause, REFUSED_MS << u32::from(MOST_DOUBLED).min(number), "{pauses:?}");
    }
    // Each thing at its own time, up to twice as late; on trial at once.
    assert_eq!(pause(&mut closings, 7, false), pauses[10] + 7);
    assert_eq!(pause(&mut closings, u32::MAX, true), REFUSED_MS + u32::MAX % REFUSED_MS);
    closings.granted();
    assert_eq!(pause(&mut closings, 0, false), REFUSED_MS);
    // Another connection asks anyway.
    assert!(closings.connected(0) && !closings.is_time(LEFT_OUT_MS));
}
