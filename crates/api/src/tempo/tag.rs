//! The name of a tag in an address: `resource.service.name`, `.http.method`, `span."a b"`, `status`, `span:name`.

use query::{Tag, TagScope};

/// Intrinsics that are written without a scope.
const UNSCOPED_INTRINSICS: [&str; 11] = [
    "duration",
    "kind",
    "name",
    "nestedSetLeft",
    "nestedSetParent",
    "nestedSetRight",
    "rootName",
    "rootServiceName",
    "status",
    "statusMessage",
    "traceDuration",
];

/// What stands before the colon of an intrinsic.
const INTRINSIC_SCOPES: [&str; 5] = ["span", "trace", "event", "link", "instrumentation"];

/// Scopes of attributes.
const ATTRIBUTE_SCOPES: [TagScope; 5] =
    [TagScope::Resource, TagScope::Span, TagScope::Event, TagScope::Link, TagScope::Instrumentation];

/// Reads an attribute with its scope, an attribute of any scope (`.name`), or an intrinsic.
///
/// # Errors
/// Tempo's words for anything else.
pub(crate) fn parse(text: &str) -> Result<Tag, String> {
    let invalid = || format!("tag name is not valid intrinsic or scoped attribute: {text}");
    let is_scoped_intrinsic = text
        .split_once(':')
        .is_some_and(|(scope, name)| INTRINSIC_SCOPES.contains(&scope) && !name.is_empty());
    if is_scoped_intrinsic || UNSCOPED_INTRINSICS.contains(&text) {
        return Ok(Tag { scope: Some(TagScope::Intrinsic), name: text.to_owned() });
    }
    let (scope, name) = text.split_once('.').ok_or_else(invalid)?;
    let scope = match scope {
        "" => None,
        named => Some(ATTRIBUTE_SCOPES.into_iter().find(|s| s.as_str() == named).ok_or_else(invalid)?),
    };
    let name = unquoted(name).filter(|name| !name.is_empty()).ok_or_else(invalid)?;
    Ok(Tag { scope, name })
}

/// As [`parse`], where a name that is nothing else is an attribute of any scope: the first version of the API.
pub(crate) fn parse_leniently(text: &str) -> Tag {
    parse(text).unwrap_or_else(|_| Tag { scope: None, name: text.to_owned() })
}

/// Takes the quotes off the quoted parts of a name.
fn unquoted(name: &str) -> Option<String> {
    let mut plain = String::with_capacity(name.len());
    let mut is_quoted = false;
    let mut characters = name.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => plain.push(characters.next()?),
            other => plain.push(other),
        }
    }
    (!is_quoted).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_scopes() {
        let cases = [
            ("resource.service.name", Some((Some(TagScope::Resource), "service.name"))),
            ("span.http.method", Some((Some(TagScope::Span), "http.method"))),
            ("event.exception.type", Some((Some(TagScope::Event), "exception.type"))),
            ("link.x", Some((Some(TagScope::Link), "x"))),
            ("instrumentation.x", Some((Some(TagScope::Instrumentation), "x"))),
            (".http.method", Some((None, "http.method"))),
            (r#"span."a b".c"#, Some((Some(TagScope::Span), "a b.c"))),
            (r#"span."a \"b\"""#, Some((Some(TagScope::Span), "a \"b\""))),
            ("status", Some((Some(TagScope::Intrinsic), "status"))),
            ("span:name", Some((Some(TagScope::Intrinsic), "span:name"))),
            ("foo", None),
            ("foo.bar", None),
            ("span.", None),
            ("span.\"open", None),
            ("span:", None),
            ("other:name", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|(scope, name)| Tag { scope, name: name.into() });
            assert_eq!(parse(text).ok(), expected, "{text:?}");
        }
        assert_eq!(parse_leniently("service.name"), Tag { scope: None, name: "service.name".into() });
        assert_eq!(parse_leniently("status").scope, Some(TagScope::Intrinsic));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*", scoped in "(span|resource|)[.:][\"a\\\\.]{0,6}") {
            let _ = (parse(&text), parse(&scoped));
        }
    }
}
