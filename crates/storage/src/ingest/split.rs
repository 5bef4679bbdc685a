//! A batch that is too large for one record of the log, in two.

use arrow::array::RecordBatch;
use model::Batch;
use model::log::LogBatch;
use model::metric::MetricBatch;
use model::trace::TraceBatch;

use super::compact;

/// The memory of a batch's rows, whatever larger buffers they lie in: about what its record takes.
pub(super) fn bytes(batch: &Batch) -> usize {
    let tables: &[&RecordBatch] = match batch {
        Batch::Metrics(b) => &[&b.series, &b.samples, &b.histograms, &b.exemplars],
        Batch::Logs(b) => &[&b.streams, &b.entries],
        Batch::Traces(b) => &[&b.spans],
    };
    tables.iter().map(|table| crate::head::runs::batch_bytes(table)).sum()
}

/// The first and the second half of the items of a batch that has at least two.
///
/// # Errors
/// When the batch's columns are not those of its signal.
pub(super) fn halves(batch: &Batch) -> Result<[Batch; 2], String> {
    let middle = batch.items() / 2;
    Ok(match batch {
        Batch::Metrics(batch) => {
            let tables = [&batch.samples, &batch.histograms, &batch.exemplars];
            let [first, second] = cut(&tables, middle);
            let part = |rows| -> Result<Batch, String> {
                let (series, rows) = compact(&batch.series, rows)?;
                let [samples, histograms, exemplars] =
                    <[RecordBatch; 3]>::try_from(rows).map_err(|_| "a batch of metrics has three tables")?;
                Ok(Batch::Metrics(MetricBatch { series, samples, histograms, exemplars }))
            };
            [part(first)?, part(second)?]
        }
        Batch::Logs(batch) => {
            let [first, second] = cut(&[&batch.entries], middle);
            let part = |rows| -> Result<Batch, String> {
                let (streams, rows) = compact(&batch.streams, rows)?;
                let [entries] =
                    <[RecordBatch; 1]>::try_from(rows).map_err(|_| "a batch of logs has one table")?;
                Ok(Batch::Logs(LogBatch { streams, entries }))
            };
            [part(first)?, part(second)?]
        }
        Batch::Traces(batch) => {
            let rows = batch.spans.num_rows();
            let part =
                |start, end| Batch::Traces(TraceBatch { spans: batch.spans.slice(start, end - start) });
            [part(0, middle), part(middle, rows)]
        }
    })
}

/// The tables' rows, one table after the other, before and from the middle on.
fn cut(tables: &[&RecordBatch], middle: usize) -> [Vec<RecordBatch>; 2] {
    let mut before = middle;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for table in tables {
        let rows = table.num_rows().min(before);
        before -= rows;
        first.push(table.slice(0, rows));
        second.push(table.slice(rows, table.num_rows() - rows));
    }
    [first, second]
}
