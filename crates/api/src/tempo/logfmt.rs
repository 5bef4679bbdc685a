//! Pairs of names and values on one line (`service.name=shop name="GET /"`), as the `tags` parameter has them.

/// Reads the pairs of a line; a name without `=` has the empty value.
///
/// # Errors
/// What is wrong, and the position of it in characters, from 1.
pub(crate) fn parse(line: &str) -> Result<Vec<(String, String)>, String> {
    let characters: Vec<char> = line.chars().collect();
    let mut reader = Reader { characters: &characters, at: 0 };
    let mut pairs: Vec<(String, String)> = Vec::new();
    while reader.skip_spaces() {
        let name = reader.bare(|c| c == '=' || c == '"' || c.is_whitespace());
        if name.is_empty() {
            return Err(reader.unexpected());
        }
        let value = if reader.take('=') { reader.value()? } else { String::new() };
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(format!("tag {name} has been set twice"));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

struct Reader<'a> {
    characters: &'a [char],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    /// Whether anything follows the spaces.
    fn skip_spaces(&mut self) -> bool {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        self.peek().is_some()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn bare(&mut self, ends: impl Fn(char) -> bool) -> String {
        let rest = &self.characters[self.at..];
        let length = rest.iter().position(|c| ends(*c)).unwrap_or(rest.len());
        self.at += length;
        rest[..length].iter().collect()
    }

    fn value(&mut self) -> Result<String, String> {
        if !self.take('"') {
            let value = self.bare(char::is_whitespace);
            return match value.contains(['=', '"']) {
                true => Err(format!("unexpected '=' or '\"' in a bare value at pos {}", self.at)),
                false => Ok(value),
            };
        }
        let mut value = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                '"' => return Ok(value),
                '\\' => value.push(self.escaped()?),
                other => value.push(other),
            }
        }
        Err(format!("unterminated quoted value at pos {}", self.at))
    }

    fn escaped(&mut self) -> Result<char, String> {
        let Some(c) = self.peek() else {
            return Err(format!("unterminated quoted value at pos {}", self.at));
        };
        self.at += 1;
        Ok(match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            other => other,
        })
    }

    fn unexpected(&self) -> String {
        let found = self.peek().map(String::from).unwrap_or_default();
        format!("unexpected {found:?} at pos {}", self.at + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read() {
        let pairs = |pairs: &[(&str, &str)]| {
            Ok(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
        };
        let cases = [
            ("", pairs(&[])),
            ("  ", pairs(&[])),
            ("a=b", pairs(&[("a", "b")])),
            (
                "service.name=shop name=\"GET /\" error",
                pairs(&[("service.name", "shop"), ("name", "GET /"), ("error", "")]),
            ),
            (r#"a="x \"y\" \\ \n" b="#, pairs(&[("a", "x \"y\" \\ \n"), ("b", "")])),
            ("=b", Err("unexpected \"=\" at pos 1".into())),
            ("a=b=c", Err("unexpected '=' or '\"' in a bare value at pos 5".into())),
            ("a=\"b", Err("unterminated quoted value at pos 4".into())),
            ("a=\"b\\", Err("unterminated quoted value at pos 5".into())),
            ("a=1 a=2", Err("tag a has been set twice".into())),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), expected, "{line:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn quoted_values_come_back(name in "[a-z.]{1,8}", value in ".*") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            proptest::prop_assert_eq!(parse(&format!("{name}=\"{quoted}\"")), Ok(vec![(name, value)]));
        }

        #[test]
        fn arbitrary_text_never_panics(line in ".*") {
            let _ = parse(&line);
        }
    }
}
