//! The board on a page: a web server on loopback that hands out one page, and a WebSocket on which
//! the page speaks the protocol of the control socket.
//!
//! There is no password: the address must be loopback, and a request must name it as its host (so
//! that no name that resolves to loopback gets in) and, for the WebSocket, as its origin (so that
//! no other page in the same browser does).

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Longest head of a request.
const MOST_HEAD: usize = 1 << 14;
/// Connections at a time.
const MOST_CONNECTIONS: usize = 32;
/// Longest message from a page.
const MOST_MESSAGE: usize = 1 << 16;
/// Bytes that wait for a page that does not read, or for the board, before it is cut off.
const MOST_OWED: usize = 1 << 22;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the page at `address` from now on, in threads of its own. Each page that opens its socket
/// comes out of the receiver, as a client of the control socket.
///
/// # Errors
/// The address is not loopback, or in use.
pub fn serve(address: SocketAddr) -> io::Result<(SocketAddr, Receiver<UnixStream>)> {
    if !address.ip().is_loopback() {
        let text = "the page has no password, so it is for loopback only (127.0.0.1)";
        return Err(io::Error::other(text));
    }
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    let (send, clients) = channel();
    let open = Arc::new(AtomicUsize::new(0));
    std::thread::Builder::new().name("web".to_owned()).spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if open.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (send, open) = (send.clone(), Arc::clone(&open));
            std::thread::spawn(move || {
                // Who sends nonsense, or goes away, only loses the connection.
                let _ = connection(stream, address, &send);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    })?;
    Ok((address, clients))
}

/// What of a request matters here.
#[derive(Debug, Default, PartialEq)]
struct Request {
    method: String,
    path: String,
    host: String,
    origin: Option<String>,
    /// The key of a WebSocket's handshake.
    key: Option<String>,
}

/// The request at the front of `head`, once all of it is there.
fn parse(head: &[u8]) -> Result<Option<Request>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    if parsed.parse(head)?.is_partial() {
        return Ok(None);
    }
    let header = |name: &str| {
        let mut found = parsed.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name));
        let value = found.next().and_then(|h| std::str::from_utf8(h.value).ok());
        // One that comes twice is nobody's.
        value.filter(|_| found.next().is_none()).map(|value| value.trim().to_owned())
    };
    let upgrades = header("upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
    Ok(Some(Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: parsed.path.unwrap_or_default().to_owned(),
        host: header("host").unwrap_or_default(),
        origin: header("origin"),
        key: header("sec-websocket-key").filter(|_| upgrades),
    }))
}

/// The names under which a browser on this machine may reach `address`. Port 80 need not be named, and
/// browsers do not name it.
fn names(address: SocketAddr) -> Vec<String> {
    let port = address.port();
    let hosts = match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    let hosts = [&hosts, "localhost", "127.0.0.1", "[::1]"];
    let plain = hosts.iter().filter(|_| port == 80).map(|host| (*host).to_owned());
    plain.chain(hosts.iter().map(|host| format!("{host}:{port}"))).collect()
}

/// What is answered to a request.
#[derive(Debug, PartialEq)]
enum Answer {
    File(&'static str, &'static str),
    Socket(String),
    Refusal(&'static str, &'static str),
}

fn answer(request: &Request, address: SocketAddr) -> Answer {
    let names = names(address);
    if !names.contains(&request.host) {
        return Answer::Refusal("403 Forbidden", "This page is at its loopback address only.\n");
    }
    if request.method != "GET" {
        return Answer::Refusal("405 Method Not Allowed", "GET only.\n");
    }
    match request.path.as_str() {
        "/" => Answer::File("text/html; charset=utf-8", HTML),
        "/page.css" => Answer::File("text/css; charset=utf-8", STYLE),
        "/page.js" => Answer::File("text/javascript; charset=utf-8", SCRIPT),
        "/socket" => {
            let origin = request.origin.as_deref().and_then(|from| from.strip_prefix("http://"));
            if !origin.is_some_and(|origin| names.iter().any(|name| name == origin)) {
                return Answer::Refusal("403 Forbidden", "For the board's own page only.\n");
            }
            match &request.key {
                Some(key) => Answer::Socket(derive_accept_key(key.as_bytes())),
                None => Answer::Refusal("426 Upgrade Required", "This is a WebSocket.\n"),
            }
        }
        _ => Answer::Refusal("404 Not Found", "There is only / here.\n"),
    }
}

fn connection(
    mut stream: TcpStream,
    address: SocketAddr,
    clients: &Sender<UnixStream>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    let request = loop {
        match parse(&head) {
            Ok(Some(request)) => break request,
            Ok(None) if head.len() < MOST_HEAD => {}
            _ => return reply(&mut stream, "400 Bad Request", "text/plain", "No HTTP.\n"),
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => head.extend(&buffer[..count]),
        }
    };
    match answer(&request, address) {
        Answer::File(kind, contents) => reply(&mut stream, "200 OK", kind, contents),
        Answer::Refusal(status, text) => reply(&mut stream, status, "text/plain", text),
        Answer::Socket(key) => {
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {key}\r\n\r\n"
            );
            stream.write_all(head.as_bytes())?;
            let (ours, boards) = UnixStream::pair()?;
            clients.send(boards).map_err(io::Error::other)?;
            bridge(stream, ours)
        }
    }
}

fn reply(stream: &mut TcpStream, status: &str, kind: &str, contents: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'self'; img-src 'self' data:; \
         frame-ancestors 'none'\r\n\
         Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n",
        contents.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(contents.as_bytes())
}

/// Carries messages between a page and the board until one of them is gone.
fn bridge(stream: TcpStream, mut board: UnixStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    board.set_nonblocking(true)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MOST_MESSAGE))
        .max_frame_size(Some(MOST_MESSAGE))
        .max_write_buffer_size(MOST_OWED);
    let mut page = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
    let mut to_board: VecDeque<u8> = VecDeque::new();
    let mut from_board: Vec<u8> = Vec::new();
    let mut page_owed = false;
    loop {
        let flags = |owed: bool| {
            if owed { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN }
        };
        let mut wait = [
            PollFd::new(page.get_ref().as_fd(), flags(page_owed)),
            PollFd::new(board.as_fd(), flags(!to_board.is_empty())),
        ];
        match poll(&mut wait, PollTimeout::from(1000u16)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        loop {
            match page.read() {
                Ok(Message::Text(text)) => {
                    // A line is a request; a page cannot smuggle in two.
                    to_board.extend(text.bytes().map(|b| if b == b'\n' { b' ' } else { b }));
                    to_board.push_back(b'\n');
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        while !to_board.is_empty() {
            match board.write(to_board.as_slices().0) {
                Ok(count) => drop(to_board.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if to_board.len() > MOST_OWED {
            return Err(io::Error::other("the board does not answer"));
        }
        let mut buffer = [0; 1 << 14];
        loop {
            match board.read(&mut buffer) {
                Ok(0) => {
                    let _ = page.close(None);
                    return Ok(());
                }
                Ok(count) => from_board.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let whole = from_board.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in from_board.drain(..whole).collect::<Vec<_>>().split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                let text = String::from_utf8_lossy(line).into_owned();
                match page.write(Message::text(text)) {
                    Ok(()) => {}
                    Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
        }
        page_owed = match page.flush() {
            Ok(()) => false,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => true,
            Err(error) => return Err(io::Error::other(error)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "127.0.0.1:8080";

    fn request(text: &str) -> Request {
        parse(text.replace('\n', "\r\n").as_bytes()).unwrap().unwrap()
    }

    fn ask(text: &str) -> Answer {
        answer(&request(text), AT.parse().unwrap())
    }

    fn refused(text: &str, status: &str) {
        match ask(text) {
            Answer::Refusal(said, _) => assert!(said.starts_with(status), "{text}: {said}"),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_page_is_there_under_its_own_names_only() {
        for host in [AT, "localhost:8080", "[::1]:8080"] {
            let answer = ask(&format!("GET / HTTP/1.1\nHost: {host}\n\n"));
            assert!(matches!(answer, Answer::File(_, HTML)), "{host}");
        }
        // A name of somebody else's that resolves to loopback.
        for host in ["evil.example:8080", "127.0.0.1", "127.0.0.1:80", "localhost:8080.evil"] {
            refused(&format!("GET / HTTP/1.1\nHost: {host}\n\n"), "403");
        }
        refused("GET / HTTP/1.1\n\n", "403");
        refused("GET / HTTP/1.1\nHost: 127.0.0.1:8080\nHost: evil.example\n\n", "403");
        refused("POST / HTTP/1.1\nHost: 127.0.0.1:8080\n\n", "405");
        refused("GET /../etc/passwd HTTP/1.1\nHost: 127.0.0.1:8080\n\n", "404");
    }

    /// RFC 9110, section 4.2.3: a browser leaves the scheme's own port out.
    #[test]
    fn port_80_is_not_named() {
        let at = |address: &str, text: &str| answer(&request(text), address.parse().unwrap());
        let socket = |name: &str| {
            format!(
                "GET /socket HTTP/1.1\nHost: {name}\nOrigin: http://{name}\nUpgrade: websocket\n\
                 Connection: Upgrade\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n"
            )
        };
        for name in ["127.0.0.1", "localhost", "[::1]", "127.0.0.1:80"] {
            let page = format!("GET / HTTP/1.1\nHost: {name}\n\n");
            assert!(matches!(at("127.0.0.1:80", &page), Answer::File(_, HTML)), "{name}");
            assert!(matches!(at("[::1]:80", &socket(name)), Answer::Socket(_)), "{name}");
            assert!(matches!(at("127.0.0.1:81", &page), Answer::Refusal(..)), "{name}");
        }
        let page = "GET / HTTP/1.1\nHost: evil.example\n\n";
        assert!(matches!(at("127.0.0.1:80", page), Answer::Refusal(..)));
    }

    #[test]
    fn the_socket_is_for_the_boards_own_page() {
        let with = |origin: &str| {
            format!(
                "GET /socket HTTP/1.1\nHost: {AT}\nUpgrade: websocket\nConnection: Upgrade\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n{origin}\n"
            )
        };
        // The example of RFC 6455, section 1.3.
        let good = Answer::Socket("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned());
        assert_eq!(ask(&with("Origin: http://127.0.0.1:8080\n")), good);
        assert_eq!(ask(&with("Origin: http://localhost:8080\n")), good);
        for origin in [
            "",
            "Origin: null\n",
            "Origin: http://evil.example\n",
            "Origin: https://127.0.0.1:8080\n",
            "Origin: http://127.0.0.1:8081\n",
        ] {
            refused(&with(origin), "403");
        }
        let plain = format!("GET /socket HTTP/1.1\nHost: {AT}\nOrigin: http://{AT}\n\n");
        refused(&plain, "426");
    }

    #[test]
    fn other_addresses_are_refused() {
        for address in ["0.0.0.0:0", "192.0.2.1:80", "[::]:0"] {
            let error = serve(address.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains("loopback only"), "{address}: {error}");
        }
    }

    #[test]
    fn nonsense_ends_a_connection_and_nothing_else() {
        let (address, clients) = serve("127.0.0.1:0".parse().unwrap()).unwrap();
        for nonsense in [&b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"[..], &[b'x'; 40_000]] {
            let mut stream = TcpStream::connect(address).unwrap();
            let _ = stream.write_all(nonsense);
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400"), "{said:?}");
        }
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /page.js HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with(SCRIPT), "{said}");
        assert!(said.contains("Content-Security-Policy: default-src 'self'"));
        assert!(clients.try_recv().is_err());
    }

    #[test]
    fn a_page_and_a_board_talk() {
        let (address, clients) = serve("127.0.0.1:0".parse().unwrap()).unwrap();
        let request = tungstenite::ClientRequestBuilder::new(
            format!("ws://{address}/socket").parse().unwrap(),
        )
        .with_header("Origin", format!("http://{address}"));
        let stream = TcpStream::connect(address).unwrap();
        let (mut page, _) = tungstenite::client(request, stream).unwrap();
        let mut board = clients.recv_timeout(PATIENCE).unwrap();
        page.send(Message::text("{\"do\":\n\"status\"}")).unwrap();
        let mut buffer = [0; 64];
        let count = board.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"{\"do\": \"status\"}\n");
        let long = "x".repeat(200_000);
        board.write_all(format!("one\n{long}\nhalf").as_bytes()).unwrap();
        assert_eq!(page.read().unwrap(), Message::text("one"));
        assert_eq!(page.read().unwrap(), Message::text(long));
        board.write_all(b" a line\n").unwrap();
        assert_eq!(page.read().unwrap(), Message::text("half a line"));
        drop(board);
        assert!(page.read().map_or(true, |message| message.is_close()));
    }
}
