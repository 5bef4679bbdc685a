//! The metrics' language, pure and synchronous: text is parsed, planned into leaves and a finish; a leaf turns the
//! samples of series into columns with a value per step; the finish joins what the leaves gave.
//!
//! Not here: reading samples, waiting, spreading work. The caller feeds [`Leaf`] workers.

pub mod value;

pub use value::{Point, SeriesValues, Value, ValueType};
