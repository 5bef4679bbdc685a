//! YAML with the line of everything in it, and what is read from it: unknown keys are all named, not only the first.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The line, from one; zero where it is not known.
    pub line: u64,
    /// What stands there.
    pub value: Value,
}

/// What stands at a place.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Text(String),
    /// Values in their order.
    List(Vec<Node>),
    /// Keys with values, in their order.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The line of the key.
    pub line: u64,
    /// The value.
    pub node: Node,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from one; zero where it is not known.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

impl Problem {
    /// What is wrong, and where.
    #[must_use]
    pub fn new(line: u64, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(0, message.to_string())
    }
}

/// Reads a document; an empty one is nothing.
///
/// # Errors
/// When the text is not YAML.
pub fn parse(text: &str) -> Result<Node, Problem> {
    if text.trim().is_empty() {
        return Ok(Node { line: 1, value: Value::Null });
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        Problem::new(line, error.to_string())
    })
}

impl Node {
    /// The keys with their values; none where this is no map.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry under keys that are joined by dots.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Entry> {
        let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
        let entry = self.entries().iter().find(|entry| entry.key == key)?;
        rest.map_or(Some(entry), |rest| entry.node.find(rest))
    }

    /// What is here, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(text) => format!("{text:?}"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// Reads a value of a type.
    ///
    /// # Errors
    /// Every unknown key, and the first value that is not one of its type.
    pub fn read<T: de::DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        let unknown = RefCell::default();
        let read = T::deserialize(Reader { node: self, path: String::new(), unknown: &unknown });
        let mut problems = unknown.into_inner();
        match read {
            Ok(value) if problems.is_empty() => Ok(value),
            Ok(_) => Err(problems),
            Err(problem) => {
                problems.push(problem);
                Err(problems)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Int).map_err(|_| E::custom(format!("{value} is too large")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<serde_saphyr::Spanned<String>>()? {
            let (line, node) = (key.referenced.line(), map.next_value()?);
            entries.push(Entry { key: key.value, line, node });
        }
        Ok(Value::Map(entries))
    }
}

/// Gives a node to a type that is read.
#[derive(Clone)]
struct Reader<'a> {
    node: &'a Node,
    path: String,
    unknown: &'a RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    fn below(&self, key: &str, node: &'a Node) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { node, path, unknown: self.unknown }
    }

    /// Says where something is wrong, unless that was said further inside.
    fn at(&self, line: u64) -> impl Fn(Problem) -> Problem + use<> {
        let path = self.path.clone();
        move |problem| match problem.line {
            0 if path.is_empty() => Problem { line, ..problem },
            0 => Problem::new(line, format!("{path}: {}", problem.message)),
            _ => problem,
        }
    }

    fn entries<V: Visitor<'a>>(&self, entries: Vec<&'a Entry>, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_map(Entries { of: self.clone(), rest: entries.into_iter(), next: None })
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let at = self.at(self.node.line);
        let read = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => match u64::try_from(*value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(*value),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(nodes) => visitor.visit_seq(Items { of: self, rest: nodes.iter(), number: 0 }),
            Value::Map(entries) => self.entries(entries.iter().collect(), visitor),
        };
        read.map_err(at)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// Text may look like a number.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let at = self.at(self.node.line);
        let read = match &self.node.value {
            Value::Int(value) => visitor.visit_string(value.to_string()),
            Value::Float(value) => visitor.visit_string(value.to_string()),
            Value::Bool(value) => visitor.visit_string(value.to_string()),
            _ => return self.deserialize_any(visitor),
        };
        read.map_err(at)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let is_known = |entry: &&Entry| fields.contains(&entry.key.as_str());
        match &self.node.value {
            Value::Null => self.entries(Vec::new(), visitor),
            Value::Map(entries) => {
                for entry in entries.iter().filter(|entry| !is_known(entry)) {
                    let path = self.below(&entry.key, &entry.node).path;
                    let message = format!("unknown key `{path}`, known here are {}", fields.join(", "));
                    self.unknown.borrow_mut().push(Problem::new(entry.line, message));
                }
                self.entries(entries.iter().filter(is_known).collect(), visitor)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let at = self.at(self.node.line);
        let read = match &self.node.value {
            Value::Text(text) => {
                let name: StrDeserializer<'_, Problem> = text.as_str().into_deserializer();
                visitor.visit_enum(name)
            }
            _ => Err(de::Error::custom(format!("{} is none of its names", self.node.describe()))),
        };
        read.map_err(at)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items<'a> {
    of: Reader<'a>,
    rest: std::slice::Iter<'a, Node>,
    number: usize,
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let Some(node) = self.rest.next() else { return Ok(None) };
        let reader = self.of.below(&self.number.to_string(), node);
        self.number += 1;
        let at = reader.at(node.line);
        seed.deserialize(reader).map(Some).map_err(at)
    }
}

struct Entries<'a> {
    of: Reader<'a>,
    rest: std::vec::IntoIter<&'a Entry>,
    next: Option<&'a Entry>,
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        let Some(entry) = self.rest.next() else { return Ok(None) };
        self.next = Some(entry);
        let key: StrDeserializer<'_, Problem> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(self.of.at(entry.line))
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let entry = self.next.take().ok_or_else(|| Problem::new(0, "a value without its key"))?;
        let reader = self.of.below(&entry.key, &entry.node);
        let at = reader.at(entry.line);
        seed.deserialize(reader).map_err(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_line() {
        let node = parse("a: 1\nb:\n  c: [x, 2.5]\n\n  \"d\": true\n").unwrap();
        let at = |path: &str| node.find(path).map(|entry| (entry.line, entry.node.describe()));
        assert_eq!(at("a"), Some((1, "1".into())));
        assert_eq!(at("b"), Some((2, "a map".into())));
        assert_eq!(at("b.c"), Some((3, "a list".into())));
        assert_eq!(at("b.d"), Some((5, "true".into())));
        assert_eq!(at("b.e"), None);
        assert_eq!(parse(" \n").unwrap().value, Value::Null);
    }

    #[test]
    fn what_is_no_yaml_is_named_with_its_line() {
        for text in ["a: [\n", "a: 1\na: 2\n", "a: b: c\n"] {
            let problem = parse(text).unwrap_err();
            assert!(problem.line > 0, "{text:?}: {problem}");
        }
    }

    #[derive(Debug, serde::Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    #[derive(Default)]
    struct Sample {
        name: String,
        number: Option<u32>,
        inner: Vec<Sample>,
    }

    #[test]
    fn every_unknown_key_is_named() {
        let read = |text: &str| parse(text).unwrap().read::<Sample>();
        let text = "name: 12\nnumbr: 4\ninner:\n  - name: x\n  - nam: y\n    number: 3\n";
        let problems: Vec<String> = read(text).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "line 2: unknown key `numbr`, known here are name, number, inner",
                "line 5: unknown key `inner.1.nam`, known here are name, number, inner",
            ]
        );
        assert_eq!(read("name: 12\n").unwrap().name, "12");
        let problems = read("inner:\n  - number: x\n").unwrap_err();
        assert_eq!((problems[0].line, problems[0].message.starts_with("inner.0.number: ")), (2, true));
    }
}
