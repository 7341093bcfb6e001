//! Why a client call failed.

use core::fmt;

use vendor_sys as sys;

/// An error of the MQTT client. Keeps the code of the layer that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The way to the server failed: name, TCP, handshake or a record.
    Tls(tls::Error),
    /// The server refused the connection: CONNACK's return code (MQTT 3.1.1 section 3.2.2.3).
    Refused(u8),
    /// The server closed the connection in answer to this.
    Closed(Step),
    /// A packet was not answered in time.
    Timeout,
    /// Nothing at all has come from the server for 1.5 keep-alives.
    Silent,
    /// There is no connection.
    Disconnected,
    /// The last message that was published is not acknowledged yet.
    Busy,
    /// The server refused the subscription (SUBACK 0x80): its policy does not allow it.
    SubscriptionRefused,
    /// A text holds a NUL byte, or a topic or client id is not valid UTF-8 for MQTT.
    BadText,
    /// Whoever has the client wants another connection.
    Renewed,
    /// No memory for the client or a message.
    OutOfMemory,
    /// The client was taken before: there is one.
    AlreadyTaken,
    /// Any other code of `MQTTClient.h`.
    Paho(i32),
}

/// What the client had asked for, without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// CONNECT.
    Connect,
    /// SUBSCRIBE.
    Subscribe,
    /// PUBLISH at QoS 1.
    Publish,
    /// Nothing.
    Serve,
}

impl Error {
    /// Whether the server has ended a connection that stood.
    #[must_use]
    #[inline(never)]
    pub fn is_close(&self) -> bool {
        match self {
            Self::Closed(_) => true,
            Self::Tls(error) => error.is_reset(),
            _ => false,
        }
    }

    pub(crate) fn of(code: i32) -> Self {
        match code {
            sys::MQTTCLIENT_DISCONNECTED => Self::Disconnected,
            sys::MQTTCLIENT_BAD_UTF8_STRING | sys::MQTTCLIENT_NULL_PARAMETER => Self::BadText,
            // PAHO_MEMORY_ERROR, which MQTTClient.h does not name.
            -99 => Self::OutOfMemory,
            other => Self::Paho(other),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(error) => write!(out, "TLS: {error}"),
            Self::Refused(1) => write!(out, "refused: the server does not speak MQTT 3.1.1"),
            Self::Refused(2) => {
                write!(out, "refused: the server rejects this client id; its policy must allow it")
            }
            Self::Refused(3) => write!(out, "refused: the server is unavailable; trying again"),
            Self::Refused(4) => write!(out, "refused: bad user name or password"),
            Self::Refused(5) => write!(
                out,
                "refused: not authorised; is the certificate active and a policy attached?"
            ),
            Self::Refused(code) => write!(out, "refused by the server with code {code}"),
            // AWS IoT closes without a word what its policy does not allow.
            Self::Closed(Step::Connect) => write!(
                out,
                "the server closed the connection in answer to CONNECT; on AWS: the policy does not allow this client id, or the certificate is inactive or has no policy"
            ),
            Self::Closed(Step::Subscribe) => write!(
                out,
                "the server closed the connection in answer to SUBSCRIBE; on AWS: the policy does not allow this topic filter"
            ),
            Self::Closed(Step::Publish) => write!(
                out,
                "the server closed the connection in answer to PUBLISH; on AWS: the policy does not allow publishing to this topic"
            ),
            Self::Closed(Step::Serve) => write!(
                out,
                "the server closed the connection; did another client use this client id, or was the certificate deactivated?"
            ),
            Self::Timeout => write!(out, "the server did not answer in time"),
            Self::Silent => write!(out, "no sign of life from the server for 1.5 keep-alives"),
            Self::Disconnected => write!(out, "there is no connection"),
            Self::Busy => write!(out, "the last message is not acknowledged yet"),
            Self::SubscriptionRefused => {
                write!(out, "the server refuses the subscription; on AWS: it is too busy")
            }
            Self::Renewed => write!(out, "the device makes it anew"),
            Self::BadText => write!(out, "a topic or client id is not valid MQTT text"),
            Self::OutOfMemory => write!(out, "out of memory"),
            Self::AlreadyTaken => write!(out, "the MQTT client is already taken"),
            Self::Paho(code) => write!(out, "MQTT client error {code}"),
        }
    }
}

impl core::error::Error for Error {}
