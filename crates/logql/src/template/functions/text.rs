//! Texts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Function, fixed};
use crate::pipeline::label_filter;
use crate::template::eval::MAX_OUTPUT_BYTES;
use crate::template::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("lower", 1, |_, a| text(a[0].to_string().to_lowercase())),
    fixed("ToLower", 1, |_, a| text(a[0].to_string().to_lowercase())),
    fixed("upper", 1, |_, a| text(a[0].to_string().to_uppercase())),
    fixed("ToUpper", 1, |_, a| text(a[0].to_string().to_uppercase())),
    fixed("title", 1, |_, a| text(title(&a[0].to_string()))),
    fixed("trim", 1, |_, a| text(a[0].to_string().trim())),
    fixed("TrimSpace", 1, |_, a| text(a[0].to_string().trim())),
    fixed("trimAll", 2, |_, a| {
        let set = a[0].to_string();
        text(a[1].to_string().trim_matches(|c| set.contains(c)))
    }),
    fixed("trimPrefix", 2, |_, a| {
        let (prefix, whole) = (a[0].to_string(), a[1].to_string());
        text(whole.strip_prefix(prefix.as_str()).unwrap_or(&whole))
    }),
    fixed("trimSuffix", 2, |_, a| {
        let (suffix, whole) = (a[0].to_string(), a[1].to_string());
        text(whole.strip_suffix(suffix.as_str()).unwrap_or(&whole))
    }),
    fixed("trunc", 2, |_, a| text(truncate(a[0].int(), &a[1].to_string()))),
    fixed("substr", 3, |_, a| text(substring(a[0].int(), a[1].int(), &a[2].to_string()))),
    fixed("replace", 3, |_, a| {
        let (from, to) = (a[0].to_string(), a[1].to_string());
        bounded(a[2].to_string().len().saturating_mul(to.len() + 1))?;
        text(a[2].to_string().replace(&from, &to))
    }),
    fixed("repeat", 2, |_, a| {
        let (times, part) = (a[0].size(), a[1].to_string());
        bounded(part.len().saturating_mul(times))?;
        text(part.repeat(times))
    }),
    fixed("indent", 2, |_, a| indent(a[0].size(), &a[1].to_string()).map(Value::Text)),
    fixed("nindent", 2, |_, a| Ok(Value::Text(format!("\n{}", indent(a[0].size(), &a[1].to_string())?)))),
    fixed("alignLeft", 2, |_, a| align(&a[0], &a[1], true)),
    fixed("alignRight", 2, |_, a| align(&a[0], &a[1], false)),
    fixed("b64enc", 1, |_, a| text(STANDARD.encode(a[0].to_string()))),
    fixed("b64dec", 1, |_, a| {
        let bytes = STANDARD.decode(a[0].to_string()).map_err(|error| error.to_string())?;
        text(String::from_utf8_lossy(&bytes))
    }),
    fixed("urlencode", 1, |_, a| {
        text(url::form_urlencoded::byte_serialize(a[0].to_string().as_bytes()).collect::<String>())
    }),
    fixed("urldecode", 1, |_, a| {
        let encoded = format!("={}", a[0].to_string().replace('&', "%26"));
        let value = url::form_urlencoded::parse(encoded.as_bytes()).next().map(|(_, v)| v.into_owned());
        text(value.unwrap_or_default())
    }),
    fixed("fromJson", 1, |_, a| {
        let json = serde_json::from_str(&a[0].to_string()).map_err(|error| error.to_string())?;
        Ok(Value::from_json(json))
    }),
    fixed("bytes", 1, |_, a| {
        let size = label_filter::bytes(&a[0].to_string())?;
        #[expect(clippy::cast_precision_loss, reason = "Loki gives sizes as floating-point numbers")]
        let size = size as f64;
        Ok(Value::Float(size))
    }),
];

#[expect(clippy::unnecessary_wraps, reason = "every function answers so")]
fn text(value: impl Into<String>) -> Result<Value, String> {
    Ok(Value::Text(value.into()))
}

/// A template must not make a small line into a huge one.
fn bounded(length: usize) -> Result<(), String> {
    if length > MAX_OUTPUT_BYTES {
        Err(format!("the text would be too long: max_bytes={MAX_OUTPUT_BYTES}"))
    } else {
        Ok(())
    }
}

fn title(whole: &str) -> String {
    let mut start = true;
    let mut out = String::with_capacity(whole.len());
    for c in whole.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        start = c.is_whitespace();
    }
    out
}

/// The first so many characters; with a negative number the last.
fn truncate(count: i64, whole: &str) -> String {
    let kept = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let length = whole.chars().count();
    if count >= 0 {
        whole.chars().take(kept).collect()
    } else {
        whole.chars().skip(length.saturating_sub(kept)).collect()
    }
}

/// Characters from `start` to `end`; a negative start is the front, a negative end the end.
fn substring(start: i64, end: i64, whole: &str) -> String {
    let start = usize::try_from(start).unwrap_or(0);
    let end = usize::try_from(end).unwrap_or(usize::MAX);
    whole.chars().take(end).skip(start).collect()
}

fn indent(spaces: usize, whole: &str) -> Result<String, String> {
    let lines = whole.matches('\n').count() + 1;
    bounded(spaces.saturating_mul(lines).saturating_add(whole.len()))?;
    let margin = " ".repeat(spaces);
    Ok(format!("{margin}{}", whole.replace('\n', &format!("\n{margin}"))))
}

/// To a width of characters: what is longer is cut on the other side.
fn align(width: &Value, whole: &Value, left: bool) -> Result<Value, String> {
    let (width, whole) = (width.size(), whole.to_string());
    bounded(width)?;
    let length = whole.chars().count();
    let padding = " ".repeat(width.saturating_sub(length));
    text(match (length > width, left) {
        (true, true) => whole.chars().take(width).collect(),
        (true, false) => whole.chars().skip(length - width).collect(),
        (false, true) => format!("{whole}{padding}"),
        (false, false) => format!("{padding}{whole}"),
    })
}
