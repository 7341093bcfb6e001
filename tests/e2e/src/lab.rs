//! The radio's firmware on a virtual board in this process, on the board's own time: nothing waits
//! for the wall clock, an hour takes minutes, and a run repeats itself to the instruction.
//!
//! The network behind the access point is made here too ([`Behind`]): it gives the address and
//! asks for echoes. There is no name server, no time server and no broker in it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use board::image::{FLASH_SIZE, IDENTITY_OFFSET, Image, address_of};
use things::device_identity::DeviceIdentity;
use virtual_nodemcu::board::Board;
use virtual_nodemcu::board::flash::{Flash, Speed};
use virtual_nodemcu::board::machine::{End, Machine};
use virtual_nodemcu::board::radio::ap::{Action, Ap};
use virtual_nodemcu::board::radio::settings::Settings;
use virtual_nodemcu::board::serial::{Input, Serial};
use virtual_nodemcu::cpu::Stop;

const MAC: [u8; 6] = [0x5C, 0xCF, 0x7F, 0x12, 0x34, 0x56];
/// What a piece of time is cut into, for what the network does by itself.
const PIECE: Duration = Duration::from_millis(1);
/// Lines of each end of the log that are shown with a failure.
const TAIL: usize = 40;
/// What a filled stack has where it was never used.
const STACK_FILL: u8 = 0xA5;

/// The board, its air and its network.
pub struct Lab {
    /// The board.
    pub machine: Machine,
    /// The network behind the access point.
    pub behind: Behind,
    elf: PathBuf,
    serial: Receiver<Vec<u8>>,
    sent: Vec<u8>,
    console: Rc<RefCell<String>>,
}

impl Lab {
    /// A board that was just switched on, with this image, identity and access point.
    ///
    /// # Panics
    /// When one of them is not there, or cannot be.
    #[must_use]
    pub fn new(image: &Path, elf: &Path, identity: &DeviceIdentity, access_point: &str) -> Self {
        let files = Image::in_folder(image);
        let mut flash = Flash::blank(FLASH_SIZE as usize);
        for (at, bytes) in files.contents().expect("the image") {
            flash.load(at as usize, &bytes);
        }
        flash.load(IDENTITY_OFFSET as usize, &identity.region().expect("an identity"));
        let (serial, input, output) = Serial::channel();
        input.send(Input::Baud(115_200)).expect("a board");
        let console = Rc::new(RefCell::new(String::new()));
        let said = Rc::clone(&console);
        let say = move |text: &str| {
            said.borrow_mut().push_str(text);
            said.borrow_mut().push('\n');
        };
        let board = Board::new(flash, MAC, 1);
        let mut machine = Machine::new(board, serial, None, Vec::new(), Box::new(say));
        let settings = Settings::parse(access_point).expect("an access point");
        machine.board.radio.add_access_point(settings, 0).expect("an access point");
        let behind = Behind::default();
        Self { machine, behind, elf: elf.to_owned(), serial: output, sent: Vec::new(), console }
    }

    /// The board's time since power-on.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.machine.board.clock.nanoseconds(self.machine.cpu.cycles()))
    }

    /// What the firmware has sent over its serial port, and what the board has said.
    #[must_use]
    pub fn log(&mut self) -> String {
        self.sent.extend(self.serial.try_iter().flatten());
        format!("{}\n{}", String::from_utf8_lossy(&self.sent), self.console.borrow())
    }

    /// The log's last lines, for a failure.
    fn log_end(&mut self) -> String {
        let end = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(TAIL)..].join("\n")
        };
        self.sent.extend(self.serial.try_iter().flatten());
        format!(
            "{}\n---\n{}",
            end(&String::from_utf8_lossy(&self.sent)),
            end(&self.console.borrow())
        )
    }

    /// How often the log has this.
    #[must_use]
    pub fn count(&mut self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// Lets so much of the board's time pass; what it stopped for, if anything.
    fn run(&mut self, time: Duration) -> Option<End> {
        let end = self.now() + time;
        while let Some(left) = end.checked_sub(self.now()).filter(|left| !left.is_zero()) {
            self.behind.act(self.now());
            let stopped = self.machine.run_board_time(left.min(PIECE));
            self.carry();
            if stopped.is_some() {
                return stopped;
            }
        }
        None
    }

    /// Takes frames from the access point to the network and back.
    fn carry(&mut self) {
        let aps = &mut self.machine.board.radio.air.aps;
        for frame in aps.iter_mut().flat_map(Ap::take_wire) {
            self.behind.receive(&frame);
        }
        for frame in self.behind.to_board.drain(..) {
            aps.iter_mut().for_each(|ap| ap.deliver(&frame));
        }
        self.machine.board.radio.serve();
    }

    /// Lets so much of the board's time pass.
    ///
    /// # Panics
    /// When the board stops.
    #[track_caller]
    pub fn pass(&mut self, time: Duration) {
        if let Some(end) = self.run(time) {
            panic!("the board stopped: {end:?}\n{}", self.log_end());
        }
    }

    /// Lets time pass until something is so.
    ///
    /// # Panics
    /// When it is not within `limit` of the board's time.
    #[track_caller]
    pub fn until(&mut self, what: &str, limit: Duration, mut so: impl FnMut(&mut Self) -> bool) {
        let end = self.now() + limit;
        while !so(self) {
            assert!(self.now() < end, "no {what} within {limit:?}\n{}", self.log_end());
            self.pass(PIECE * 10);
        }
    }

    /// Lets time pass until the log has this so many times.
    ///
    /// # Panics
    /// When it has not within a minute of the board's time.
    #[track_caller]
    pub fn says(&mut self, text: &str, times: usize) {
        self.until(text, Duration::from_secs(60), |lab| lab.count(text) >= times);
    }

    /// Does something to the access point.
    ///
    /// # Panics
    /// When it cannot be done.
    #[track_caller]
    pub fn act(&mut self, action: &Action) {
        let now = self.machine.board.clock.nanoseconds(self.machine.cpu.cycles());
        self.machine.board.radio.air.aps[0].act(action, now).expect("an action");
        self.machine.board.radio.serve();
    }

    /// Changes a setting of the access point.
    ///
    /// # Panics
    /// When there is none of that name.
    #[track_caller]
    pub fn set(&mut self, key: &str, value: &str) {
        self.machine.board.radio.air.aps[0].change(key, value).expect("a setting");
    }

    /// The address of a symbol.
    ///
    /// # Panics
    /// When the firmware has none of that name.
    #[track_caller]
    #[must_use]
    pub fn symbol(&self, name: &str) -> u32 {
        address_of(&self.elf, name).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// A word of the firmware's memory.
    ///
    /// # Panics
    /// When there is none of that name.
    #[track_caller]
    #[must_use]
    pub fn word(&mut self, name: &str) -> u32 {
        let address = self.symbol(name);
        let now = self.machine.cpu.cycles();
        self.machine.board.word(address, now).expect("a word of memory")
    }

    /// Most bytes of the NMI's stack that were ever used, and its size.
    ///
    /// # Panics
    /// When the firmware has no such stack.
    #[must_use]
    pub fn nmi_stack(&self) -> (usize, usize) {
        let start = self.symbol("radio_nmi_stack");
        let size = (self.symbol("radio_nmi_stack_top") - start) as usize;
        let bytes = self.machine.board.read_memory(start, size).expect("RAM");
        let free = bytes.iter().take_while(|byte| **byte == STACK_FILL).count();
        (size - free, size)
    }

    /// Calls a C function of the firmware in its task `wifi`, which asks for events all the time,
    /// with up to four arguments. Its task may be interrupted meanwhile, by others and by the NMI.
    ///
    /// # Panics
    /// When it does not return.
    #[track_caller]
    pub fn call(&mut self, function: &str, arguments: &[u32]) -> u32 {
        self.call_amid(function, arguments, 0)
    }

    /// The same, and at this moment so many large echo requests are on their way to the board.
    ///
    /// # Panics
    /// When it does not return.
    #[track_caller]
    pub fn call_amid(&mut self, function: &str, arguments: &[u32], requests: usize) -> u32 {
        let place = self.symbol("radio_next_event");
        let function = self.symbol(function);
        self.machine.cpu.add_breakpoint(place);
        self.run_to(place);
        let before = *self.machine.cpu.registers();
        self.machine.cpu.set_reg(0, place);
        for (register, argument) in (2..=5).zip(arguments) {
            self.machine.cpu.set_reg(register, *argument);
        }
        self.machine.cpu.set_pc(function);
        (0..requests).for_each(|_| self.behind.ping(1400));
        self.carry();
        self.run_to(place);
        let result = self.machine.cpu.reg(2);
        assert_eq!(self.machine.cpu.reg(1), before[1], "the stack of the task");
        for (register, value) in before.iter().enumerate() {
            self.machine.cpu.set_reg(register, *value);
        }
        self.machine.cpu.remove_breakpoint(place);
        result
    }

    #[track_caller]
    fn run_to(&mut self, place: u32) {
        let end = self.run(Duration::from_secs(60));
        let there = self.machine.cpu.pc() == place;
        assert!(
            end == Some(End::Stopped(Stop::Breakpoint)) && there,
            "{end:?}\n{}",
            self.log_end()
        );
    }

    /// From now on flash takes its time.
    pub fn slow_flash(&mut self) {
        self.machine.board.flash.set_speed(Speed::Worst);
    }

    /// No crash, no reset but the first, no fault of the program; the NMI's stack was never filled
    /// by more than two thirds.
    ///
    /// # Panics
    /// When it is not so.
    #[track_caller]
    pub fn is_whole(&mut self) {
        let log = self.log();
        for sign in ["*** CRASH", "[board] fault", "watchdog", "exception", "gave up"] {
            assert!(!log.contains(sign), "{sign}\n{log}");
        }
        assert_eq!(log.matches("esp8266-aws-iot ").count(), 1, "{log}");
        let (used, size) = self.nmi_stack();
        assert!(used > 0 && used * 3 <= size * 2, "{used} of {size} bytes of the NMI's stack");
    }
}

/// The network behind the access point: one host that gives the address, and asks for echoes.
#[derive(Default)]
pub struct Behind {
    /// Frames for the board that wait.
    to_board: Vec<Vec<u8>>,
    /// The numbers of echoes that were asked for and have not come.
    missing: BTreeSet<u16>,
    /// Echoes that came, whole.
    pub echoes: usize,
    /// Requests that were sent.
    pub requests: usize,
    /// How often the board has got or kept its address.
    pub leases: usize,
    /// When the first address was given.
    pub addressed: Option<Duration>,
    traffic: Option<Traffic>,
    next: Duration,
    now: Duration,
    last: u16,
}

/// Echo requests without end.
#[derive(Clone, Copy)]
pub struct Traffic {
    /// Bytes of each IP packet.
    pub bytes: usize,
    /// Between two.
    pub every: Duration,
}

const HOST_MAC: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];
const HOST: [u8; 4] = [10, 0, 2, 2];
const BOARD: [u8; 4] = [10, 0, 2, 15];

impl Behind {
    /// Asks for echoes without end, or no more.
    pub fn traffic(&mut self, traffic: Option<Traffic>) {
        self.traffic = traffic;
        self.next = self.now;
    }

    fn act(&mut self, now: Duration) {
        self.now = now;
        while let Some(traffic) = self.traffic.filter(|_| self.next <= now) {
            self.ping(traffic.bytes);
            self.next += traffic.every;
        }
    }

    /// Asks for an echo of an IP packet of so many bytes.
    pub fn ping(&mut self, bytes: usize) {
        self.ask(MAC, bytes);
    }

    /// The same, in a frame for everybody on the network.
    pub fn ping_by_broadcast(&mut self, bytes: usize) {
        self.ask([0xFF; 6], bytes);
    }

    fn ask(&mut self, to: [u8; 6], bytes: usize) {
        self.last = self.last.wrapping_add(1);
        let mut message = vec![8, 0, 0, 0, 0x12, 0x34];
        message.extend(self.last.to_be_bytes());
        message.resize(bytes - 20, self.last as u8);
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        self.missing.insert(self.last);
        self.requests += 1;
        self.send(to, BOARD, 1, &message);
    }

    fn send(&mut self, to: [u8; 6], address: [u8; 4], protocol: u8, message: &[u8]) {
        let length = (20 + message.len()) as u16;
        let mut header = vec![0x45, 0];
        header.extend(length.to_be_bytes());
        header.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
        header.extend(HOST);
        header.extend(address);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        self.to_board.push([&to[..], &HOST_MAC, &[8, 0], &header, message].concat());
    }

    fn receive(&mut self, frame: &[u8]) {
        match (frame.get(12..14), frame.get(14..)) {
            (Some([8, 6]), Some(arp)) => self.arp(arp),
            (Some([8, 0]), Some(ip)) if ip.len() > 28 => {
                let message = &ip[usize::from(ip[0] & 15) * 4..];
                match ip[9] {
                    1 => self.echo(message),
                    17 if message.get(2..4) == Some(&[0, 67]) => self.dhcp(&message[8..]),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Who has the host's address?
    fn arp(&mut self, arp: &[u8]) {
        if arp.len() >= 28 && arp[7] == 1 && arp[24..28] == HOST {
            let mut answer = [&arp[8..14], &HOST_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]].concat();
            answer.extend([&HOST_MAC[..], &HOST, &arp[8..18]].concat());
            self.to_board.push(answer);
        }
    }

    fn echo(&mut self, message: &[u8]) {
        let number = u16::from_be_bytes([message[6], message[7]]);
        let whole = message[8..].iter().all(|byte| *byte == number as u8) && checksum(message) == 0;
        if message[0] == 0 && whole && self.missing.remove(&number) {
            self.echoes += 1;
        }
    }

    /// RFC 2131: an offer for a discovery, an acknowledgement for a request, of the one address.
    fn dhcp(&mut self, request: &[u8]) {
        const MAGIC: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
        if request.get(236..240) != Some(&MAGIC) {
            return;
        }
        let kind = request[240..].windows(3).find(|option| option[..2] == [53, 1]);
        let answer = match kind.map(|option| option[2]) {
            Some(1) => 2,
            Some(3) => 5,
            _ => return,
        };
        if answer == 5 {
            self.leases += 1;
            self.addressed.get_or_insert(self.now);
        }
        let mut reply = vec![0; 240];
        reply[..4].copy_from_slice(&[2, 1, 6, 0]);
        reply[4..8].copy_from_slice(&request[4..8]);
        reply[16..20].copy_from_slice(&BOARD);
        reply[28..44].copy_from_slice(&request[28..44]);
        reply[236..240].copy_from_slice(&MAGIC);
        reply.extend([53, 1, answer, 54, 4]);
        reply.extend(HOST);
        reply.extend([51, 4, 0, 1, 0x51, 0x80, 1, 4, 255, 255, 255, 0, 3, 4]);
        reply.extend(HOST);
        reply.push(255);
        let mut message = vec![0, 67, 0, 68];
        message.extend(((8 + reply.len()) as u16).to_be_bytes());
        message.extend([0, 0]); // no checksum, which UDP allows
        message.extend(reply);
        self.send(MAC, [255; 4], 17, &message);
    }
}

/// The checksum of the Internet protocols (RFC 1071); over what has one, 0.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from))
        .sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    !((folded & 0xFFFF) + (folded >> 16)) as u16
}
