//! The language from text to matches: what parses, what does not, which spans each query selects, and in which
//! shape and order traces answer.

mod fixture;

mod selects;

mod structure;

mod answers;

mod errors;

mod round_trip;

mod tags;
