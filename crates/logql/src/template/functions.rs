//! The functions of templates, by name.

mod logic;
mod math;
mod printf;
mod regex;
mod text;
mod times;

use super::value::Value;

/// What a function may know besides its arguments.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// The line as it is.
    pub(super) line: &'a str,
    /// When it was written.
    pub(super) timestamp_ns: i64,
}

/// A function's work; the error says why it could not be done.
pub(super) type Call = fn(&Context<'_>, &[Value]) -> Result<Value, String>;

/// A function.
pub(super) struct Function {
    /// Its name.
    pub(super) name: &'static str,
    /// How many arguments it takes at least, the piped one included.
    pub(super) least: usize,
    /// And at most.
    pub(super) most: usize,
    /// Its work.
    pub(super) call: Call,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A function with a fixed number of arguments.
const fn fixed(name: &'static str, count: usize, call: Call) -> Function {
    Function { name, least: count, most: count, call }
}

/// A function with at least so many arguments.
const fn open(name: &'static str, least: usize, call: Call) -> Function {
    Function { name, least, most: usize::MAX, call }
}

/// The function of a name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    let all = [
        logic::FUNCTIONS,
        math::FUNCTIONS,
        printf::FUNCTIONS,
        regex::FUNCTIONS,
        text::FUNCTIONS,
        times::FUNCTIONS,
    ];
    all.into_iter().flatten().find(|function| function.name == name)
}
