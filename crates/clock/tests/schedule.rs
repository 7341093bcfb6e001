//! Who is asked when: never in a storm, and never too late.

use clock::{ANSWER_S, FLOOR_S, LONGEST_S, MOST_SERVERS, PERIOD_S, SECOND_LOOK_S, Schedule};

/// All questions until `end`, as (second, server); `outcome` ends each after so many seconds.
fn run(
    schedule: &mut Schedule,
    start: u32,
    end: u32,
    after: u32,
    mut outcome: impl FnMut(&mut Schedule, u32, usize),
) -> Vec<(u32, usize)> {
    let (mut asked, mut open) = (Vec::new(), None);
    for now in start..end {
        if let Some((since, server)) = open
            && now >= since + after
        {
            outcome(schedule, now, server);
            open = None;
        }
        if let Some(server) = schedule.ask(now) {
            assert!(open.is_none(), "two questions at once");
            open = Some((now, server));
            asked.push((now, server));
        }
    }
    asked
}

fn fails(schedule: &mut Schedule, now: u32, _: usize) {
    schedule.failed(now, 0);
}

#[test]
fn the_first_question_is_at_once() {
    for count in 1..=MOST_SERVERS {
        let mut schedule = Schedule::new(count);
        assert_eq!(schedule.ask(5), Some(0));
        assert!(schedule.is_asking());
        assert_eq!(schedule.ask(6), None, "one question at a time");
    }
}

#[test]
fn without_servers_nothing_is_asked() {
    let mut schedule = Schedule::new(0);
    assert_eq!(schedule.ask(100), None);
    schedule.network_changed(100);
    schedule.hurry(100);
    schedule.helped(100, 1, true);
    schedule.failed(100, 7);
    assert_eq!(schedule.ask(200), None);
}

#[test]
fn more_servers_than_are_known_are_left_out() {
    let mut schedule = Schedule::new(MOST_SERVERS + 3);
    let asked = run(&mut schedule, 0, 600, 1, fails);
    assert!(asked.iter().all(|(_, server)| *server < MOST_SERVERS));
}

/// The storm of a well-known client: names that fail at once.
#[test]
fn names_that_fail_at_once_make_no_storm() {
    for count in 1..=MOST_SERVERS {
        let mut schedule = Schedule::new(count);
        let asked = run(&mut schedule, 0, 30, 0, fails);
        assert!(asked.len() <= 2 * count, "{count} servers: {asked:?}");
        for index in 0..count {
            assert!(asked.iter().any(|(_, server)| *server == index), "{index} in {asked:?}");
        }
    }
}

#[test]
fn all_servers_have_their_turn_within_seconds() {
    let mut schedule = Schedule::new(MOST_SERVERS);
    let asked = run(&mut schedule, 0, 20, ANSWER_S, fails);
    let first: Vec<usize> = asked.iter().take(MOST_SERVERS).map(|(_, server)| *server).collect();
    assert_eq!(first, [0, 1, 2, 3]);
    assert!(asked[MOST_SERVERS - 1].0 <= 12, "{asked:?}");
}

#[test]
fn a_server_that_never_answers_is_asked_ever_less_often() {
    for random in [0, u32::MAX] {
        let mut schedule = Schedule::new(1);
        let asked = run(&mut schedule, 0, 40_000, ANSWER_S, |schedule, now, _| {
            schedule.failed(now, random);
        });
        let gaps: Vec<u32> = asked.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(gaps.iter().all(|gap| *gap >= FLOOR_S), "{gaps:?}");
        assert!(gaps.windows(2).take(6).all(|pair| pair[0] <= pair[1] + 4), "{gaps:?}");
        let most = LONGEST_S + LONGEST_S / 4 + ANSWER_S;
        assert!(gaps.iter().all(|gap| *gap <= most), "{gaps:?}");
        assert!(*gaps.last().unwrap() >= LONGEST_S, "{gaps:?}");
    }
}

#[test]
fn one_good_server_among_dead_ones_is_found_and_kept() {
    for good in 0..MOST_SERVERS {
        let mut schedule = Schedule::new(MOST_SERVERS);
        let mut heard = 0;
        let asked = run(&mut schedule, 0, 20_000, ANSWER_S, |schedule, now, server| {
            if server == good {
                heard += 1;
                let wait = if heard == 1 { SECOND_LOOK_S } else { PERIOD_S };
                schedule.helped(now, wait, heard == 1);
            } else {
                schedule.failed(now, 0);
            }
        });
        let of_good: Vec<u32> =
            asked.iter().filter(|(_, server)| *server == good).map(|(now, _)| *now).collect();
        assert!(of_good[0] <= 12, "{asked:?}");
        assert!(of_good[1] <= 12 + SECOND_LOOK_S + 20, "{asked:?}");
        assert!(of_good[2] >= of_good[1] + PERIOD_S, "{asked:?}");
        assert!(asked.len() < 20, "{asked:?}");
    }
}

#[test]
fn a_new_network_is_asked_at_once() {
    let mut schedule = Schedule::new(2);
    run(&mut schedule, 0, 5000, ANSWER_S, fails);
    // No question is open, and both servers are far in their back-off.
    let mut now = 5000;
    while schedule.is_asking() {
        schedule.failed(now, 0);
        now += 1;
    }
    now += FLOOR_S;
    schedule.network_changed(now);
    let asked = run(&mut schedule, now, now + 30, ANSWER_S, fails);
    assert_eq!(asked[0].0, now);
    assert_eq!(asked[1].0, now + 1 + ANSWER_S);
}

/// A link that comes and goes every second must not make a storm.
#[test]
fn a_network_that_changes_every_second_is_not_asked_every_second() {
    let mut schedule = Schedule::new(2);
    let mut asked = 0;
    for now in 0..300 {
        schedule.network_changed(now);
        schedule.hurry(now);
        if schedule.ask(now).is_some() {
            asked += 1;
            schedule.failed(now, 0);
        }
    }
    assert!(asked <= 2 * 300 / FLOOR_S, "{asked} questions");
}

#[test]
fn a_doubt_is_put_to_another_server_as_soon_as_the_floor_allows() {
    let mut schedule = Schedule::new(2);
    assert_eq!(schedule.ask(0), Some(0));
    schedule.helped(1, PERIOD_S, false);
    assert_eq!(schedule.ask(100), None);
    schedule.hurry(100);
    assert_eq!(schedule.ask(100), Some(1));
    // With one server it is that one, after the floor.
    let mut schedule = Schedule::new(1);
    assert_eq!(schedule.ask(0), Some(0));
    schedule.helped(1, PERIOD_S, false);
    schedule.hurry(2);
    let asked = run(&mut schedule, 2, 60, ANSWER_S, |schedule, now, _| {
        schedule.helped(now, PERIOD_S, false);
    });
    assert_eq!(asked, [(FLOOR_S, 0)]);
}
