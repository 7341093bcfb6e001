//! An AWS account on this machine: moto, and before it a proxy that does what moto does not,
//! and makes trouble.
//!
//! moto's certificates carry a key of moto's own. The proxy signs the CSR with an authority of
//! its own instead, as AWS does, so that the check of key against certificate is put to the
//! test as it is.
//!
//! Tests call the real AWS CLI against it ([`Bed::session`], [`Bed::thing`]); a person does the
//! same by hand after `make aws-stand-in`.
//!
//! ```no_run
//! use aws_stand_in::Bed;
//! use things::topics::Topics;
//!
//! let bed = Bed::new("eu-west-1");
//! bed.provision("lamp", &Topics::default()).unwrap();
//! assert_eq!(bed.account().things, ["lamp"]);
//! assert!(bed.seen().contains(&"create-thing".to_owned()));
//! ```

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use process::files;
use process::programs::Owned;
use process::python;
use process::scratch;
use provisioning::{Cli, Journal, Patience, Session, journal};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
};
use serde_json::Value;
use tempfile::TempDir;
use things::topics::Topics;

/// The stand-in's account id; moto's.
pub const ACCOUNT: &str = "123456789012";
/// Another account, which has a store as well.
const STRANGER: &str = "999999999999";

/// What the proxy does to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Closes the connection; the call never arrives.
    Lost,
    /// Lets the call take effect and closes the connection without an answer.
    AnswerLost,
    /// Answers with an error of AWS: status, code, message.
    Error(u16, &'static str, &'static str),
    /// Answers with this body.
    Answer(&'static str),
    /// Kills the process with this id, then as [`Fault::AnswerLost`].
    KillAfter(Arc<Mutex<Option<u32>>>),
}

#[derive(Default)]
struct Rules {
    /// Operation, fault, and how often it still happens.
    faults: Vec<(String, Fault, u32)>,
    /// All operations that arrived, in order.
    seen: Vec<String>,
    /// Certificates as re-signed, by id.
    signed: HashMap<String, String>,
    /// Streams, which moto does not have, by id: what they were made of.
    streams: HashMap<String, Value>,
    /// Documents of the jobs that `create-ota-update` makes, by its ids.
    documents: HashMap<String, Value>,
    /// Stores of the other account, which lets everybody do everything with them.
    strangers: HashSet<String>,
    /// The endpoint: moto has another one each time, AWS the same.
    endpoint: Option<Value>,
    /// Whether certificates are left as moto makes them.
    as_moto_does: bool,
}

/// One test's view of AWS: a region of its own, a folder for its results.
pub struct Bed {
    /// Holds what a test writes.
    pub folder: TempDir,
    region: String,
    url: String,
    rules: Arc<Mutex<Rules>>,
    said: Mutex<Vec<String>>,
}

impl Bed {
    /// `region` keeps tests apart: they share one moto. AWS need not have it.
    ///
    /// # Panics
    /// When moto does not start, as everything here does when the stand-in itself fails.
    #[must_use]
    pub fn new(region: &str) -> Self {
        let moto = moto();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rules = Arc::new(Mutex::new(Rules::default()));
        let authority = Arc::new(authority());
        let shared = Arc::clone(&rules);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (rules, authority) = (Arc::clone(&shared), Arc::clone(&authority));
                std::thread::spawn(move || serve(stream, moto, &rules, &authority));
            }
        });
        Self {
            folder: tempfile::tempdir().unwrap(),
            region: region.to_owned(),
            url,
            rules,
            said: Mutex::default(),
        }
    }

    /// Where this account answers, for a call by hand.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the things' folders are.
    #[must_use]
    pub fn certs(&self) -> PathBuf {
        self.folder.path().join("certs")
    }

    /// Lets the next `times` calls of `operation` go wrong.
    pub fn fault(&self, operation: &str, fault: Fault, times: u32) {
        self.rules.lock().unwrap().faults.push((operation.to_owned(), fault, times));
    }

    /// Lets certificates carry keys of moto's own, which are not the CSR's.
    pub fn leave_certificates_as_moto_makes_them(&self) {
        self.rules.lock().unwrap().as_moto_does = true;
    }

    /// The operations since the last time this was asked.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.rules.lock().unwrap().seen)
    }

    /// What the program said since the last time this was asked.
    pub fn said(&self) -> String {
        std::mem::take(&mut *self.said.lock().unwrap()).join("\n")
    }

    /// Environment of the AWS CLI: nothing of the person's own.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let nowhere = self.folder.path().join("no-such-file").display().to_string();
        [
            ("AWS_ENDPOINT_URL", self.url.as_str()),
            // Version 1 of the AWS CLI reads this one only.
            ("AWS_DEFAULT_REGION", self.region.as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_CONFIG_FILE", &nowhere),
            ("AWS_SHARED_CREDENTIALS_FILE", &nowhere),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("NO_PROXY", "127.0.0.1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// The AWS CLI in this account.
    #[must_use]
    pub fn cli(&self) -> Cli {
        Cli {
            region: Some(self.region.clone()),
            environment: self.environment(),
            patience: Patience {
                tries: 3,
                pause: Duration::from_millis(10),
                let_go: Duration::from_secs(4),
                ..Patience::default()
            },
            ..Cli::new(quick_aws().to_owned())
        }
    }

    /// Does something in a new session.
    ///
    /// # Errors
    /// As `act`, and when the session does not open.
    pub fn session<T>(
        &self,
        act: impl FnOnce(&mut Session<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.session_with(self.cli(), act)
    }

    /// As [`Bed::session`], with another AWS CLI.
    ///
    /// # Errors
    /// As `act`, and when the session does not open.
    pub fn session_with<T>(
        &self,
        cli: Cli,
        act: impl FnOnce(&mut Session<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let say = |line: &str| self.said.lock().unwrap().push(line.to_owned());
        act(&mut Session::open(cli, &self.certs(), &say)?)
    }

    /// Makes a thing.
    ///
    /// # Errors
    /// As [`Session::provision`].
    pub fn provision(&self, thing: &str, topics: &Topics) -> anyhow::Result<Journal> {
        self.session(|session| session.provision(thing, topics))
    }

    /// Removes a thing.
    ///
    /// # Errors
    /// As [`Session::deprovision`].
    pub fn deprovision(&self, thing: &str) -> anyhow::Result<()> {
        self.session(|session| session.deprovision(thing, false))
    }

    /// What this machine knows of a thing.
    #[must_use]
    pub fn journal(&self, thing: &str) -> Option<Journal> {
        journal(&self.certs(), thing).unwrap()
    }

    /// A file of a thing.
    #[must_use]
    pub fn file(&self, thing: &str, name: &str) -> PathBuf {
        self.certs().join(thing).join(name)
    }

    /// The program `thing` in this account, with the quick AWS CLI on its `PATH`, things under
    /// [`Bed::certs`] and no config.toml.
    #[must_use]
    pub fn thing(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let mut path = vec![quick_aws().parent().unwrap().to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        command.env("PATH", std::env::join_paths(path).unwrap());
        command.envs(self.environment()).env("AWS_REGION", &self.region).env_remove("AWS_PROFILE");
        // Places of the working copy, which are relative, must not be met.
        command.current_dir(self.folder.path());
        command.env("THING", "demo").args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Whether a certificate is in the account and active.
    #[must_use]
    pub fn is_active(&self, certificate: &str) -> bool {
        self.ask(&format!("/certificates/{certificate}"))["certificateDescription"]["status"]
            == "ACTIVE"
    }

    /// What is in the account now.
    #[must_use]
    pub fn account(&self) -> Account {
        let names = |path: &str, list: &str, field: &str| {
            let answer = self.ask(path);
            let mut names: Vec<String> = answer[list]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item[field].as_str().unwrap().to_owned())
                .collect();
            names.sort();
            names
        };
        Account {
            things: names("/things", "things", "thingName"),
            certificates: names("/certificates", "certificates", "certificateId"),
            policies: names("/policies", "policies", "policyName"),
        }
    }

    /// Ids of the streams that there are now.
    #[must_use]
    pub fn streams(&self) -> Vec<String> {
        self.rules.lock().unwrap().streams.keys().cloned().collect()
    }

    /// Makes a store in another account, which lets everybody do everything with it.
    pub fn make_strangers_store(&self, bucket: &str) {
        let request =
            s3_request("PUT", &format!("/{bucket}"), &format!("x-moto-account-id: {STRANGER}\r\n"));
        let answer = exchange(moto(), request.as_bytes());
        assert!(answer.status < 300, "{bucket}: {}", answer.text());
        self.rules.lock().unwrap().strangers.insert(bucket.to_owned());
    }

    /// What a stream was made of.
    #[must_use]
    pub fn stream(&self, id: &str) -> Value {
        self.rules.lock().unwrap().streams[id].clone()
    }

    /// The document of the job that `create-ota-update` has made.
    #[must_use]
    pub fn ota_document(&self, id: &str) -> Value {
        self.rules.lock().unwrap().documents[id].clone()
    }

    /// A question to moto, past the proxy.
    #[must_use]
    pub fn ask(&self, path: &str) -> Value {
        self.tell("GET", path)
    }

    /// A change made in moto, past the proxy.
    pub fn tell(&self, method: &str, path: &str) -> Value {
        let scope = format!("test/20260101/{}/iot/aws4_request", self.region);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: iot\r\nContent-Length: 0\r\nConnection: close\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=x\r\n\r\n"
        );
        let answer = exchange(moto(), request.as_bytes());
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }
}

/// Names of what is in an account.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Names of things.
    pub things: Vec<String>,
    /// Ids of certificates.
    pub certificates: Vec<String>,
    /// Names of policies.
    pub policies: Vec<String>,
}

/// The pinned AWS CLI.
fn aws() -> PathBuf {
    python::environment(&target().join("aws-cli"), "", python::AWS_CLI).unwrap().join("aws")
}

/// The interpreter that a Python script's first line names.
fn interpreter(script: &Path) -> Option<PathBuf> {
    let text = std::fs::read(script).ok()?;
    let first = text.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let program = std::str::from_utf8(first).ok()?.trim();
    // One that is looked up, or has arguments, is left to the system.
    (program.contains("python") && !program.contains(' ')).then(|| PathBuf::from(program))
}

/// The same with its start taken out, as a program `aws` in a folder of its own; see
/// `aws_server.py`. Or the AWS CLI that the variable `AWS_CLI` names; one that is no Python script,
/// as that of Amazon's installer, takes its time.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn quick_aws() -> &'static Path {
    static AWS: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = AWS.get_or_init(|| {
        // Removed by the next one: statics are not dropped.
        let folder = scratch::folder().unwrap();
        let (program, socket) = (folder.path().join("aws"), folder.path().join("socket"));
        let python = match std::env::var_os("AWS_CLI") {
            None => aws().with_file_name("python"),
            Some(other) => match interpreter(Path::new(&other)) {
                Some(python) => python,
                None => {
                    std::os::unix::fs::symlink(other, &program).unwrap();
                    return (folder, program);
                }
            },
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("aws_server.py");
        let words = [python.display(), script.display(), socket.display()];
        let client = format!(
            "#!/bin/sh\nexec '{}' -I -S '{}' call '{}' \"$@\"\n",
            words[0], words[1], words[2]
        );
        files::write_program(&program, &client).unwrap();
        let mut server = Command::new(python);
        server.arg(script).arg("serve").arg(&socket);
        stay(server);
        await_that("the AWS CLI", || UnixStream::connect(&socket).is_ok());
        (folder, program)
    });
    program
}

/// Starts a server that lives as long as the tests. A child ends with the thread that started
/// it: so that one stays.
fn stay(mut command: Command) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    std::thread::spawn(move || {
        let _server = Owned::spawn(&mut command).unwrap();
        loop {
            std::thread::park();
        }
    });
}

fn await_that(what: &str, ready: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ready() {
        assert!(Instant::now() < deadline, "{what} does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Where the Python environments are kept.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")
}

/// The port of the one moto.
fn moto() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let programs =
            python::environment(&target().join("moto"), "", include_str!("../moto.txt")).unwrap();
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut server = Command::new(programs.join("moto_server"));
        server.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        server.env("MOTO_ALLOW_NONEXISTENT_REGION", "true");
        stay(server);
        await_that("moto", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        port
    })
}

fn authority() -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Issuer::new(params, KeyPair::generate().unwrap())
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request to moto's S3, past the proxy; `more` are headers.
fn s3_request(method: &str, path: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: s3\r\nContent-Length: 0\r\nConnection: close\r\n{more}\
         Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
         SignedHeaders=host, Signature=x\r\n\r\n"
    )
}

/// Sends a request that asks for the connection to be closed, and reads all that comes.
fn exchange(port: u16, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.write_all(request).unwrap();
    let mut reader = BufReader::new(stream);
    let (head, body) = message(&mut reader).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body }
}

/// As [`exchange`], for a request whose answer has no body, whatever its length says.
fn exchange_head(port: u16, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.write_all(request).unwrap();
    let mut head = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if line.is_empty() {
            break;
        }
        head.push_str(&line);
        head.push_str("\r\n");
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: Vec::new() }
}

/// One HTTP message: its first line and headers, and its body.
fn message(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn serve(stream: TcpStream, moto: u16, rules: &Mutex<Rules>, authority: &Issuer<'_, KeyPair>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    // One request a connection: the AWS CLI makes one connection a call.
    let Some((head, body)) = message(&mut reader) else { return };
    let operation = operation(&head, &body);
    let fault = {
        let mut rules = rules.lock().unwrap();
        rules.seen.push(operation.clone());
        rules.faults.iter_mut().find(|(name, _, times)| *name == operation && *times > 0).map(
            |(_, fault, times)| {
                *times -= 1;
                fault.clone()
            },
        )
    };
    let answer = match &fault {
        Some(Fault::Lost) => return,
        Some(Fault::Error(status, code, message)) => error(&operation, *status, code, message),
        Some(Fault::Answer(body)) => plain(200, body),
        _ if operation.ends_with("-stream") => streams(&head, &body, &operation, rules),
        _ if operation == "create-ota-update" => ota_update(&head, &body, moto, rules),
        _ if is_owner_wrong(&head, &operation, rules) => {
            error(&operation, 403, "AccessDenied", "Access Denied")
        }
        _ => forward(&head, &body, moto, rules, authority, &operation),
    };
    match &fault {
        Some(Fault::AnswerLost) => return,
        Some(Fault::KillAfter(process)) => {
            let process = process.lock().unwrap().expect("the process is known");
            let process = nix::unistd::Pid::from_raw(i32::try_from(process).unwrap());
            nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
            return;
        }
        _ => {}
    }
    let mut stream = stream;
    let _ = stream.write_all(answer.head.as_bytes());
    let _ = stream.write_all(&answer.body);
}

fn forward(
    head: &str,
    body: &[u8],
    moto: u16,
    rules: &Mutex<Rules>,
    authority: &Issuer<'_, KeyPair>,
    operation: &str,
) -> Answer {
    // The body is here already: nobody needs to be asked whether to send it.
    let mut request: String = head
        .split_inclusive("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("expect:"))
        .collect();
    request.push_str("Connection: close\r\n\r\n");
    let request = [request.as_bytes(), body].concat();
    if head.starts_with("HEAD ") {
        let answer = exchange_head(moto, &request);
        return plain_with(&answer.head, &answer.body);
    }
    let answer = exchange(moto, &request);
    // What moto does not know, or stumbles over, it answers with a page for a browser.
    if answer.body.starts_with(b"<!doctype html>") {
        let message =
            format!("the stand-in for AWS does not play {operation} with these arguments");
        return error(operation, 400, "NotPlayedException", &message);
    }
    let as_moto_does = rules.lock().unwrap().as_moto_does;
    if answer.status >= 300 || as_moto_does {
        return plain_with(&answer.head, &answer.body);
    }
    let mut json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match operation {
        "create-certificate-from-csr" => {
            let request: Value = serde_json::from_slice(body).unwrap();
            let csr = request["certificateSigningRequest"].as_str().unwrap();
            let csr = CertificateSigningRequestParams::from_pem(csr).unwrap();
            let pem = csr.signed_by(authority).unwrap().pem();
            let id = json["certificateId"].as_str().unwrap().to_owned();
            rules.lock().unwrap().signed.insert(id, pem.clone());
            json["certificatePem"] = pem.into();
        }
        "describe-endpoint" => {
            let endpoint = &mut json["endpointAddress"];
            *endpoint =
                rules.lock().unwrap().endpoint.get_or_insert_with(|| endpoint.clone()).clone();
        }
        "describe-certificate" => {
            let description = &mut json["certificateDescription"];
            let id = description["certificateId"].as_str().unwrap();
            if let Some(pem) = rules.lock().unwrap().signed.get(id) {
                description["certificatePem"] = pem.as_str().into();
            }
        }
        _ => return plain_with(&answer.head, &answer.body),
    }
    plain(200, &json.to_string())
}

/// AWS IoT's streams, as far as a person's commands see them.
fn streams(head: &str, body: &[u8], operation: &str, rules: &Mutex<Rules>) -> Answer {
    let path = head.split(' ').nth(1).unwrap();
    let id = path.rsplit('/').next().unwrap().to_owned();
    let streams = &mut rules.lock().unwrap().streams;
    let known = streams.contains_key(&id);
    match operation {
        "create-stream" if known => {
            error(operation, 409, "ResourceAlreadyExistsException", "the stream exists")
        }
        "create-stream" => {
            let order: Value = serde_json::from_slice(body).unwrap();
            let file = &order["files"][0];
            let whole = file["fileId"] == 0
                && file["s3Location"]["bucket"].is_string()
                && file["s3Location"]["key"].is_string()
                && order["roleArn"].as_str().is_some_and(|arn| arn.contains(":role/"));
            if !whole {
                return error(operation, 400, "InvalidRequestException", "what is in it?");
            }
            let answer = serde_json::json!({ "streamId": id, "streamVersion": 1 }).to_string();
            streams.insert(id, order);
            plain(200, &answer)
        }
        _ if !known => {
            error(operation, 404, "ResourceNotFoundException", "there is no such stream")
        }
        "describe-stream" => {
            plain(200, &serde_json::json!({ "streamInfo": { "streamId": id } }).to_string())
        }
        _ => {
            streams.remove(&id);
            plain(200, "{}")
        }
    }
}

/// The document that AWS IoT makes of an OTA update by MQTT with a signature of one's own: the signature,
/// which comes as a blob, stands there as a text, and what was not given as null.
fn ota_update(head: &str, body: &[u8], moto: u16, rules: &Mutex<Rules>) -> Answer {
    let id = head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
    let order: Value = serde_json::from_slice(body).unwrap();
    let file = &order["files"][0];
    let signing = &file["codeSigning"]["customCodeSigning"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let signature = STANDARD.decode(text(&signing["signature"]["inlineDocument"])).unwrap();
    let [hash, algorithm] = ["hashAlgorithm", "signatureAlgorithm"]
        .map(|name| text(&signing[name]).to_ascii_lowercase());
    let location = &file["fileLocation"]["s3Location"];
    let [bucket, key] = ["bucket", "key"].map(|name| text(&location[name]));
    let object = s3_request("HEAD", &format!("/{bucket}/{key}"), "");
    let object = exchange_head(moto, object.as_bytes());
    let headers = object.head.lines().filter_map(|line| line.split_once(": "));
    let mut sizes = headers.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let size: u64 = match sizes.next() {
        Some((_, size)) if object.status == 200 => size.parse().unwrap(),
        _ => return error("create-ota-update", 400, "InvalidRequestException", "no such object"),
    };
    let mut described = serde_json::json!({
        "filepath": file["fileName"], "filesize": size, "fileid": 0,
        "certfile": signing["certificateChain"]["certificateName"],
        "update_data_url": null, "auth_scheme": null,
    });
    described[format!("sig-{hash}-{algorithm}")] = String::from_utf8_lossy(&signature).into();
    let document = serde_json::json!({ "afr_ota": {
        "protocols": order["protocols"], "streamname": format!("AFR_OTA-{id}"), "files": [described],
    } });
    let answer = serde_json::json!({ "otaUpdateId": id }).to_string();
    rules.lock().unwrap().documents.insert(id, document);
    plain(200, &answer)
}

/// Whether a call about a store expects another owner than it has, which moto does not look at.
fn is_owner_wrong(head: &str, operation: &str, rules: &Mutex<Rules>) -> bool {
    if !["head-bucket", "head-object", "put-object", "delete-object"].contains(&operation) {
        return false;
    }
    let bucket = head.split(['/', ' ', '?']).nth(2).unwrap_or_default();
    let owner = if rules.lock().unwrap().strangers.contains(bucket) { STRANGER } else { ACCOUNT };
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    headers.any(|(name, value)| {
        name.eq_ignore_ascii_case("x-amz-expected-bucket-owner") && value.trim() != owner
    })
}

fn plain(status: u16, body: &str) -> Answer {
    let head = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    Answer { status, head, body: body.into() }
}

/// moto's answer as it is.
fn plain_with(head: &str, body: &[u8]) -> Answer {
    Answer { status: 0, head: format!("{head}\r\n"), body: body.to_owned() }
}

fn error(operation: &str, status: u16, code: &str, message: &str) -> Answer {
    if ["head-bucket", "head-object"].contains(&operation) {
        // The status says it all.
        return plain(status, "");
    }
    if ["put-object", "delete-object"].contains(&operation) {
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        return plain(status, &body);
    }
    if ["get-caller-identity", "get-role"].contains(&operation) {
        // STS and IAM speak XML.
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>\
             </Error><RequestId>1</RequestId></ErrorResponse>"
        );
        return plain(status, &body);
    }
    let body = format!(r#"{{"message":"{message}"}}"#);
    let mut answer = plain(status, &body);
    answer.head = answer.head.replacen("\r\n", &format!("\r\nx-amzn-errortype: {code}\r\n"), 1);
    answer
}

/// The AWS CLI's name of an operation, told by method and path.
fn operation(head: &str, body: &[u8]) -> String {
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let path = target.split('?').next().unwrap();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (method, parts.as_slice()) {
        ("POST", [""]) if body.starts_with(b"Action=GetCallerIdentity") => "get-caller-identity",
        ("POST", [""]) if body.starts_with(b"Action=GetRole&") => "get-role",
        ("GET", ["endpoint"]) => "describe-endpoint",
        ("GET", ["things", _]) => "describe-thing",
        ("POST", ["things", _]) => "create-thing",
        ("DELETE", ["things", _]) => "delete-thing",
        ("GET", ["things", _, "principals"]) => "list-thing-principals",
        ("PUT", ["things", _, "principals"]) => "attach-thing-principal",
        ("DELETE", ["things", _, "principals"]) => "detach-thing-principal",
        ("GET", ["principals", "things"]) => "list-principal-things",
        ("GET", ["policies", _]) => "get-policy",
        ("POST", ["policies", _]) => "create-policy",
        ("DELETE", ["policies", _]) => "delete-policy",
        ("PUT", ["target-policies", _]) => "attach-policy",
        ("POST", ["target-policies", _]) => "detach-policy",
        ("POST", ["attached-policies", ..]) => "list-attached-policies",
        ("POST", ["policy-targets", _]) => "list-targets-for-policy",
        ("POST", ["certificates"]) => "create-certificate-from-csr",
        ("GET", ["certificates"]) => "list-certificates",
        ("GET", ["certificates", _]) => "describe-certificate",
        ("PUT", ["certificates", _]) => "update-certificate",
        ("DELETE", ["certificates", _]) => "delete-certificate",
        ("PUT", ["jobs", _]) => "create-job",
        ("GET", ["jobs", _]) => "describe-job",
        ("PUT", ["jobs", _, "cancel"]) => "cancel-job",
        ("DELETE", ["jobs", _]) => "delete-job",
        ("GET", ["jobs", _, "things"]) => "list-job-executions-for-job",
        ("GET", ["things", _, "jobs", _]) => "describe-job-execution",
        ("GET", ["thing-groups", _]) => "describe-thing-group",
        ("POST", ["otaUpdates", _]) => "create-ota-update",
        ("POST", ["streams", _]) => "create-stream",
        ("GET", ["streams", _]) => "describe-stream",
        ("DELETE", ["streams", _]) => "delete-stream",
        ("HEAD", [_]) => "head-bucket",
        ("HEAD", [_, _, ..]) => "head-object",
        ("PUT", [_, "updates", _]) => "put-object",
        ("DELETE", [_, "updates", _]) => "delete-object",
        // A person's own call: it has no fault, and moto may know it.
        _ => return format!("{method} {path}"),
    }
    .to_owned()
}
