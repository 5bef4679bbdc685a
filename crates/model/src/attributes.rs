//! Typed attributes: as values, and as a column that any Parquet reader understands.
//!
//! A row's attributes are a `List<Struct{key, kind, string, int, double, bool}>`: `kind` says which of the others
//! holds the value. Arrays, maps and bytes are text in `string`: JSON for the first two, Base64 for the third.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, BooleanArray, BooleanBuilder, Float64Array, Float64Builder, Int64Array,
    Int64Builder, ListArray, StringArray, StringBuilder, StructArray, UInt8Array, UInt8Builder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};

/// The type of an attribute's value, as the `kind` column numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AttributeKind {
    /// Text.
    String = 1,
    /// True or false.
    Bool = 2,
    /// A signed 64-bit number.
    Int = 3,
    /// A 64-bit floating-point number.
    Double = 4,
    /// A list of values, as JSON text.
    Array = 5,
    /// Named values, as JSON text.
    Map = 6,
    /// Raw bytes, as standard Base64 text.
    Bytes = 7,
}

impl AttributeKind {
    /// The kind of a number in the `kind` column; other numbers read as text.
    #[must_use]
    pub const fn from_u8(kind: u8) -> Self {
        match kind {
            2 => AttributeKind::Bool,
            3 => AttributeKind::Int,
            4 => AttributeKind::Double,
            5 => AttributeKind::Array,
            6 => AttributeKind::Map,
            7 => AttributeKind::Bytes,
            _ => AttributeKind::String,
        }
    }
}

/// An attribute's value, owned. Arrays and maps are JSON text, bytes Base64 text, as in the column.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    /// Text.
    String(String),
    /// True or false.
    Bool(bool),
    /// A signed 64-bit number.
    Int(i64),
    /// A 64-bit floating-point number.
    Double(f64),
    /// JSON text of a list.
    Array(String),
    /// JSON text of an object.
    Map(String),
    /// Base64 text.
    Bytes(String),
}

impl AttributeValue {
    /// The same value, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> AttributeRef<'_> {
        match self {
            AttributeValue::String(v) => AttributeRef::String(v),
            AttributeValue::Bool(v) => AttributeRef::Bool(*v),
            AttributeValue::Int(v) => AttributeRef::Int(*v),
            AttributeValue::Double(v) => AttributeRef::Double(*v),
            AttributeValue::Array(v) => AttributeRef::Array(v),
            AttributeValue::Map(v) => AttributeRef::Map(v),
            AttributeValue::Bytes(v) => AttributeRef::Bytes(v),
        }
    }
}

/// An attribute's value in a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttributeRef<'a> {
    /// Text.
    String(&'a str),
    /// True or false.
    Bool(bool),
    /// A signed 64-bit number.
    Int(i64),
    /// A 64-bit floating-point number.
    Double(f64),
    /// JSON text of a list.
    Array(&'a str),
    /// JSON text of an object.
    Map(&'a str),
    /// Base64 text.
    Bytes(&'a str),
}

impl AttributeRef<'_> {
    /// Which type it is.
    #[must_use]
    pub const fn kind(&self) -> AttributeKind {
        match self {
            AttributeRef::String(_) => AttributeKind::String,
            AttributeRef::Bool(_) => AttributeKind::Bool,
            AttributeRef::Int(_) => AttributeKind::Int,
            AttributeRef::Double(_) => AttributeKind::Double,
            AttributeRef::Array(_) => AttributeKind::Array,
            AttributeRef::Map(_) => AttributeKind::Map,
            AttributeRef::Bytes(_) => AttributeKind::Bytes,
        }
    }

    /// The same value, owned.
    #[must_use]
    pub fn to_owned(&self) -> AttributeValue {
        match *self {
            AttributeRef::String(v) => AttributeValue::String(v.into()),
            AttributeRef::Bool(v) => AttributeValue::Bool(v),
            AttributeRef::Int(v) => AttributeValue::Int(v),
            AttributeRef::Double(v) => AttributeValue::Double(v),
            AttributeRef::Array(v) => AttributeValue::Array(v.into()),
            AttributeRef::Map(v) => AttributeValue::Map(v.into()),
            AttributeRef::Bytes(v) => AttributeValue::Bytes(v.into()),
        }
    }
}

impl std::fmt::Display for AttributeRef<'_> {
    /// The value as text: strings bare, numbers in their shortest form, the rest as it is kept.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AttributeRef::String(v)
            | AttributeRef::Array(v)
            | AttributeRef::Map(v)
            | AttributeRef::Bytes(v) => f.write_str(v),
            AttributeRef::Bool(v) => write!(f, "{v}"),
            AttributeRef::Int(v) => write!(f, "{v}"),
            AttributeRef::Double(v) => write!(f, "{v}"),
        }
    }
}

fn fields() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("kind", DataType::UInt8, false),
        Field::new("string", DataType::Utf8, true),
        Field::new("int", DataType::Int64, true),
        Field::new("double", DataType::Float64, true),
        Field::new("bool", DataType::Boolean, true),
    ])
}

fn item_field() -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(fields()), false))
}

/// The type of an attribute column.
#[must_use]
pub fn attributes_type() -> DataType {
    DataType::List(item_field())
}

/// Builds an attribute column row by row.
#[derive(Debug)]
pub struct AttributesBuilder {
    offsets: Vec<i32>,
    keys: StringBuilder,
    kinds: UInt8Builder,
    strings: StringBuilder,
    ints: Int64Builder,
    doubles: Float64Builder,
    bools: BooleanBuilder,
}

impl Default for AttributesBuilder {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            keys: StringBuilder::new(),
            kinds: UInt8Builder::new(),
            strings: StringBuilder::new(),
            ints: Int64Builder::new(),
            doubles: Float64Builder::new(),
            bools: BooleanBuilder::new(),
        }
    }
}

impl AttributesBuilder {
    /// Adds an attribute to the row that is being built.
    pub fn push(&mut self, key: &str, value: AttributeRef<'_>) {
        self.keys.append_value(key);
        self.kinds.append_value(value.kind() as u8);
        let (mut string, mut int, mut double, mut boolean) = (None, None, None, None);
        match value {
            AttributeRef::String(v)
            | AttributeRef::Array(v)
            | AttributeRef::Map(v)
            | AttributeRef::Bytes(v) => string = Some(v),
            AttributeRef::Bool(v) => boolean = Some(v),
            AttributeRef::Int(v) => int = Some(v),
            AttributeRef::Double(v) => double = Some(v),
        }
        self.strings.append_option(string);
        self.ints.append_option(int);
        self.doubles.append_option(double);
        self.bools.append_option(boolean);
    }

    /// Ends the row.
    pub fn end_row(&mut self) {
        self.offsets
            .push(i32::try_from(self.keys.len()).expect("a batch is bounded far below 2^31 attributes"));
    }

    /// Rows ended so far.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The column; the builder is empty afterwards.
    pub fn finish(&mut self) -> ListArray {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.keys.finish()),
            Arc::new(self.kinds.finish()),
            Arc::new(self.strings.finish()),
            Arc::new(self.ints.finish()),
            Arc::new(self.doubles.finish()),
            Arc::new(self.bools.finish()),
        ];
        let values = StructArray::new(fields(), columns, None);
        ListArray::new(item_field(), OffsetBuffer::new(offsets.into()), Arc::new(values), None)
    }
}

/// Reads an attribute column.
#[derive(Clone, Debug)]
pub struct AttributesView<'a> {
    list: &'a ListArray,
    keys: &'a StringArray,
    kinds: &'a UInt8Array,
    strings: &'a StringArray,
    ints: &'a Int64Array,
    doubles: &'a Float64Array,
    bools: &'a BooleanArray,
}

impl<'a> AttributesView<'a> {
    /// Looks at a column; `None` where it is not of [`attributes_type`].
    #[must_use]
    pub fn new(column: &'a dyn Array) -> Option<Self> {
        let list = column.as_any().downcast_ref::<ListArray>()?;
        let values = list.values().as_any().downcast_ref::<StructArray>()?;
        fn typed<T: 'static>(values: &StructArray, index: usize) -> Option<&T> {
            values.columns().get(index)?.as_any().downcast_ref::<T>()
        }
        Some(Self {
            list,
            keys: typed(values, 0)?,
            kinds: typed(values, 1)?,
            strings: typed(values, 2)?,
            ints: typed(values, 3)?,
            doubles: typed(values, 4)?,
            bools: typed(values, 5)?,
        })
    }

    /// The attributes of a row, in the order in which they were pushed.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (&'a str, AttributeRef<'a>)> + use<'a> {
        let view = self.clone();
        let offsets = view.list.value_offsets();
        let (start, end) = (offsets[row], offsets[row + 1]);
        (start..end).map(move |i| {
            let i = usize::try_from(i).expect("offsets are not negative");
            (view.keys.value(i), view.value(i))
        })
    }

    /// The first attribute of a row with the key.
    #[must_use]
    pub fn get(&self, row: usize, key: &str) -> Option<AttributeRef<'a>> {
        self.row(row).find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    fn value(&self, i: usize) -> AttributeRef<'a> {
        match AttributeKind::from_u8(self.kinds.value(i)) {
            AttributeKind::String => AttributeRef::String(self.strings.value(i)),
            AttributeKind::Bool => AttributeRef::Bool(self.bools.value(i)),
            AttributeKind::Int => AttributeRef::Int(self.ints.value(i)),
            AttributeKind::Double => AttributeRef::Double(self.doubles.value(i)),
            AttributeKind::Array => AttributeRef::Array(self.strings.value(i)),
            AttributeKind::Map => AttributeRef::Map(self.strings.value(i)),
            AttributeKind::Bytes => AttributeRef::Bytes(self.strings.value(i)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back_as_it_went_in() {
        let row = [
            ("s", AttributeRef::String("text")),
            ("b", AttributeRef::Bool(true)),
            ("i", AttributeRef::Int(-7)),
            ("d", AttributeRef::Double(0.5)),
            ("a", AttributeRef::Array("[1,2]")),
            ("m", AttributeRef::Map("{\"x\":1}")),
            ("y", AttributeRef::Bytes("AAE=")),
        ];
        let mut builder = AttributesBuilder::default();
        builder.end_row();
        for (key, value) in row {
            builder.push(key, value);
        }
        builder.end_row();
        let column = builder.finish();
        assert_eq!(column.data_type(), &attributes_type());
        let view = AttributesView::new(&column).unwrap();
        assert_eq!(view.row(0).count(), 0);
        assert_eq!(view.row(1).collect::<Vec<_>>(), row);
        assert_eq!(view.get(1, "i"), Some(AttributeRef::Int(-7)));
        assert_eq!(view.get(1, "absent"), None);
    }
}
