//! Commands from the control topic.
//!
//! Accepted are, exactly and in lower case, with ASCII white space around them:
//!
//! - `on` and `off`
//! - a JSON object with the one key `led` and the string `on` or `off`: `{"led": "on"}`
//!
//! Everything else is rejected as a whole: longer words ("once" is not "on"), other cases
//! ("ON"), unknown keys beside `led`, `led` twice, escapes in the strings. A message that says more
//! than the device understands may mean something else than the part that it understands.
//!
//! This is so little of JSON that reading it takes less code than adapting a JSON parser would,
//! which is made for more.

use core::fmt;

use crate::Led;

/// Longest payload in bytes that can be a command: no more of a message need be kept.
pub const MAX_PAYLOAD: usize = 128;

/// What the device is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Set the LED.
    SetLed(Led),
}

/// Reads a command.
///
/// # Errors
/// The [`Reason`], for everything that is not a command.
pub fn parse(payload: &[u8]) -> Result<Command, Reason> {
    if payload.len() > MAX_PAYLOAD {
        return Err(Reason::TooLong);
    }
    let trimmed = payload.trim_ascii();
    let state = if trimmed.is_empty() {
        Err(Reason::Empty)
    } else if trimmed.starts_with(b"{") {
        object(trimmed)
    } else {
        led(trimmed).ok_or(Reason::UnknownWord)
    };
    state.map(Command::SetLed)
}

/// The state that a word names.
fn led(word: &[u8]) -> Option<Led> {
    match word {
        b"on" => Some(Led::On),
        b"off" => Some(Led::Off),
        _ => None,
    }
}

/// Reads an object with the key `led`. It must fill all the bytes.
fn object(text: &[u8]) -> Result<Led, Reason> {
    let mut rest = token(text, b'{')?;
    let mut state = None;
    loop {
        let key;
        (key, rest) = string(rest)?;
        rest = token(rest, b':')?;
        if key != b"led" {
            return Err(Reason::UnknownKey);
        }
        if state.is_some() {
            return Err(Reason::RepeatedKey);
        }
        let value;
        (value, rest) = string(rest)?;
        state = Some(led(value).ok_or(Reason::UnknownState)?);
        match token(rest, b',') {
            Ok(more) => rest = more,
            Err(_) => break,
        }
    }
    if token(rest, b'}')?.is_empty() { state.ok_or(Reason::Syntax) } else { Err(Reason::Syntax) }
}

/// Takes one character and the white space around it off the front.
fn token(text: &[u8], character: u8) -> Result<&[u8], Reason> {
    white(text).strip_prefix(&[character]).map(white).ok_or(Reason::Syntax)
}

/// Takes a string off the front: what is between the quotes, and what follows. A backslash has no
/// meaning here, so a string with escapes equals none that is known.
fn string(text: &[u8]) -> Result<(&[u8], &[u8]), Reason> {
    let text = text.strip_prefix(b"\"").ok_or(Reason::Syntax)?;
    let end = text.iter().position(|byte| *byte == b'"').ok_or(Reason::Syntax)?;
    let (content, rest) = text.split_at(end);
    Ok((content, rest.get(1..).unwrap_or_default()))
}

/// Takes JSON's white space (RFC 8259) off the front.
fn white(text: &[u8]) -> &[u8] {
    let length =
        text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    text.get(length..).unwrap_or_default()
}

/// Why a payload is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is nothing but white space, if that.
    Empty,
    /// It is longer than [`MAX_PAYLOAD`].
    TooLong,
    /// It is another word than `on` and `off`.
    UnknownWord,
    /// It begins like a JSON object and does not go on like `{"led":"on"}`.
    Syntax,
    /// There is another key than `led`.
    UnknownKey,
    /// The key `led` is there twice.
    RepeatedKey,
    /// `led` is to be something else than `on` or `off`.
    UnknownState,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::TooLong => "it is too long",
            Self::UnknownWord => "it is neither \"on\" nor \"off\"",
            Self::Syntax => "it is not JSON like {\"led\":\"on\"}",
            Self::UnknownKey => "it has another key than \"led\"",
            Self::RepeatedKey => "it has the key \"led\" twice",
            Self::UnknownState => "its \"led\" is neither \"on\" nor \"off\"",
        })
    }
}

impl core::error::Error for Reason {}
