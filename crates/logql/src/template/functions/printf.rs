//! `printf`, `print`, `println`: Go's verbs for the values that templates have.

use super::{Function, open};
use crate::template::eval::MAX_OUTPUT_BYTES;
use crate::template::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    open("printf", 1, |_, a| printf(&a[0].to_string(), &a[1..]).map(Value::Text)),
    open("print", 0, |_, a| Ok(Value::Text(a.iter().map(ToString::to_string).collect()))),
    open("println", 0, |_, a| {
        let parts: Vec<String> = a.iter().map(ToString::to_string).collect();
        Ok(Value::Text(format!("{}\n", parts.join(" "))))
    }),
];

/// The widest field.
const MAX_WIDTH: usize = 1_000;

#[derive(Default)]
struct Verb {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

fn printf(format: &str, arguments: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let (verb, length) = verb(&rest[at + 1..])?;
        rest = &rest[at + 1 + length..];
        if verb.letter == '%' {
            out.push('%');
            continue;
        }
        match arguments.next() {
            Some(value) => out.push_str(&pad(&verb, formatted(&verb, value))),
            None => out.push_str(&format!("%!{}(MISSING)", verb.letter)),
        }
        if out.len() > MAX_OUTPUT_BYTES {
            return Err(format!("the text would be too long: max_bytes={MAX_OUTPUT_BYTES}"));
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Reads what follows `%`, and says how long it is.
fn verb(text: &str) -> Result<(Verb, usize), String> {
    let mut verb = Verb::default();
    let mut precision: Option<usize> = None;
    for (at, c) in text.char_indices() {
        match c {
            '-' => verb.left = true,
            '+' => verb.plus = true,
            ' ' | '#' => {}
            '0' if verb.width == 0 && precision.is_none() => verb.zero = true,
            '.' => precision = Some(0),
            digit if digit.is_ascii_digit() => {
                let slot = precision.as_mut().unwrap_or(&mut verb.width);
                *slot = (*slot * 10 + usize::from(digit as u8 - b'0')).min(MAX_WIDTH);
            }
            letter => {
                verb.letter = letter;
                verb.precision = precision;
                return Ok((verb, at + letter.len_utf8()));
            }
        }
    }
    Err("the format ends within a verb".into())
}

fn formatted(verb: &Verb, value: &Value) -> String {
    let plus = |text: String| if verb.plus && !text.starts_with('-') { format!("+{text}") } else { text };
    match verb.letter {
        'd' => match value {
            Value::Int(v) => plus(v.to_string()),
            other => format!("%!d({other})"),
        },
        'f' | 'F' => plus(format!("{:.*}", verb.precision.unwrap_or(6), value.float())),
        'e' => exponent(value.float(), verb.precision.unwrap_or(6)),
        'g' => syntax::number::format_short(value.float()),
        'q' => syntax::string::quote(&value.to_string()),
        'x' => match value {
            Value::Int(v) => format!("{v:x}"),
            other => other.to_string().bytes().map(|b| format!("{b:02x}")).collect(),
        },
        'X' => match value {
            Value::Int(v) => format!("{v:X}"),
            other => other.to_string().bytes().map(|b| format!("{b:02X}")).collect(),
        },
        'b' => format!("{:b}", value.int()),
        'o' => format!("{:o}", value.int()),
        'c' => u32::try_from(value.int()).ok().and_then(char::from_u32).map(String::from).unwrap_or_default(),
        's' | 'v' | 't' => {
            let text = value.to_string();
            verb.precision.map_or(text.clone(), |count| text.chars().take(count).collect())
        }
        letter => format!("%!{letter}({value})"),
    }
}

/// Go writes at least two digits of an exponent, and its sign.
fn exponent(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let Some((mantissa, power)) = text.split_once('e') else { return text };
    let (sign, digits) = power.strip_prefix('-').map_or(('+', power), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn pad(verb: &Verb, text: String) -> String {
    let missing = verb.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if verb.left {
        return format!("{text}{}", " ".repeat(missing));
    }
    let numeric = !matches!(verb.letter, 's' | 'v' | 'q' | 't');
    match (verb.zero && numeric, text.strip_prefix('-')) {
        (true, Some(digits)) => format!("-{}{digits}", "0".repeat(missing)),
        (true, None) => format!("{}{text}", "0".repeat(missing)),
        (false, _) => format!("{}{text}", " ".repeat(missing)),
    }
}
