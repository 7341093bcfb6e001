//! The reconnect delay: its bounds, its spread, and what it does to a server.

use runtime_model::backoff::{Backoff, FIRST_MS, FLOOR_MS, STABLE_MS};

/// splitmix64 (Vigna): evenly distributed, and independent for each seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

#[test]
fn windows_double_up_to_the_cap() {
    let mut backoff = Backoff::new(60);
    let longest: Vec<_> = (0..9).map(|_| backoff.next_delay_ms(u32::MAX)).collect();
    assert_eq!(longest, [2_000, 3_000, 5_000, 9_000, 17_000, 33_000, 60_000, 60_000, 60_000]);
    for _ in 0..1_000 {
        assert_eq!(backoff.next_delay_ms(u32::MAX), 60_000);
        assert_eq!(backoff.next_delay_ms(0), FLOOR_MS);
    }
}

#[test]
fn every_cap_is_kept() {
    let mut random = Random(1);
    for cap_s in 0..=u16::MAX {
        let mut backoff = Backoff::new(cap_s);
        let cap_ms = (u32::from(cap_s) * 1_000).max(2_000);
        for _ in 0..24 {
            let delay = backoff.next_delay_ms(random.next());
            assert!((FLOOR_MS..=cap_ms).contains(&delay), "{cap_s}: {delay}");
        }
        assert_eq!(backoff.next_delay_ms(u32::MAX), cap_ms);
    }
}

#[test]
fn jitter_is_even_over_the_whole_window() {
    let mut random = Random(2);
    let mut backoff = Backoff::new(60);
    for _ in 0..10 {
        backoff.next_delay_ms(0);
    }
    // 59 s in 59 parts of one second.
    let mut parts = [0_u32; 60];
    for _ in 0..590_000 {
        parts[((backoff.next_delay_ms(random.next()) - FLOOR_MS) / 1_000) as usize] += 1;
    }
    // 10000 are expected in each, with a standard deviation of 100.
    for count in &parts[..59] {
        assert!((9_500..10_500).contains(count), "{parts:?}");
    }
}

#[test]
fn only_a_stable_connection_resets() {
    let mut backoff = Backoff::new(60);
    for _ in 0..10 {
        backoff.next_delay_ms(0);
    }
    for short in [0, 1, 1_000, STABLE_MS - 1] {
        backoff.connected_for(short);
        assert_eq!(backoff.next_delay_ms(u32::MAX), 60_000);
    }
    for long in [STABLE_MS, u32::MAX] {
        let mut backoff = backoff;
        backoff.connected_for(long);
        assert_eq!(backoff, Backoff::new(60));
    }
    // A longer cap makes for a longer proof.
    let mut backoff = Backoff::new(300);
    for _ in 0..20 {
        backoff.next_delay_ms(0);
    }
    backoff.connected_for(299_999);
    assert_eq!(backoff.next_delay_ms(u32::MAX), 300_000);
    backoff.connected_for(300_000);
    assert_eq!(backoff.next_delay_ms(u32::MAX), 2_000);
}

#[test]
fn loop_of_connect_and_drop_keeps_backing_off() {
    for connected_ms in [0, 100, 5_000, 59_999] {
        let mut random = Random(3);
        let mut backoff = Backoff::new(60);
        let (mut time_ms, mut attempts) = (0_u64, 0_u64);
        while time_ms < 24 * 3_600 * 1_000 {
            backoff.connected_for(connected_ms);
            time_ms += u64::from(connected_ms + backoff.next_delay_ms(random.next()));
            attempts += 1;
        }
        // Half a cap between attempts on average.
        assert!(attempts < 24 * 60 * 2 + 100, "{attempts}");
    }
}

/// 100,000 devices lose a server that then takes 500 connections a second (AWS IoT Core's default
/// for an account) and refuses the others.
#[test]
fn storm_calms_down() {
    const DEVICES: usize = 100_000;
    const CAPACITY: usize = 500;

    let mut random = Random(4);
    let mut devices = vec![Backoff::new(60); DEVICES];
    let mut due: Vec<Vec<usize>> = vec![Vec::new(); 3_600];
    for (index, device) in devices.iter_mut().enumerate() {
        due[device.next_delay_ms(random.next()) as usize / 1_000].push(index);
    }
    let mut connected = 0;
    let mut loads = Vec::new();
    for second in 0..due.len() {
        let mut trying = std::mem::take(&mut due[second]);
        loads.push(trying.len());
        // Who comes first is a matter of chance.
        for left in (1..trying.len()).rev() {
            trying.swap(left, random.next() as usize % (left + 1));
        }
        for (rank, index) in trying.into_iter().enumerate() {
            if rank < CAPACITY {
                connected += 1;
            } else {
                let delay = devices[index].next_delay_ms(random.next());
                due[second + (delay / 1_000).max(1) as usize].push(index);
            }
        }
        if connected == DEVICES {
            break;
        }
    }
    assert_eq!(connected, DEVICES);
    // 200 s is the least that so many connections take. The last devices find a server that has
    // time for all, and come at latest one cap after it has.
    assert!(loads.len() < 330, "{} s", loads.len());
    // The first attempt is a wall; a minute later the devices left are spread over their windows.
    let peak = loads[60..].iter().max().unwrap();
    assert!(*peak < DEVICES / 25, "{peak} in one second");
    // On average a device tries no more than a few times above the least.
    let attempts: usize = loads.iter().sum();
    assert!(attempts < 12 * DEVICES, "{attempts}");
}

#[test]
fn the_first_attempt_is_spread_and_waits_longer_after_each_crash() {
    let backoff = Backoff::new(60);
    assert_eq!(backoff.first_delay_ms(0, 0), 0);
    assert_eq!(backoff.first_delay_ms(0, u32::MAX), FIRST_MS);
    let longest: Vec<_> = (1..7).map(|crashes| backoff.first_delay_ms(crashes, u32::MAX)).collect();
    assert_eq!(longest, [6_000, 11_000, 21_000, 41_000, 60_000, 60_000]);
    for crashes in 1..100 {
        assert_eq!(backoff.first_delay_ms(crashes, 0), FLOOR_MS);
    }
    assert_eq!(Backoff::new(u16::MAX).first_delay_ms(u32::MAX, u32::MAX), 65_535_000);
    assert_eq!(Backoff::new(0).first_delay_ms(0, u32::MAX), 2_000);
    // A thousand devices, in tenths of the window.
    let mut random = Random(1);
    let mut tenths = [0; 10];
    for _ in 0..1_000 {
        tenths[(backoff.first_delay_ms(0, random.next()) * 10 / (FIRST_MS + 1)) as usize] += 1;
    }
    assert!(tenths.iter().all(|devices| (60..140).contains(devices)), "{tenths:?}");
}

/// A firmware on trial has a lower cap, and no more once it has proved itself.
#[test]
fn another_cap_counts_from_the_next_delay_on() {
    let longest = |backoff: &mut Backoff| backoff.next_delay_ms(u32::MAX);
    let mut backoff = Backoff::new(20);
    for _ in 0..10 {
        longest(&mut backoff);
    }
    assert_eq!(longest(&mut backoff), 20_000);
    backoff.set_cap(3_600);
    let risen: Vec<u32> = (0..12).map(|_| longest(&mut backoff)).collect();
    assert!(risen.is_sorted() && risen[1] > 20_000, "{risen:?}");
    assert_eq!(risen.last(), Some(&3_600_000));
    backoff.set_cap(20);
    assert_eq!(longest(&mut backoff), 20_000);
}
