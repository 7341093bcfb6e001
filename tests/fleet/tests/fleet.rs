//! Updates of several devices by one job, at the local cloud, good and bad.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cloud::client::MqttClient;
use fleet_tests::{Behaviour, Device, Lab, Patient};
use releases::{PublicKey, Release, Signer};
use updates::{Content, End, Goal, Limits, Local, Order, Place, Targets, Update};

/// Generous: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(120);

fn fleet(things: &[&str]) -> Targets {
    let things = things.iter().map(|thing| (*thing).to_owned()).collect();
    Targets::Fleet { name: "things.csv".to_owned(), things }
}

fn run(
    lab: &Lab,
    local: &mut Local,
    place: &Place,
    order: &mut Order,
    goal: Goal,
) -> (End, Patient) {
    run_for(lab, local, place, order, goal, LIMIT)
}

fn run_for(
    lab: &Lab,
    local: &mut Local,
    place: &Place,
    order: &mut Order,
    goal: Goal,
    limit: Duration,
) -> (End, Patient) {
    let orders = lab.orders();
    let mut patient = Patient::new(limit);
    let pause = Duration::from_millis(50);
    let mut update = Update { account: local, place, orders: &orders, pause };
    let end = update.run(order, goal, &mut patient).unwrap();
    (end, patient)
}

fn counts(list: &[(&str, u64)]) -> End {
    End::Over(
        list.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect::<BTreeMap<_, _>>(),
    )
}

fn await_that(what: &str, ready: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !ready() {
        assert!(Instant::now() < deadline, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One device, one order: how it ends, and what was said of the thing.
fn single(
    lab: &Lab,
    release: &Release,
    key: &PublicKey,
    behaviour: Behaviour,
    limits: Limits,
) -> (End, String, Device) {
    let device = Device::start("lamp", lab.options("lamp"), key.clone(), [1, 0, 0], behaviour);
    let (mut local, place) = lab.account();
    let mut order = lab.order(&place, Targets::Thing("lamp".to_owned()), release, limits);
    let (end, patient) = run(lab, &mut local, &place, &mut order, Goal::Update);
    let failure = patient.things.iter().find(|thing| thing.is_failure());
    (end, failure.map(|thing| thing.line()).unwrap_or_default(), device)
}

#[test]
fn eight_devices_by_one_job_at_a_rate() {
    let names: Vec<String> = (1..=8).map(|number| format!("lamp-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lab = Lab::new(&names);
    let devices: Vec<Device> = names
        .iter()
        .map(|name| {
            Device::start(name, lab.options(name), lab.key.clone(), [1, 0, 0], Behaviour::Good)
        })
        .collect();
    let (mut local, place) = lab.account();
    let release = lab.release([1, 1, 0], 60_000);
    // One each half second.
    let limits = Limits { per_minute: 120, ..Limits::default() };
    let mut order = lab.order(&place, fleet(&names), &release, limits);

    // First without following it: to see when each was told.
    let left = run_for(&lab, &mut local, &place, &mut order, Goal::Update, Duration::ZERO).0;
    assert_eq!(left, End::Left);
    let service = lab.cloud().updates().unwrap();
    await_that("all things are told", || {
        let account = service.account();
        account.jobs().job(&order.id).unwrap().waiting() == 0
    });
    let mut told: Vec<u64> = {
        let account = service.account();
        let job = account.jobs().job(&order.id).unwrap();
        job.executions().map(|(_, execution)| execution.queued_at).collect()
    };
    told.sort_unstable();
    assert_eq!(told.len(), 8);
    assert!(told.windows(2).all(|pair| pair[1] - pair[0] >= 500), "{told:?}");

    // The same command again, as after Ctrl-C.
    let orders = lab.orders();
    let mut order = orders.find(&order.targets).unwrap().unwrap();
    let (end, _) = run(&lab, &mut local, &place, &mut order, Goal::Update);
    assert_eq!(end, counts(&[("updated", 8)]));
    for device in &devices {
        let known = device.known();
        assert_eq!(known.version, release.version());
        assert_eq!(known.boots, 2);
    }
    // Everything is cleared away.
    assert_eq!(lab.objects(), 0);
    assert!(service.account().jobs().jobs().next().is_none());
    assert!(orders.all().unwrap().is_empty());
}

#[test]
fn a_bad_image_comes_back_and_says_why() {
    let lab = Lab::new(&["lamp"]);
    let release = lab.release([1, 1, 0], 10_000);
    let (end, why, device) =
        single(&lab, &release, &lab.key, Behaviour::Crashes, Limits::default());
    assert_eq!(end, counts(&[("failed", 1)]));
    assert_eq!(why, "lamp failed: panic at the first line");
    assert_eq!(device.known().version.to_string(), "1.0.0");
}

#[test]
fn what_a_device_must_not_take_it_refuses_and_says_why() {
    let lab = Lab::new(&["lamp"]);
    let keys = lab.folder.path().join("other");
    let other = Signer::with_key(&releases::make_key(&keys).unwrap()).unwrap();
    let foreign = fleet_tests::image([1, 1, 0], "door-board", 5_000);
    for (release, wanted) in [
        (
            Release::sign(fleet_tests::image([1, 1, 0], fleet_tests::BOARD, 5_000), &other)
                .unwrap(),
            "lamp refused: no key that this device trusts has signed it",
        ),
        (lab.release([1, 0, 0], 5_000), "lamp refused: it is not newer than what the device has"),
        (
            Release::sign(foreign, &lab.signer).unwrap(),
            "lamp refused: the image is for another board",
        ),
    ] {
        let (end, why, device) =
            single(&lab, &release, &lab.key, Behaviour::Good, Limits::default());
        assert!(matches!(&end, End::Over(counts) if !counts.contains_key("updated")), "{end:?}");
        assert!(why.contains(wanted), "{why}");
        assert_eq!(device.known().boots, 1, "{wanted}");
    }
    // An older one only when the order says so.
    let limits = Limits { allow_downgrade: true, ..Limits::default() };
    let (end, _, device) =
        single(&lab, &lab.release([0, 9, 0], 5_000), &lab.key, Behaviour::Good, limits);
    assert_eq!(end, counts(&[("updated", 1)]));
    assert_eq!(device.known().version.to_string(), "0.9.0");
}

/// As when a group has grown: those that have it already are no reason to call the job off.
#[test]
fn what_most_of_a_fleet_has_comes_to_the_rest() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let lab = Lab::new(&names);
    let devices = names.map(|name| {
        Device::start(name, lab.options(name), lab.key.clone(), [1, 0, 0], Behaviour::Good)
    });
    let (mut local, place) = lab.account();
    let release = lab.release([1, 1, 0], 20_000);
    for (count, per_minute) in [(6, 1000), (8, 240)] {
        // Those that have it are told first, and have answered when the others are.
        let limits = Limits { per_minute, ..Limits::default() };
        let mut order = lab.order(&place, fleet(&names[..count]), &release, limits);
        let (end, patient) = run(&lab, &mut local, &place, &mut order, Goal::Update);
        assert_eq!(end, counts(&[("updated", count as u64)]), "{:?}", patient.things);
    }
    for device in &devices {
        assert_eq!(device.known().version, release.version());
        assert_eq!(device.known().boots, 2, "one that has it does not restart");
    }
}

#[test]
fn a_job_whose_things_fail_calls_itself_off() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let lab = Lab::new(&names);
    let _devices = names.map(|name| {
        Device::start(name, lab.options(name), lab.key.clone(), [1, 0, 0], Behaviour::Crashes)
    });
    let (mut local, place) = lab.account();
    // One each two seconds: the third is told when the first two have long failed.
    let limits = Limits { per_minute: 30, abort_percent: 50, abort_after: 2, ..Limits::default() };
    let release = lab.release([2, 0, 0], 5_000);
    let mut order = lab.order(&place, fleet(&names), &release, limits);
    let (end, patient) = run(&lab, &mut local, &place, &mut order, Goal::Update);
    let End::Over(counts) = end else { panic!("{end:?}") };
    assert!(counts["failed"] < 6, "{counts:?}");
    assert!(!counts.contains_key("updated"), "{counts:?}");
    assert_eq!(patient.standing.why, "ABORT_CRITERIA_MET");
    assert_eq!(lab.objects(), 0);
}

#[test]
fn what_was_ordered_outlives_the_cloud() {
    let mut lab = Lab::new(&["lamp"]);
    let release = lab.release([1, 1, 0], 10_000);
    let targets = Targets::Thing("lamp".to_owned());
    let mut order = {
        let (mut local, place) = lab.account();
        let mut order = lab.order(&place, targets.clone(), &release, Limits::default());
        run_for(&lab, &mut local, &place, &mut order, Goal::Update, Duration::ZERO);
        order
    };
    lab.cloud = None;
    lab.start();
    let device =
        Device::start("lamp", lab.options("lamp"), lab.key.clone(), [1, 0, 0], Behaviour::Good);
    let (mut local, place) = lab.account();
    let (end, _) = run(&lab, &mut local, &place, &mut order, Goal::Update);
    assert_eq!(end, counts(&[("updated", 1)]));
    assert_eq!(device.known().version, release.version());
}

#[test]
fn an_update_is_called_off() {
    let lab = Lab::new(&["lamp"]);
    let release = lab.release([1, 1, 0], 10_000);
    let targets = Targets::Thing("lamp".to_owned());
    let (mut local, place) = lab.account();
    let mut order = lab.order(&place, targets, &release, Limits::default());
    // Nobody is there to take it.
    run_for(&lab, &mut local, &place, &mut order, Goal::Update, Duration::ZERO);
    let cancel = Goal::Cancel { force: false };
    let (end, _) = run(&lab, &mut local, &place, &mut order, cancel);
    assert_eq!(end, counts(&[("called off", 1)]));
    assert_eq!(lab.objects(), 0);
    // A device that comes now finds nothing, and another order is no trouble.
    let (end, _, _device) = single(&lab, &release, &lab.key, Behaviour::Good, Limits::default());
    assert_eq!(end, counts(&[("updated", 1)]));
}

#[test]
fn what_is_not_there_is_told() {
    let lab = Lab::new(&["lamp"]);
    let release = lab.release([1, 1, 0], 5_000);
    let (mut local, place) = lab.account();
    for (targets, wanted) in [
        (Targets::Thing("door".to_owned()), "no thing door in this account"),
        (Targets::Group("doors".to_owned()), "the local cloud has no groups"),
    ] {
        let mut order = lab.order(&place, targets, &release, Limits::default());
        let orders = lab.orders();
        let pause = Duration::from_millis(50);
        let mut update = Update { account: &mut local, place: &place, orders: &orders, pause };
        let error = update.run(&mut order, Goal::Update, &mut Patient::new(LIMIT)).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error:#}");
        assert_eq!(lab.objects(), 0);
    }
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    let many = Targets::Fleet { name: "x.csv".to_owned(), things: many };
    let release = Content::Firmware(&release);
    let error = Order::new(many, release, &place, None, None, Limits::default()).unwrap_err();
    assert!(error.to_string().contains("add-thing-to-thing-group"), "{error}");
}

/// A device reaches the jobs and streams of its own thing and of no other.
#[test]
fn another_things_jobs_are_out_of_reach() {
    let lab = Lab::new(&["lamp", "door"]);
    let release = lab.release([1, 1, 0], 5_000);
    let (mut local, place) = lab.account();
    let mut order =
        lab.order(&place, Targets::Thing("lamp".to_owned()), &release, Limits::default());
    run_for(&lab, &mut local, &place, &mut order, Goal::Update, Duration::ZERO);
    let mut door = MqttClient::connect(&lab.options("door")).unwrap();
    door.subscribe("$aws/things/+/jobs/#").unwrap();
    door.subscribe("$aws/things/lamp/streams/#").unwrap();
    door.publish("$aws/things/lamp/jobs/start-next", b"{}", false).unwrap();
    let update = format!("$aws/things/lamp/jobs/{}/update", order.id);
    door.publish(&update, br#"{"status":"SUCCEEDED"}"#, false).unwrap();
    // Its own are answered; the question it hears as well, by such a filter.
    door.publish("$aws/things/door/jobs/start-next", b"{}", false).unwrap();
    let question = door.next(LIMIT).unwrap().unwrap();
    assert_eq!(question.topic, "$aws/things/door/jobs/start-next");
    let answer = door.next(LIMIT).unwrap().unwrap();
    assert_eq!(answer.topic, "$aws/things/door/jobs/start-next/accepted");
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer.get("execution"), None);
    assert_eq!(door.next(Duration::from_millis(500)).unwrap(), None);
    let account = lab.cloud().updates().unwrap().account();
    let job = account.jobs().job(&order.id).unwrap();
    assert_eq!(job.execution("lamp").unwrap().version, 1);
}
