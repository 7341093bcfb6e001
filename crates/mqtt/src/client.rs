//! The one MQTT client.

use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::net::Ipv4Addr;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use rtos::Waker;
use vendor_sys as sys;

use crate::error::{Error, Step};
use crate::guard;

/// Milliseconds until a PUBLISH or SUBSCRIBE without an answer means a dead connection. It was
/// sent again before (`PAHO_REPEAT_MS`).
const ANSWER_TIMEOUT_MS: u32 = 15_000;

/// Shortest time-out that `MQTTClient_setCommandTimeout` takes.
const LEAST_COMMAND_TIMEOUT_MS: u32 = 5_000;

/// Bytes of heap that paho's client takes: its records, lists and texts. It does not survive a
/// refused allocation.
const CLIENT_HEADROOM: usize = 2048;

/// Bytes of heap that a publish takes besides copies of topic and payload: paho's records, a TLS
/// record's TCP segments.
const PUBLISH_HEADROOM: usize = 1024;

/// Quality of service. AWS IoT knows no QoS 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// At most once: sent and forgotten.
    AtMostOnce = 0,
    /// At least once: acknowledged.
    AtLeastOnce = 1,
}

/// What the server publishes for this client when the connection ends without a DISCONNECT.
#[derive(Debug, Clone, Copy)]
pub struct Will<'a> {
    /// Topic of the last will.
    pub topic: &'a str,
    /// Its payload.
    pub payload: &'a str,
    /// Its quality of service.
    pub qos: Qos,
    /// Whether the server keeps it for later subscribers.
    pub retained: bool,
}

/// How to connect.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Seconds between signs of life. AWS IoT takes 30 to 1200.
    pub keep_alive_s: u16,
    /// Whether the server forgets subscriptions and messages between connections.
    pub clean_session: bool,
    /// The server's addresses, in the order in which they are tried.
    pub addresses: &'a [Ipv4Addr],
    /// Milliseconds that TCP, TLS, CONNACK and SUBACK may take together.
    pub timeout_ms: u32,
    /// The last will, if any.
    pub will: Option<Will<'a>>,
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic it was published to.
    pub topic: String,
    /// What was published, or the beginning of it: as much as [`Client::take`] was told to
    /// keep.
    pub payload: Vec<u8>,
    /// Bytes that were published.
    pub length: usize,
}

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message came. At QoS 1 the server was told so.
    Message(Message),
    /// The server has what was published last.
    Published,
}

/// The MQTT client: one, taken once, owned by one task.
///
/// paho's own client lives as long as one connection. What it holds of a message that was not
/// acknowledged it would send again on the next one, in front of what is news by then; what is
/// worth keeping, the owner keeps.
pub struct Client {
    /// There is one from `connect` to `abort`.
    connection: Option<Connection>,
    uri: CString,
    client_id: CString,
    port: u16,
    kept: usize,
    /// The last connection ended for messages that it had no room for.
    renewed: bool,
    // Fields are dropped in this order; paho reads the profile until the connection is gone.
    profile: tls::Profile,
}

/// paho's client, with one connection.
struct Connection {
    handle: sys::MQTTClient,
    /// Uptime at which the time for connecting is over.
    deadline_ms: u64,
    keep_alive_ms: u32,
    /// Uptime at which the last message was published, while it is not acknowledged.
    publishing: Option<u64>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: made by `MQTTClient_create`; an open connection is closed first.
        unsafe {
            sys::MQTTClient_disconnect(self.handle, 0);
            sys::MQTTClient_destroy(&mut self.handle);
        }
    }
}

static TAKEN: AtomicBool = AtomicBool::new(false);

impl Client {
    /// Makes the client for one server. `waker` is woken when something may have arrived. Of a
    /// message's payload the first `kept` bytes are kept: an owner knows what is longer than
    /// anything it understands.
    ///
    /// # Errors
    /// `AlreadyTaken` the second time; `BadText`.
    pub fn take(
        endpoint: &str,
        port: u16,
        client_id: &str,
        profile: tls::Profile,
        kept: usize,
        waker: Waker,
    ) -> Result<Self, Error> {
        let uri = CString::new(format!("ssl://{endpoint}:{port}")).map_err(|_| Error::BadText)?;
        let client_id = CString::new(client_id).map_err(|_| Error::BadText)?;
        if TAKEN.swap(true, Ordering::AcqRel) {
            return Err(Error::AlreadyTaken);
        }
        // SAFETY: `wake` takes the leaked waker, which lives for ever.
        unsafe { sys::paho_on_event(Some(wake), Box::into_raw(Box::new(waker)).cast()) };
        Ok(Self { connection: None, uri, client_id, port, kept, renewed: false, profile })
    }

    /// Connects, and tells whether the server kept a session. Blocks the calling task for the
    /// whole handshake, at most `options.timeout_ms`.
    ///
    /// # Errors
    /// The layer that failed, with its code.
    pub fn connect(&mut self, options: &Options) -> Result<bool, Error> {
        self.connection = None;
        let connection = self.create(options)?;
        let mut addresses = [0; sys::PAHO_MAX_ADDRESSES as usize];
        for (place, address) in addresses.iter_mut().zip(options.addresses) {
            *place = u32::from_le_bytes(address.octets());
        }
        let text = |text: &str| CString::new(text).map_err(|_| Error::BadText);
        let will_texts = match options.will {
            Some(will) => Some((text(will.topic)?, text(will.payload)?)),
            None => None,
        };
        // The bindings cannot carry MQTTClient.h's initialisers: these are their values.
        let mut will = sys::MQTTClient_willOptions {
            struct_id: letters(b"MQTW"),
            struct_version: 0,
            ..Default::default()
        };
        let mut ssl = sys::MQTTClient_SSLOptions {
            struct_id: letters(b"MQTS"),
            struct_version: 3,
            // The seam of vendor/paho/SSLSocket.c, which ignores every other field.
            ssl_error_context: self.profile.as_ptr().cast_mut().cast(),
            ..Default::default()
        };
        let mut connect = sys::MQTTClient_connectOptions {
            struct_id: letters(b"MQTC"),
            struct_version: 6,
            keepAliveInterval: options.keep_alive_s.into(),
            cleansession: options.clean_session.into(),
            connectTimeout: options.timeout_ms.div_ceil(1000) as c_int,
            ssl: &mut ssl,
            // 3.1.1 and nothing else: otherwise a refused connect is tried again as 3.1.
            MQTTVersion: sys::MQTTVERSION_3_1_1 as c_int,
            maxInflightMessages: -1,
            ..Default::default()
        };
        if let (Some(options), Some((topic, payload))) = (options.will, &will_texts) {
            will.topicName = topic.as_ptr();
            will.message = payload.as_ptr();
            will.qos = options.qos as c_int;
            will.retained = options.retained.into();
            connect.will = &mut will;
        }
        tls::Error::clear_last();
        // SAFETY: paho copies what it keeps of the options; all pointers live until it returns.
        let code = unsafe {
            // A clean session brings nothing again, and a second connection of many would not end.
            sys::paho_withhold(!options.clean_session && !self.renewed);
            sys::paho_connect_to(
                addresses.as_ptr(),
                options.addresses.len().min(addresses.len()),
                self.port,
                options.timeout_ms,
            );
            sys::MQTTClient_connect(connection.handle, &mut connect)
        };
        match code {
            0 => {}
            // CONNACK's return code.
            1..=255 => return Err(Error::Refused(code as u8)),
            -1 => return Err(end_cause(Step::Connect)),
            _ => return Err(Error::of(code)),
        }
        self.connection = Some(connection);
        Ok(connect.returned.sessionPresent != 0)
    }

    /// paho's client, not yet connected.
    fn create(&self, options: &Options) -> Result<Connection, Error> {
        if rtos::heap::largest_block() < CLIENT_HEADROOM {
            return Err(Error::OutOfMemory);
        }
        let mut connection = Connection {
            handle: ptr::null_mut(),
            deadline_ms: rtos::uptime_ms() + u64::from(options.timeout_ms),
            keep_alive_ms: u32::from(options.keep_alive_s) * 1000,
            publishing: None,
        };
        // SAFETY: paho copies both texts.
        let code = unsafe {
            sys::MQTTClient_create(
                &mut connection.handle,
                self.uri.as_ptr(),
                self.client_id.as_ptr(),
                sys::MQTTCLIENT_PERSISTENCE_NONE as c_int,
                ptr::null_mut(),
            )
        };
        if code == 0 { Ok(connection) } else { Err(Error::of(code)) }
    }

    /// Subscribes to `filter`, in what is left of the time for connecting.
    ///
    /// # Errors
    /// `SubscriptionRefused`; `Timeout`, also when less than 5 s are left, the least that paho
    /// waits; or the connection is gone.
    pub fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<(), Error> {
        let connection = self.connection.as_mut().ok_or(Error::Disconnected)?;
        let filter = CString::new(filter).map_err(|_| Error::BadText)?;
        let left = connection.deadline_ms.saturating_sub(rtos::uptime_ms());
        let left = left.min(ANSWER_TIMEOUT_MS.into()) as u32;
        if left < LEAST_COMMAND_TIMEOUT_MS {
            return Err(Error::Timeout);
        }
        tls::Error::clear_last();
        // SAFETY: paho copies the filter.
        let code = unsafe {
            sys::MQTTClient_setCommandTimeout(connection.handle, left);
            sys::MQTTClient_subscribe(connection.handle, filter.as_ptr(), qos as c_int)
        };
        match code {
            0 => Ok(()),
            0x80 => Err(Error::SubscriptionRefused),
            -1 => Err(end_cause(Step::Subscribe)),
            code => Err(Error::of(code)),
        }
    }

    /// All subscriptions stand.
    ///
    /// # Errors
    /// `Renewed`: more messages came before that than there is room for. They were not acknowledged: on
    /// the next connection, whose session needs no subscription, they come in their order.
    pub fn subscribed(&mut self) -> Result<(), Error> {
        // SAFETY: reads what the seam knows.
        self.renewed = unsafe { sys::paho_withheld() };
        if self.renewed { Err(Error::Renewed) } else { Ok(()) }
    }

    /// Publishes. At QoS 1 [`Client::turn`] tells when the server has it; one message at a time.
    ///
    /// # Errors
    /// `Busy` at QoS 1 while the last one is not acknowledged; `OutOfMemory` while the heap is too low to
    /// send safely: the connection still stands then.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: Qos) -> Result<(), Error> {
        let connection = self.connection.as_mut().ok_or(Error::Disconnected)?;
        if qos != Qos::AtMostOnce && connection.publishing.is_some() {
            return Err(Error::Busy);
        }
        // paho copies both, the seam puts them together, and TCP keeps that until it is
        // acknowledged. paho does not survive a refused allocation.
        if rtos::heap::largest_block() < 3 * (topic.len() + payload.len()) + PUBLISH_HEADROOM {
            return Err(Error::OutOfMemory);
        }
        let topic = CString::new(topic).map_err(|_| Error::BadText)?;
        // SAFETY: paho copies topic and payload.
        let code = unsafe {
            sys::MQTTClient_publish(
                connection.handle,
                topic.as_ptr(),
                payload.len() as c_int,
                payload.as_ptr().cast(),
                qos as c_int,
                0,
                ptr::null_mut(),
            )
        };
        if code != 0 {
            return Err(Error::of(code));
        }
        if qos != Qos::AtMostOnce {
            connection.publishing = Some(rtos::uptime_ms());
        }
        Ok(())
    }

    /// Whether a message is published and not yet acknowledged.
    pub fn is_publishing(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.publishing.is_some())
    }

    /// Handles one packet, if one has come, and tells what it was about. Does not wait, but for
    /// room to answer.
    ///
    /// # Errors
    /// The connection is over, or has to be: `Timeout` without a PUBACK, though the message was
    /// sent again; `Silent` when nothing at all has come for 1.5 keep-alives, though the server
    /// was pinged after one (paho itself allows 2.5); `OutOfMemory` for a message, which was not
    /// acknowledged and will be delivered again.
    pub fn turn(&mut self) -> Result<Option<Event>, Error> {
        let connection = self.connection.as_mut().ok_or(Error::Disconnected)?;
        if let Some(message) = connection.receive(self.kept)? {
            return Ok(Some(Event::Message(message)));
        }
        let step = if connection.publishing.is_some() { Step::Publish } else { Step::Serve };
        // SAFETY: the handle is live; the others read what the seam knows.
        let (connected, lost, unanswered, silent_ms) = unsafe {
            (
                sys::MQTTClient_isConnected(connection.handle) != 0 && sys::paho_usable(),
                // paho hands out all that it holds, and could not keep this one.
                sys::paho_holds(),
                sys::paho_unanswered(),
                sys::tls_now_ms().wrapping_sub(sys::paho_last_receive_ms()),
            )
        };
        if !connected {
            return Err(end_cause(step));
        }
        if lost {
            return Err(Error::OutOfMemory);
        }
        if let Some(since) = connection.publishing {
            if !unanswered {
                connection.publishing = None;
                return Ok(Some(Event::Published));
            }
            if rtos::uptime_ms() - since > ANSWER_TIMEOUT_MS.into() {
                return Err(Error::Timeout);
            }
        }
        if silent_ms > connection.keep_alive_ms / 2 * 3 {
            return Err(Error::Silent);
        }
        Ok(None)
    }

    /// From now on, and as long as the connection lasts, messages at QoS 0 whose topics begin with
    /// `prefix` come from [`Client::aside`] alone, not from [`Client::turn`]. They may have 2 KB, and
    /// nothing but the heap that one takes is needed for them.
    pub fn set_aside(&mut self, prefix: &str) {
        // SAFETY: the client's owner makes all of paho's calls, and none in here.
        if let Some(guard) = unsafe { guard::of_connection() } {
            guard.set_aside(prefix.as_bytes());
        }
    }

    /// Hands the next message to `with`, by topic and payload, if it is one that was set aside. Until
    /// then nothing that came behind it is handed out, so whoever sets messages aside asks for them
    /// in each turn.
    pub fn aside<T>(&mut self, with: impl FnOnce(&str, &[u8]) -> T) -> Option<T> {
        // SAFETY: as above; `with` cannot reach the client.
        let (topic, payload) = unsafe { guard::of_connection() }?.aside()?;
        Some(with(topic, payload))
    }

    /// Whether [`Client::turn`] would find a packet now.
    pub fn has_more(&self) -> bool {
        // SAFETY: reads what the seam knows, and polls its socket.
        self.connection.is_some() && unsafe { sys::paho_has_more() }
    }

    /// Ends the connection without a word to the server, which then publishes the last will.
    pub fn abort(&mut self) {
        // SAFETY: shuts the socket of the connection, if there is one.
        unsafe { sys::paho_tls_abort() };
        self.connection = None;
    }

    /// Ends the connection with a word to the server, which then does not publish the last will.
    pub fn leave(&mut self) {
        // SAFETY: writes to the connection, if there is one.
        unsafe { sys::paho_tls_goodbye() };
        self.connection = None;
    }

    /// The credentials that all connections use.
    pub fn profile(&self) -> &tls::Profile {
        &self.profile
    }

    /// Messages larger than the client takes that were acknowledged and dropped since boot.
    pub fn oversized(&self) -> u32 {
        // SAFETY: reads a counter.
        unsafe { sys::paho_oversized_count() }
    }
}

impl Connection {
    /// Lets paho handle one packet. A message is acknowledged once it is stored.
    fn receive(&mut self, kept: usize) -> Result<Option<Message>, Error> {
        let mut topic: *mut c_char = ptr::null_mut();
        let mut topic_length: c_int = 0;
        let mut message: *mut sys::MQTTClient_message = ptr::null_mut();
        // SAFETY: the handle is live. paho hands over topic and message, if there is one; that
        // the connection has ended shows elsewhere.
        unsafe {
            sys::MQTTClient_receive(self.handle, &mut topic, &mut topic_length, &mut message, 0);
        }
        if message.is_null() || topic.is_null() {
            return Ok(None);
        }
        // SAFETY: the topic ends with NUL and has none inside (crates/packets); the message has
        // its payload. Both are ours until they are freed, here.
        unsafe {
            let stored = store(CStr::from_ptr(topic), &*message, kept);
            let id = (*message).msgid as u16;
            sys::MQTTClient_freeMessage(&mut message);
            sys::MQTTClient_free(topic.cast());
            sys::paho_message_taken(id, stored.is_some());
            stored.map(Some).ok_or(Error::OutOfMemory)
        }
    }
}

/// Copies a message; `None` without memory.
///
/// # Safety
/// `message` is of paho, and not freed.
unsafe fn store(topic: &CStr, message: &sys::MQTTClient_message, kept: usize) -> Option<Message> {
    fn copy(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).ok()?;
        copy.extend_from_slice(bytes);
        Some(copy)
    }
    let payload = match (message.payload, message.payloadlen) {
        (data, length) if data.is_null() || length <= 0 => &[],
        // SAFETY: paho's payload has that length.
        (data, length) => unsafe {
            core::slice::from_raw_parts(data.cast::<u8>(), length as usize)
        },
    };
    Some(Message {
        topic: String::from_utf8(copy(topic.to_bytes())?).ok()?,
        payload: copy(payload.get(..kept).unwrap_or(payload))?,
        length: payload.len(),
    })
}

/// Why a connection is gone: what broke it, or else that the server has closed it in answer to
/// `step`, or else that no answer came. A server that closes while it still has bytes of ours
/// unread resets the connection (RFC 1122, 4.2.2.13): that says the same.
fn end_cause(step: Step) -> Error {
    // SAFETY: reads a flag of the seam.
    match (tls::Error::last(), unsafe { sys::paho_closed_by_server() }) {
        (Some(error), _) if error.is_reset() && step != Step::Serve => Error::Closed(step),
        (Some(error), _) => Error::Tls(error),
        (None, true) => Error::Closed(step),
        (None, false) => Error::Timeout,
    }
}

fn letters(id: &[u8; 4]) -> [c_char; 4] {
    id.map(|letter| letter as c_char)
}

/// lwIP tells that there may be something to receive. Runs in its task.
unsafe extern "C" fn wake(waker: *mut c_void) {
    // SAFETY: the waker that `take` has leaked.
    unsafe { &*waker.cast::<Waker>() }.wake();
}
