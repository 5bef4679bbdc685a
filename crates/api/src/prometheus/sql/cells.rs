//! Values of Arrow columns as JSON: integers as numbers of full width, floats that are no numbers and moments as
//! strings, maps and structs as objects.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, ListArray, MapArray, RecordBatch, StructArray,
};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::ApiError;
use crate::json::Json;

type Numbers<'a> = Box<dyn Fn(usize) -> i128 + Send + 'a>;

/// How what is not null is written.
enum Kind<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Integer(Numbers<'a>),
    Float(Box<dyn Fn(usize) -> f64 + Send + 'a>),
    Text(Box<dyn Fn(usize) -> &'a str + Send + 'a>),
    Bytes(Box<dyn Fn(usize) -> &'a [u8] + Send + 'a>),
    /// In nanoseconds, and whether the moment has a zone.
    Moment(Numbers<'a>, bool),
    /// A range of another column for each row.
    List(Box<dyn Fn(usize) -> std::ops::Range<usize> + Send + 'a>, Box<Cell<'a>>),
    Map(&'a MapArray, Box<Cell<'a>>, Box<Cell<'a>>),
    Struct(&'a StructArray, Vec<Cell<'a>>),
    /// Rows of another column.
    Dictionary(Box<dyn Fn(usize) -> usize + Send + 'a>, Box<Cell<'a>>),
    Other(ArrayFormatter<'a>),
}

/// A column whose values can be written.
pub(crate) struct Cell<'a> {
    array: &'a ArrayRef,
    kind: Kind<'a>,
}

/// The columns of a batch.
///
/// # Errors
/// When a column is of a type that has no text.
pub(crate) fn cells(batch: &RecordBatch) -> Result<Vec<Cell<'_>>, ApiError> {
    batch.columns().iter().map(Cell::new).collect()
}

/// The name of a type in answers.
pub(crate) fn type_name(of: &DataType) -> &'static str {
    match of {
        DataType::Null => "null",
        DataType::Boolean => "boolean",
        DataType::Int8 => "int8",
        DataType::Int16 => "int16",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::UInt8 => "uint8",
        DataType::UInt16 => "uint16",
        DataType::UInt32 => "uint32",
        DataType::UInt64 => "uint64",
        DataType::Float16 | DataType::Float32 => "float32",
        DataType::Float64 => "float64",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytes"
        }
        DataType::Timestamp(..) => "timestamp",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "decimal",
        DataType::Map(..) => "map",
        DataType::Struct(_) => "struct",
        DataType::Dictionary(_, values) => type_name(values),
        DataType::RunEndEncoded(_, values) => type_name(values.data_type()),
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => "list",
        DataType::Union(..) => "union",
    }
}

macro_rules! numbers {
    ($array:expr, $of:ty, $factor:expr) => {{
        let values = $array.as_primitive::<$of>().values();
        Box::new(move |row: usize| i128::from(values[row]) * $factor)
    }};
}

impl<'a> Cell<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self, ApiError> {
        Ok(Self { array, kind: kind(array)? })
    }

    /// Whether the value is absent.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        matches!(self.kind, Kind::Null) || self.array.is_null(row)
    }

    /// The value, where it is text.
    pub(crate) fn text(&self, row: usize) -> Option<&'a str> {
        match &self.kind {
            Kind::Text(text) if !self.array.is_null(row) => Some(text(row)),
            Kind::Dictionary(place, values) if !self.array.is_null(row) => values.text(place(row)),
            _ => None,
        }
    }

    /// Writes a value.
    pub(crate) fn write(&self, json: &mut Json, row: usize) {
        if self.is_null(row) {
            return json.raw("null");
        }
        match &self.kind {
            Kind::Null => json.raw("null"),
            Kind::Boolean(values) => json.plain(values.value(row)),
            Kind::Integer(number) => json.plain(number(row)),
            Kind::Float(number) => write_float(json, number(row)),
            Kind::Text(text) => json.text(text(row)),
            Kind::Bytes(bytes) => json.text(&STANDARD.encode(bytes(row))),
            Kind::Moment(ns, has_zone) => write_moment(json, ns(row), *has_zone),
            Kind::List(range, values) => json.list(range(row), |json, at| values.write(json, at)),
            Kind::Map(map, keys, values) => write_map(json, map, keys, values, row),
            Kind::Struct(structs, columns) => {
                json.raw("{");
                for (place, (field, column)) in structs.fields().iter().zip(columns).enumerate() {
                    json.raw(if place > 0 { "," } else { "" });
                    json.text(field.name());
                    json.raw(":");
                    column.write(json, row);
                }
                json.raw("}");
            }
            Kind::Dictionary(place, values) => values.write(json, place(row)),
            Kind::Other(formatter) => json.text(&formatter.value(row).to_string()),
        }
    }
}

fn kind(array: &ArrayRef) -> Result<Kind<'_>, ApiError> {
    Ok(match array.data_type() {
        DataType::Null => Kind::Null,
        DataType::Boolean => Kind::Boolean(array.as_boolean()),
        DataType::Int8 => Kind::Integer(numbers!(array, Int8Type, 1)),
        DataType::Int16 => Kind::Integer(numbers!(array, Int16Type, 1)),
        DataType::Int32 => Kind::Integer(numbers!(array, Int32Type, 1)),
        DataType::Int64 => Kind::Integer(numbers!(array, Int64Type, 1)),
        DataType::UInt8 => Kind::Integer(numbers!(array, UInt8Type, 1)),
        DataType::UInt16 => Kind::Integer(numbers!(array, UInt16Type, 1)),
        DataType::UInt32 => Kind::Integer(numbers!(array, UInt32Type, 1)),
        DataType::UInt64 => Kind::Integer(numbers!(array, UInt64Type, 1)),
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            Kind::Float(Box::new(move |row| f64::from(values[row])))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            Kind::Float(Box::new(move |row| values[row]))
        }
        DataType::Utf8 => Kind::Text(Box::new(|row| array.as_string::<i32>().value(row))),
        DataType::LargeUtf8 => Kind::Text(Box::new(|row| array.as_string::<i64>().value(row))),
        DataType::Utf8View => Kind::Text(Box::new(|row| array.as_string_view().value(row))),
        DataType::Binary => Kind::Bytes(Box::new(|row| array.as_binary::<i32>().value(row))),
        DataType::LargeBinary => Kind::Bytes(Box::new(|row| array.as_binary::<i64>().value(row))),
        DataType::BinaryView => Kind::Bytes(Box::new(|row| array.as_binary_view().value(row))),
        DataType::FixedSizeBinary(_) => Kind::Bytes(Box::new(|row| array.as_fixed_size_binary().value(row))),
        DataType::Timestamp(unit, zone) => Kind::Moment(moments(array, *unit), zone.is_some()),
        DataType::List(_) => {
            let list: &ListArray = array.as_list();
            Kind::List(Box::new(|row| range(list.value_offsets(), row)), Box::new(Cell::new(list.values())?))
        }
        DataType::FixedSizeList(..) => {
            let list: &FixedSizeListArray = array.as_fixed_size_list();
            let length = usize::try_from(list.value_length()).unwrap_or(0);
            Kind::List(
                Box::new(move |row| row * length..(row + 1) * length),
                Box::new(Cell::new(list.values())?),
            )
        }
        DataType::Map(..) => {
            let map = array.as_map();
            Kind::Map(map, Box::new(Cell::new(map.keys())?), Box::new(Cell::new(map.values())?))
        }
        DataType::Struct(_) => {
            let structs = array.as_struct();
            let columns: Result<Vec<Cell<'_>>, ApiError> = structs.columns().iter().map(Cell::new).collect();
            Kind::Struct(structs, columns?)
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let places = dictionary.normalized_keys();
            Kind::Dictionary(Box::new(move |row| places[row]), Box::new(Cell::new(dictionary.values())?))
        }
        _ => {
            let formatter = ArrayFormatter::try_new(array, &FORMAT);
            Kind::Other(formatter.map_err(|error| ApiError::Internal(error.to_string()))?)
        }
    })
}

/// How values of rare types are written.
const FORMAT: FormatOptions<'static> = FormatOptions::new();

fn moments(array: &ArrayRef, unit: TimeUnit) -> Numbers<'_> {
    match unit {
        TimeUnit::Second => numbers!(array, TimestampSecondType, 1_000_000_000),
        TimeUnit::Millisecond => numbers!(array, TimestampMillisecondType, 1_000_000),
        TimeUnit::Microsecond => numbers!(array, TimestampMicrosecondType, 1_000),
        TimeUnit::Nanosecond => numbers!(array, TimestampNanosecondType, 1),
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |place: usize| usize::try_from(offsets[place]).unwrap_or(0);
    at(row)..at(row + 1)
}

fn write_float(json: &mut Json, value: f64) {
    if value.is_finite() {
        // The shortest text that reads back as the same number, with an exponent where that is shorter.
        json.plain(format_args!("{value:?}"));
    } else {
        json.float(value);
    }
}

/// RFC 3339 with as many decimals as there are; without a zone where the moment has none. The number of nanoseconds
/// where it is beyond the calendar.
fn write_moment(json: &mut Json, ns: i128, has_zone: bool) {
    match jiff::Timestamp::from_nanosecond(ns) {
        Ok(moment) => {
            let text = moment.to_string();
            json.text(if has_zone { &text } else { text.trim_end_matches('Z') });
        }
        Err(_) => json.quoted(ns),
    }
}

/// An object whose keys are the texts of the map's keys.
fn write_map(json: &mut Json, map: &MapArray, keys: &Cell<'_>, values: &Cell<'_>, row: usize) {
    json.raw("{");
    for (place, at) in range(map.value_offsets(), row).enumerate() {
        json.raw(if place > 0 { "," } else { "" });
        match keys.text(at) {
            Some(key) => json.text(key),
            None => {
                let key = crate::json::written(|json| keys.write(json, at));
                json.text(String::from_utf8_lossy(&key).trim_matches('"'));
            }
        }
        json.raw(":");
        values.write(json, at);
    }
    json.raw("}");
}
