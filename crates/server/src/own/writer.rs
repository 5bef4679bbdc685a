//! Writes what the server says of itself: records in batches, metrics at an interval.

use std::sync::Arc;
use std::time::Duration;

use collector::exposition::{Format, Target, parse};
use model::labels::METRIC_NAME;
use model::metric::{MetricBatchBuilder, MetricType, SeriesInfo};
use model::{Batch, Clock, Ingest, Labels, TenantId};
use security::gateway::Gateway;
use tokio_util::sync::CancellationToken;

use super::SERVICE;
use super::layer::OwnRecords;
use super::record::{Record, logs, spans};
use crate::exposition::Exposition;

/// How long records wait for others to be written with.
const BATCH_PAUSE: Duration = Duration::from_millis(200);
/// Records that are written at once.
const BATCH_RECORDS: usize = 1_024;
/// The pause between two looks at the server's own metrics.
const METRICS_INTERVAL: Duration = Duration::from_secs(15);

/// What a writer needs.
pub(crate) struct OwnWriter {
    /// Where the telemetry goes.
    pub(crate) ingest: Arc<dyn Ingest>,
    /// Gives the right to write it there.
    pub(crate) gateway: Gateway,
    /// The time of metrics.
    pub(crate) clock: Arc<dyn Clock>,
    /// The metrics.
    pub(crate) exposition: Exposition,
    /// Which server it is: the `instance` of metrics.
    pub(crate) instance: String,
}

impl OwnWriter {
    /// Writes until the token is cancelled, then what is left.
    pub(crate) async fn run(self, mut records: OwnRecords, stop: CancellationToken) {
        let mut metrics = tokio::time::interval(METRICS_INTERVAL);
        metrics.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut batch = Vec::with_capacity(BATCH_RECORDS);
        loop {
            tokio::select! {
                _ = metrics.tick() => self.write_metrics().await,
                taken = records.queue.recv_many(&mut batch, BATCH_RECORDS) => {
                    if taken == 0 {
                        return;
                    }
                    // Records come in bursts: a short pause makes one write of many.
                    if batch.len() < BATCH_RECORDS {
                        tokio::select! {
                            () = tokio::time::sleep(BATCH_PAUSE) => {}
                            () = stop.cancelled() => {}
                        }
                        while batch.len() < BATCH_RECORDS && let Ok(record) = records.queue.try_recv() {
                            batch.push(record);
                        }
                    }
                    self.write_records(std::mem::take(&mut batch)).await;
                }
                () = stop.cancelled() => break,
            }
        }
        while let Ok(record) = records.queue.try_recv() {
            batch.push(record);
        }
        self.write_records(batch).await;
        self.write_metrics().await;
    }

    async fn write_records(&self, records: Vec<Record>) {
        let (mut log_records, mut span_records) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Record::Log(record) => log_records.push(record),
                Record::Span(record) => span_records.push(record),
            }
        }
        if !log_records.is_empty() {
            self.write(Batch::Logs(logs(&log_records, &self.instance))).await;
        }
        if !span_records.is_empty() {
            self.write(Batch::Traces(spans(&span_records, &self.instance))).await;
        }
    }

    async fn write_metrics(&self) {
        let timestamp_ms = self.clock.now().to_ms().0;
        let labels = [("job", SERVICE), ("instance", self.instance.as_str())];
        let target = Target { format: Format::OpenMetrics, labels: &labels, timestamp_ms };
        match parse(&self.exposition.text(), &target) {
            Ok(batch) => self.write(Batch::Metrics(batch)).await,
            Err(error) => tracing::error!(%error, "the server's own metrics cannot be read"),
        }
        let mut up = MetricBatchBuilder::default();
        let info = SeriesInfo { metric_type: MetricType::Gauge, unit: "", help: "" };
        let name = std::iter::once((METRIC_NAME, "up"));
        let series = up.series(&Labels::from_pairs(name.chain(labels)), info);
        up.sample(series, timestamp_ms, 0, 1.0);
        self.write(Batch::Metrics(up.finish())).await;
    }

    async fn write(&self, batch: Batch) {
        // An error is not logged through `tracing`'s layer again at this level: it would feed itself.
        if let Err(error) = self.ingest.ingest(&self.gateway.own(TenantId::own()), batch).await {
            tracing::debug!(%error, "the server's own telemetry was not written");
        }
    }
}
