//! Expressions: `count`, `regexReplaceAll`, `regexReplaceAllLiteral`.

use regex::NoExpand;

use super::{Function, fixed};
use crate::pipeline::regexp::compile;
use crate::template::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    fixed("count", 2, |_, a| {
        let count = compile(&a[0].to_string())?.find_iter(&a[1].to_string()).count();
        Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
    }),
    fixed("regexReplaceAll", 3, |_, a| {
        let (text, with) = (a[1].to_string(), a[2].to_string());
        Ok(Value::Text(compile(&a[0].to_string())?.replace_all(&text, with.as_str()).into_owned()))
    }),
    fixed("regexReplaceAllLiteral", 3, |_, a| {
        let (text, with) = (a[1].to_string(), a[2].to_string());
        Ok(Value::Text(compile(&a[0].to_string())?.replace_all(&text, NoExpand(&with)).into_owned()))
    }),
];
