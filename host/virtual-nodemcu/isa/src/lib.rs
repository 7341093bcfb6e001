//! The LX106's instructions: decoded ([`decode`](decode::decode)), as text ([`Instruction`]), and
//! the numbers of its special registers ([`sr`]).
//!
//! ```
//! use isa::Instruction;
//!
//! // j . + 8, at 0x40100000
//! let jump = Instruction::decode(0x4010_0000, 0x0001_06);
//! assert_eq!(jump.length(), 3);
//! assert_eq!(jump.to_string(), "j 40100008");
//! ```

pub mod decode;
pub mod sr;
mod text;

pub use text::Instruction;
