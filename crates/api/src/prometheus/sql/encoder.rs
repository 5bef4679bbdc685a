//! The three forms of an answer to SQL, each written piece by piece.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use http::HeaderValue;
use model::time::NS_PER_S;
use query::SqlEnd;

use super::cells::{Cell, cells, type_name};
use crate::error::ApiError;
use crate::json::{Json, written};
use crate::prometheus::query::TRUNCATED;
use crate::reply;

/// A form of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' envelope around columns and rows.
    Json,
    /// A header line, and a line per row (RFC 4180).
    Csv,
    /// Arrow's IPC stream.
    Arrow,
}

impl Format {
    /// The form of the parameter `format`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Format::Json),
            "csv" => Some(Format::Csv),
            "arrow" => Some(Format::Arrow),
            _ => None,
        }
    }

    /// The form of a content type.
    pub(crate) fn of_type(name: &str) -> Option<Self> {
        match name {
            "application/json" => Some(Format::Json),
            "text/csv" => Some(Format::Csv),
            "application/vnd.apache.arrow.stream" => Some(Format::Arrow),
            _ => None,
        }
    }

    pub(crate) const fn content_type(self) -> HeaderValue {
        match self {
            Format::Json => reply::JSON,
            Format::Csv => HeaderValue::from_static("text/csv; charset=utf-8; header=present"),
            Format::Arrow => HeaderValue::from_static("application/vnd.apache.arrow.stream"),
        }
    }
}

/// Writes one answer.
pub(crate) enum Encoder {
    /// As [`Format::Json`].
    Json {
        /// Whether a row stands before the next.
        has_rows: bool,
        /// Whether the end tells what it cost.
        wants_stats: bool,
    },
    /// As [`Format::Csv`].
    Csv,
    /// As [`Format::Arrow`].
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Encoder {
    /// An encoder, and what stands before the rows.
    ///
    /// # Errors
    /// When the columns cannot be written in the form.
    pub(crate) fn begin(
        format: Format,
        schema: &SchemaRef,
        wants_stats: bool,
    ) -> Result<(Vec<u8>, Self), ApiError> {
        Ok(match format {
            Format::Json => {
                let head = written(|json| write_head(json, schema));
                (head, Encoder::Json { has_rows: false, wants_stats })
            }
            Format::Csv => {
                let mut line = Vec::new();
                for (place, field) in schema.fields().iter().enumerate() {
                    push_csv(&mut line, place, field.name());
                }
                line.extend_from_slice(b"\r\n");
                (line, Encoder::Csv)
            }
            Format::Arrow => {
                let mut writer =
                    StreamWriter::try_new(Vec::new(), schema).map_err(|error| not_written(&error))?;
                (std::mem::take(writer.get_mut()), Encoder::Arrow(Box::new(writer)))
            }
        })
    }

    /// Rows.
    ///
    /// # Errors
    /// When they cannot be written in the form.
    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ApiError> {
        match self {
            Encoder::Json { has_rows, .. } => {
                let columns = cells(batch)?;
                Ok(written(|json| {
                    for row in 0..batch.num_rows() {
                        json.raw(if std::mem::replace(has_rows, true) { ",\n[" } else { "[" });
                        for (place, column) in columns.iter().enumerate() {
                            json.raw(if place > 0 { "," } else { "" });
                            column.write(json, row);
                        }
                        json.raw("]");
                    }
                }))
            }
            Encoder::Csv => {
                let columns = cells(batch)?;
                let mut lines = Vec::new();
                for row in 0..batch.num_rows() {
                    for (place, column) in columns.iter().enumerate() {
                        push_cell(&mut lines, place, column, row);
                    }
                    lines.extend_from_slice(b"\r\n");
                }
                Ok(lines)
            }
            Encoder::Arrow(writer) => {
                writer.write(batch).map_err(|error| not_written(&error))?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }

    /// What stands behind the rows.
    ///
    /// # Errors
    /// When it cannot be written in the form.
    pub(crate) fn end(&mut self, end: &SqlEnd) -> Result<Vec<u8>, ApiError> {
        match self {
            Encoder::Json { wants_stats, .. } => Ok(written(|json| write_end(json, end, *wants_stats))),
            Encoder::Csv => Ok(Vec::new()),
            Encoder::Arrow(writer) => {
                writer.finish().map_err(|error| not_written(&error))?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }
}

fn not_written(error: &arrow::error::ArrowError) -> ApiError {
    ApiError::Internal(format!("answer was not written: {error}"))
}

fn write_head(json: &mut Json, schema: &SchemaRef) {
    json.raw("{\"status\":\"success\",\"data\":{\"resultType\":\"table\",\"columns\":");
    json.list(schema.fields(), |json, field| {
        json.text_object([("name", field.name().as_str()), ("type", type_name(field.data_type()))]);
    });
    json.raw(",\"rows\":[");
}

fn write_end(json: &mut Json, end: &SqlEnd, wants_stats: bool) {
    json.raw("]");
    if wants_stats {
        let stats = end.stats;
        json.raw(",\"stats\":{\"rowsRead\":");
        json.plain(stats.items);
        json.raw(",\"bytesRead\":");
        json.plain(stats.bytes);
        json.raw(",\"seriesRead\":");
        json.plain(stats.series);
        json.raw(",\"execTotalTime\":");
        json.plain(stats.exec_ns as f64 / NS_PER_S as f64);
        json.raw(",\"peakMemoryBytes\":");
        json.plain(stats.peak_memory_bytes);
        json.raw("}");
    }
    json.raw("}");
    if end.is_truncated {
        json.raw(",\"warnings\":");
        json.texts([TRUNCATED]);
    }
    json.raw("}");
}

/// A text of a line of CSV, in quotes where it needs them.
fn push_csv(line: &mut Vec<u8>, place: usize, text: &str) {
    if place > 0 {
        line.push(b',');
    }
    if !text.contains(['"', ',', '\r', '\n']) {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    line.push(b'"');
    line.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    line.push(b'"');
}

/// A value of a line of CSV: texts as they are, null as nothing, lists and maps as their JSON.
fn push_cell(line: &mut Vec<u8>, place: usize, column: &Cell<'_>, row: usize) {
    if let Some(text) = column.text(row) {
        return push_csv(line, place, text);
    }
    if column.is_null(row) {
        return push_csv(line, place, "");
    }
    let json = written(|json| column.write(json, row));
    let text = String::from_utf8_lossy(&json);
    // Moments and floats that are no numbers stand in quotes in JSON, and have nothing to escape.
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    push_csv(line, place, bare.unwrap_or(&text));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray, TimestampMillisecondArray,
        TimestampNanosecondArray, UInt64Array,
    };
    use arrow::datatypes::Int64Type;
    use arrow::ipc::reader::StreamReader;
    use query::QueryStats;

    use super::*;

    fn batch() -> RecordBatch {
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "moment",
                Arc::new(
                    TimestampNanosecondArray::from(vec![7, 1_700_000_000_000_000_000]).with_timezone("UTC"),
                ),
            ),
            ("local", Arc::new(TimestampMillisecondArray::from(vec![Some(-1), None]))),
            ("value", Arc::new(Float64Array::from(vec![f64::NAN, -0.5e-9]))),
            ("small", Arc::new(Int64Array::from(vec![i64::MIN, 0]))),
            ("large", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
            ("line, \"quoted\"", Arc::new(StringArray::from(vec!["a,\"b\"\n", "plain"]))),
            ("yes", Arc::new(BooleanArray::from(vec![true, false]))),
            (
                "list",
                Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
                    Some(vec![Some(1), None]),
                    None,
                ])),
            ),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn encoded(format: Format, wants_stats: bool, end: &SqlEnd) -> Vec<u8> {
        let batch = batch();
        let (mut bytes, mut encoder) = Encoder::begin(format, &batch.schema(), wants_stats).unwrap();
        bytes.extend(encoder.batch(&batch.slice(0, 1)).unwrap());
        bytes.extend(encoder.batch(&batch.slice(1, 1)).unwrap());
        bytes.extend(encoder.end(end).unwrap());
        bytes
    }

    #[test]
    fn json_has_columns_and_rows() {
        let stats = QueryStats {
            items: 2,
            bytes: 30,
            series: 1,
            exec_ns: 1_500_000,
            peak_memory_bytes: 9,
            ..QueryStats::default()
        };
        let end = SqlEnd { stats, is_truncated: true };
        let text = String::from_utf8(encoded(Format::Json, true, &end)).unwrap();
        let expected = concat!(
            r#"{"status":"success","data":{"resultType":"table","columns":[{"name":"moment","type":"timestamp"},"#,
            r#"{"name":"local","type":"timestamp"},{"name":"value","type":"float64"},{"name":"small","type":"int64"},"#,
            r#"{"name":"large","type":"uint64"},{"name":"line, \"quoted\"","type":"text"},"#,
            r#"{"name":"yes","type":"boolean"},{"name":"list","type":"list"}],"rows":["#,
            r#"["1970-01-01T00:00:00.000000007Z","1969-12-31T23:59:59.999","NaN",-9223372036854775808,"#,
            r#"18446744073709551615,"a,\"b\"\n",true,[1,null]],"#,
            "\n",
            r#"["2023-11-14T22:13:20Z",null,-5e-10,0,null,"plain",false,null]],"#,
            r#""stats":{"rowsRead":2,"bytesRead":30,"seriesRead":1,"execTotalTime":0.0015,"peakMemoryBytes":9}},"#,
            r#""warnings":["results truncated due to limit"]}"#,
        );
        assert_eq!(text, expected);
        let _: serde_json::Value = serde_json::from_str(&text).unwrap();
    }

    #[test]
    fn csv_has_a_line_for_each_row() {
        let text = String::from_utf8(encoded(Format::Csv, false, &SqlEnd::default())).unwrap();
        let expected = "moment,local,value,small,large,\"line, \"\"quoted\"\"\",yes,list\r\n\
             1970-01-01T00:00:00.000000007Z,1969-12-31T23:59:59.999,NaN,-9223372036854775808,18446744073709551615,\
             \"a,\"\"b\"\"\n\",true,\"[1,null]\"\r\n\
             2023-11-14T22:13:20Z,,-5e-10,0,,plain,false,\r\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn arrow_comes_back_as_it_was() {
        let bytes = encoded(Format::Arrow, false, &SqlEnd::default());
        let read: Vec<RecordBatch> =
            StreamReader::try_new(bytes.as_slice(), None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, [batch().slice(0, 1), batch().slice(1, 1)]);
    }
}
