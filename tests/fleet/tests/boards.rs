//! Virtual NodeMCUs with the firmware as shipped, updated as a person does it. `make update-fleet`
//! builds what this needs and runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use board::console::Console;
use board::image::{self, FLASH_SIZE, IDENTITY_OFFSET, Image};
use board::virtual_board::{VirtualBoard, VirtualOptions};
use board_facts::Board;
use certificates::LeafRequest;
use fleet_tests::{Lab, Patient};
use process::files::{self, SECRET};
use process::programs::Owned;
use releases::{Release, Signer};
use slots::{SLOT_START, Slot};
use things::device_identity::DeviceIdentity;
use things::topics::Topics;
use updates::{Content, End, Goal, Limits, Order, Targets, Update};

/// What all of it takes at most on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

/// Where everything was built. This program is in `target/debug/deps`.
fn built(path: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let path = program.ancestors().nth(3).unwrap().join(path);
    assert!(path.exists(), "{} is missing: `make update-fleet` builds it", path.display());
    path
}

fn elf() -> PathBuf {
    built("xtensa-esp8266-none-elf/release/firmware-nodemcu")
}

fn files() -> [(u32, Vec<u8>); 2] {
    Image::in_folder(&built("image/nodemcu")).contents().unwrap()
}

/// The firmware as shipped, as it goes into a slot, but for its version.
fn firmware(version: [u8; 3]) -> Vec<u8> {
    let mut image = files().into_iter().find(|(at, _)| *at == SLOT_START).unwrap().1;
    let old = releases::describe(&image).unwrap().version().to_string();
    let [major, minor, patch] = version;
    let new = format!("{major}.{minor}.{patch}");
    assert_eq!(old.len(), new.len());
    // Where the firmware has it for its statuses, and in the descriptor, behind the first word.
    let at = image.windows(old.len()).position(|window| window == old.as_bytes()).unwrap();
    image[at..][..new.len()].copy_from_slice(new.as_bytes());
    image[20..26].copy_from_slice(&[major, 0, minor, 0, patch, 0]);
    image::seal(&mut image).unwrap();
    image
}

/// `thing` in a folder of its own, as in a working copy.
fn thing(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(built("debug/thing"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    for variable in ["THING", "AWS_PROFILE", "AWS_REGION"] {
        command.env_remove(variable);
    }
    command
}

/// What it says, and whether it went well.
fn done(mut command: Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// One terminal runs a board and its cloud, a second one updates it.
#[test]
fn a_running_board_is_updated_by_one_command_and_a_bad_image_comes_back() {
    let folder = process::scratch::folder().unwrap();
    let folder = folder.path();
    // Whatever was built, in its usual place.
    std::os::unix::fs::symlink(built(""), folder.join("built")).unwrap();
    let nothing_runs = done(thing(folder, &["update", "--new-version", "1.0.0"]));
    assert!(
        !nothing_runs.0 && nothing_runs.1.contains("make run BOARD=nodemcu"),
        "{}",
        nothing_runs.1
    );
    let (made, said) = done(thing(folder, &["signing-key"]));
    assert!(made, "{said}");

    let (reader, writer) = std::io::pipe().unwrap();
    let mut run = thing(folder, &["run", "--board", "nodemcu", "--target", "built", "--elf"]);
    run.arg(elf()).arg("--image").arg(built("image/nodemcu"));
    run.stdout(writer.try_clone().unwrap()).stderr(writer);
    let _first = Owned::spawn(&mut run).unwrap();
    drop(run);
    let console = Console::attach(reader, Path::new(""), false).unwrap();
    let await_line = |from: usize, wanted: &str| {
        let found = console.wait_for(from, LIMIT, wanted, |line| line.contains(wanted));
        found.unwrap_or_else(|error| panic!("{error:#}\n{}", console.tail(60)));
    };
    await_line(0, "updates   those signed by the key of certs/signing/signing.pub");
    await_line(0, r#""slot":"A""#);

    let signer = Signer::with_key(&folder.join("certs/signing/signing.key")).unwrap();
    let release = |name: &str, image: Vec<u8>| {
        Release::sign(image, &signer).unwrap().write(&folder.join(name)).unwrap();
    };
    release("good.release", firmware([0, 2, 0]));
    let (updated, said) = done(thing(folder, &["update", "--release", "good.release"]));
    assert!(updated, "{said}\n{}", console.tail(80));
    for line in ["cloud        the local one", "things       demo", "1 updated on version 0.2.0"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    await_line(0, r#""version":"0.2.0","slot":"B""#);

    // An image of one's own that crashes at its first steps: an illegal instruction.
    let mut bad = firmware([0, 3, 0]);
    let address = image::address_of(&elf(), "board_netif_init").unwrap();
    bad[(address - slots::WINDOW - SLOT_START) as usize..][..3].fill(0);
    image::seal(&mut bad).unwrap();
    release("bad.release", bad);
    let mark = console.mark();
    let (updated, said) = done(thing(folder, &["update", "--release", "bad.release"]));
    assert!(!updated, "{said}");
    assert!(said.contains("demo failed: "), "{said}");
    assert!(said.contains("IllegalInstruction"), "{said}");
    await_line(mark, r#""version":"0.2.0","slot":"B","update":"failed""#);

    // Settings too: the log tells more from then on, and the firmware stays.
    std::fs::write(folder.join("config.toml"), "[log]\n\"*\" = \"debug\"\n").unwrap();
    let mark = console.mark();
    let (updated, said) = done(thing(folder, &["update-identity"]));
    assert!(updated, "{said}\n{}", console.tail(80));
    assert!(said.contains("done         1 updated on identity 2"), "{said}");
    await_line(mark, "D (");
    await_line(mark, r#""version":"0.2.0","slot":"A","update":"good""#);

    // An older one is refused, and nothing is left over.
    release("old.release", firmware([0, 1, 0]));
    let (updated, said) = done(thing(folder, &["update", "--release", "old.release"]));
    assert!(!updated && said.contains("not newer"), "{said}");
    let (_, said) = done(thing(folder, &["update-status"]));
    assert!(said.contains("no update is under way"), "{said}");
}

/// So many boards, by one job, two of them told in a second.
#[test]
fn a_fleet_is_updated_by_one_job() {
    let count: usize = std::env::var("FLEET_BOARDS").map_or(3, |count| count.parse().unwrap());
    let names: Vec<String> = (1..=count).map(|number| format!("lamp-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lab = Lab::new(&names);
    let cloud = lab.cloud();
    let boards: Vec<VirtualBoard> = names
        .iter()
        .map(|name| {
            let topics = Topics::new(&format!("{name}/status"), &format!("{name}/control"));
            let credential = cloud.pki.clients.issue(&LeafRequest::client(name)).unwrap();
            let root = cloud.pki.root.certificate().clone();
            let endpoints = cloud.as_seen_by_guest();
            let mut identity = DeviceIdentity::new(endpoints, name, topics, credential, root);
            // Boards whose stations have one address must not push each other out.
            identity.client_id = Some((*name).to_owned());
            identity.update_keys.push(*lab.key.point());
            let region = identity.region().unwrap();
            let mut flash = vec![0xFF; FLASH_SIZE as usize];
            let identities =
                [Slot::A, Slot::B].map(|slot| (slot.mib() + IDENTITY_OFFSET, region.clone()));
            for (at, bytes) in files().into_iter().chain(identities) {
                flash[at as usize..][..bytes.len()].copy_from_slice(&bytes);
            }
            let file = lab.folder.path().join(format!("{name}.flash"));
            files::write(&file, &flash, SECRET).unwrap();
            let board = Board::named("nodemcu").unwrap();
            let program = built("debug/virtual-nodemcu");
            let options = VirtualOptions::new(&board, &program, &file, &elf());
            let mut board = VirtualBoard::start(&options).unwrap();
            board.restart().unwrap();
            board
        })
        .collect();

    let release = Release::sign(firmware([0, 2, 0]), &lab.signer).unwrap();
    let (mut local, place) = lab.account();
    let things = names.iter().map(|name| (*name).to_owned()).collect();
    let targets = Targets::Fleet { name: "things.csv".to_owned(), things };
    let limits = Limits { per_minute: 120, ..Limits::default() };
    let release = Content::Firmware(&release);
    let mut order = Order::new(targets, release, &place, None, None, limits).unwrap();
    let orders = lab.orders();
    orders.begin(&order, release).unwrap();
    let pause = Duration::from_millis(300);
    let mut update = Update { account: &mut local, place: &place, orders: &orders, pause };
    let mut patient = Patient::new(LIMIT);
    let end = update.run(&mut order, Goal::Update, &mut patient).unwrap();
    let consoles = || {
        let tails = boards.iter().map(|board| board.console.tail(12));
        tails.collect::<Vec<_>>().join("\n---\n")
    };
    let all = [("updated".to_owned(), count as u64)].into();
    assert_eq!(end, End::Over(all), "{:?}\n{}", patient.things, consoles());
    for board in &boards {
        let wanted = r#""version":"0.2.0","slot":"B""#;
        let found = board.console.wait_for(0, LIMIT, wanted, |line| line.contains(wanted));
        assert!(found.is_ok(), "{}", board.console.tail(40));
    }
    assert_eq!(lab.objects(), 0);
}
