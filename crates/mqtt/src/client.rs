//! The one MQTT client.

use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicBool, Ordering};

use rtos::{Duration, Queue, Waker};
use vendor_sys as sys;

use crate::Error;

/// Messages that may wait for the owner. When there are more, the oldest are dropped and
/// logged: what a flood brings must not fill the heap.
const WAITING_MESSAGES: usize = 4;

/// PUBACKs that may wait: as many as paho keeps messages in flight.
const WAITING_ACKNOWLEDGEMENTS: usize = 10;

/// Bytes of heap that a publish takes besides its payload: paho's records, a TLS record's
/// TCP segments.
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
    /// Seconds that TCP, TLS and MQTT may take together.
    pub timeout_s: u16,
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

/// What the callbacks share with the owner. Lives for ever, because paho keeps its address.
struct Shared {
    /// Bytes of a payload that are kept.
    kept: usize,
    messages: Queue<Box<Message>>,
    acknowledged: Queue<c_int>,
    arrived: Waker,
}

/// The MQTT client: one, taken once, owned by one task.
pub struct Client {
    handle: sys::MQTTClient,
    shared: &'static Shared,
    options: ConnectState,
    // Fields are dropped in this order; paho reads the profile until the handle is gone.
    profile: tls::Profile,
}

/// What outlives a single connect.
#[derive(Default)]
struct ConnectState {
    keep_alive_ms: u32,
    connected: bool,
}

static TAKEN: AtomicBool = AtomicBool::new(false);

impl Client {
    /// Makes the client for one server. `waker` is woken when a message has arrived. Of its
    /// payload the first `kept` bytes are kept: waiting messages share the heap with TLS, and
    /// an owner knows what is longer than anything it understands.
    ///
    /// # Errors
    /// `AlreadyTaken` the second time; `BadText`; `OutOfMemory`.
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
        let shared: &'static Shared = Box::leak(Box::new(Shared {
            kept,
            messages: Queue::new(WAITING_MESSAGES).map_err(|_| Error::OutOfMemory)?,
            acknowledged: Queue::new(WAITING_ACKNOWLEDGEMENTS).map_err(|_| Error::OutOfMemory)?,
            arrived: waker,
        }));
        let mut handle: sys::MQTTClient = core::ptr::null_mut();
        // SAFETY: paho copies both texts. The profile outlives the handle (field order), and
        // `shared` lives for ever.
        unsafe {
            let code = sys::MQTTClient_create(
                &mut handle,
                uri.as_ptr(),
                client_id.as_ptr(),
                sys::MQTTCLIENT_PERSISTENCE_NONE as c_int,
                core::ptr::null_mut(),
            );
            if code != 0 {
                return Err(Error::of(code));
            }
            let code = sys::MQTTClient_setCallbacks(
                handle,
                core::ptr::from_ref(shared).cast_mut().cast(),
                None,
                Some(message_arrived),
                Some(delivered),
            );
            if code != 0 {
                return Err(Error::of(code));
            }
        }
        Ok(Self { handle, shared, options: ConnectState::default(), profile })
    }

    /// Connects, and tells whether the server kept a session. Blocks the calling task for the
    /// whole handshake, at most `options.timeout_s`.
    ///
    /// # Errors
    /// The layer that failed, with its code.
    pub fn connect(&mut self, options: &Options) -> Result<bool, Error> {
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
            // Several messages may be in flight; `publish` waits for its own.
            reliable: 0,
            connectTimeout: options.timeout_s.into(),
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
        let code = unsafe { sys::MQTTClient_connect(self.handle, &mut connect) };
        if code != 0 {
            return Err(match (code, tls::Error::last()) {
                (_, Some(error)) => Error::Tls(error),
                // CONNACK's return code.
                (1..=255, None) => Error::Refused(code as u8),
                // TCP and TLS are up: the CONNACK is missing.
                (-1, None) => Error::Timeout,
                _ => Error::of(code),
            });
        }
        self.options =
            ConnectState { keep_alive_ms: u32::from(options.keep_alive_s) * 1000, connected: true };
        Ok(connect.returned.sessionPresent != 0)
    }

    /// Subscribes to `filter`.
    ///
    /// # Errors
    /// `SubscriptionRefused`, or the connection is gone.
    pub fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<(), Error> {
        let filter = CString::new(filter).map_err(|_| Error::BadText)?;
        // SAFETY: paho copies the filter.
        match unsafe { sys::MQTTClient_subscribe(self.handle, filter.as_ptr(), qos as c_int) } {
            0 => Ok(()),
            0x80 => Err(Error::SubscriptionRefused),
            code => Err(Error::of(code)),
        }
    }

    /// Publishes, and with QoS 1 waits for the PUBACK: one round trip.
    ///
    /// # Errors
    /// `OutOfMemory` while the heap is too low to send safely; `Timeout` after `timeout_ms` without a PUBACK. The message stays with paho, which
    /// sends it again after a reconnect unless the session is clean.
    pub fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: Qos,
        timeout_ms: u32,
    ) -> Result<(), Error> {
        let topic = CString::new(topic).map_err(|_| Error::BadText)?;
        // paho copies the payload twice and does not survive a refused allocation.
        if rtos::heap::largest_block() < 2 * payload.len() + PUBLISH_HEADROOM {
            return Err(Error::OutOfMemory);
        }
        // What is left here belongs to publishes that were given up.
        while self.shared.acknowledged.receive(Duration::zero()).is_ok() {}
        let mut token = 0;
        // SAFETY: paho copies topic and payload.
        let code = unsafe {
            sys::MQTTClient_publish(
                self.handle,
                topic.as_ptr(),
                payload.len() as c_int,
                payload.as_ptr().cast(),
                qos as c_int,
                0,
                &mut token,
            )
        };
        if code != 0 {
            return Err(Error::of(code));
        }
        if qos == Qos::AtMostOnce {
            return Ok(());
        }
        let start = rtos::uptime_ms();
        loop {
            let elapsed = rtos::uptime_ms().saturating_sub(start);
            let Some(left) = u64::from(timeout_ms).checked_sub(elapsed) else {
                return Err(Error::Timeout);
            };
            // In slices, so that a connection that breaks meanwhile is noticed early.
            match self.shared.acknowledged.receive(Duration::ms((left as u32).min(500))) {
                Ok(acknowledged) if acknowledged == token => return Ok(()),
                Err(_) if !self.is_connected() => return Err(self.end_cause()),
                _ => {}
            }
        }
    }

    /// The next message that has arrived, if one has.
    pub fn receive(&mut self) -> Option<Message> {
        self.shared.messages.receive(Duration::zero()).ok().map(|message| *message)
    }

    /// Whether the connection stands, as far as paho knows.
    pub fn is_connected(&self) -> bool {
        // SAFETY: the handle lives as long as `self`.
        unsafe { sys::MQTTClient_isConnected(self.handle) != 0 }
    }

    /// Why a connection that stood is gone: what broke it, else the server has closed it.
    pub fn end_cause(&self) -> Error {
        tls::Error::last().map_or(Error::Disconnected, Error::Tls)
    }

    /// Whether nothing at all has come from the server for 1.5 keep-alives, though it was
    /// pinged after one: it is dead, even if TCP has not noticed. (paho itself allows 2.5.)
    pub fn is_peer_dead(&self) -> bool {
        // SAFETY: both read a counter.
        let silent_ms = unsafe { sys::tls_now_ms().wrapping_sub(sys::paho_last_receive_ms()) };
        self.options.connected && silent_ms > self.options.keep_alive_ms / 2 * 3
    }

    /// Ends the connection without a word to the server, which then publishes the last will.
    pub fn abort(&mut self) {
        self.options.connected = false;
        // SAFETY: shuts the socket, which paho's task then finds closed.
        unsafe { sys::paho_tls_abort() };
        // SAFETY: the handle lives as long as `self`.
        unsafe { sys::MQTTClient_disconnect(self.handle, 0) };
    }

    /// Messages larger than the client takes that were acknowledged and dropped since boot.
    pub fn oversized(&self) -> u32 {
        // SAFETY: reads a counter.
        unsafe { sys::paho_oversized_count() }
    }
}

fn letters(id: &[u8; 4]) -> [c_char; 4] {
    id.map(|letter| letter as c_char)
}

/// paho's task has a message. It is paho's until `freeMessage`.
unsafe extern "C" fn message_arrived(
    context: *mut c_void,
    topic: *mut c_char,
    topic_length: c_int,
    message: *mut sys::MQTTClient_message,
) -> c_int {
    // SAFETY: `context` is the leaked `Shared`. paho hands in a NUL-terminated topic (its
    // length is given only when it holds a NUL inside) and a message with its payload.
    unsafe {
        let shared = &*context.cast::<Shared>();
        let name = match topic_length {
            0 => CStr::from_ptr(topic).to_bytes(),
            length => core::slice::from_raw_parts(topic.cast::<u8>(), length as usize),
        };
        let payload = match ((*message).payload, (*message).payloadlen) {
            (data, length) if data.is_null() || length <= 0 => &[],
            (data, length) => core::slice::from_raw_parts(data.cast::<u8>(), length as usize),
        };
        let copy = Box::new(Message {
            topic: String::from_utf8_lossy(name).into_owned(),
            payload: payload.iter().copied().take(shared.kept).collect(),
            length: payload.len(),
        });
        let (mut message, topic) = (message, topic);
        sys::MQTTClient_freeMessage(&mut message);
        sys::MQTTClient_free(topic.cast());
        let mut newest = copy;
        // Whoever sends faster than the owner obeys means the last: the oldest makes room.
        while let Err(full) = shared.messages.send(newest, Duration::zero()) {
            newest = full.into_item();
            if shared.messages.receive(Duration::zero()).is_ok() {
                log::warn!("a message was dropped: {WAITING_MESSAGES} newer ones are waiting");
            }
        }
        shared.arrived.wake();
    }
    1
}

/// paho's task has a PUBACK.
unsafe extern "C" fn delivered(context: *mut c_void, token: c_int) {
    // SAFETY: `context` is the leaked `Shared`.
    let shared = unsafe { &*context.cast::<Shared>() };
    // A full queue means that nobody waits any more.
    let _ = shared.acknowledged.send(token, Duration::zero());
}
