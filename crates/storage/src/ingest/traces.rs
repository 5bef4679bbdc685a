//! Checks spans.

use arrow::array::{FixedSizeBinaryArray, Int64Array};
use model::ingest::Reason;
use model::trace::{SPANS_SCHEMA, TraceBatch};

use super::window::SpanWindows;
use super::{Check, Kept, check_schema, column};

pub(super) fn validate(batch: TraceBatch, check: &mut Check<'_>) -> Result<TraceBatch, String> {
    let TraceBatch { spans } = batch;
    check_schema(&spans, &SPANS_SCHEMA)?;
    let trace_ids: &FixedSizeBinaryArray = column(&spans, 0);
    let span_ids: &FixedSizeBinaryArray = column(&spans, 1);
    let starts: &Int64Array = column(&spans, 7);
    let windows = SpanWindows::new(&spans, check.limits, check);
    let mut kept = Kept::default();
    for (row, start_ns) in starts.values().iter().enumerate() {
        let verdict = if is_zero(trace_ids.value(row)) {
            Some((Reason::InvalidTraceId, "the trace id is all zeros".to_owned()))
        } else if is_zero(span_ids.value(row)) {
            Some((Reason::InvalidSpanId, "the span id is all zeros".to_owned()))
        } else {
            let window = windows.of(row, *start_ns);
            window.verdict(*start_ns).map(|reason| (reason, window.explain(reason, *start_ns)))
        };
        if let Some((reason, text)) = verdict {
            let example =
                || format!("trace {} span {}: {text}", hex(trace_ids.value(row)), hex(span_ids.value(row)));
            check.receipt.reject(reason, 1, example);
            kept.drop_row(row);
        }
    }
    Ok(TraceBatch { spans: kept.apply(spans)? })
}

fn is_zero(id: &[u8]) -> bool {
    id.iter().all(|byte| *byte == 0)
}

pub(super) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
