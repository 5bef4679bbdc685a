//! What the three query languages share: tokens with spans, a cursor over them, a Pratt core, errors that point at
//! the text, and literals (durations, numbers, strings, sizes).
//!
//! Not here: any language's words or grammar.

pub mod span;

pub mod cursor;

pub mod pratt;

pub mod error;

pub mod duration;

pub mod number;

pub mod string;

pub mod bytes;

pub use cursor::{Cursor, Token};
pub use error::SyntaxError;
pub use pratt::{Assoc, Binding, Pratt};
pub use span::{Position, Span};
