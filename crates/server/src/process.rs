//! What the operating system says of this process, as metrics: read when they are asked for.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Ticks of `/proc` per second: fixed on Linux, whatever the kernel's own clock.
const TICKS_PER_S: f64 = 100.0;
/// Bytes in the pages that `/proc/self/statm` counts.
const PAGE_BYTES: u64 = 4_096;

/// Memory, processor time, files and start of the process.
#[derive(Debug)]
pub(crate) struct ProcessMetrics {
    /// When the process began, in seconds since the epoch.
    pub(crate) started_s: f64,
}

/// The resident memory, in bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * PAGE_BYTES)
}

/// The most resident memory that there ever was, in bytes.
fn resident_max_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

/// User and system time, in seconds.
pub(crate) fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the process is in parentheses and may have spaces; the fields after it are numbers.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let user: f64 = fields.nth(11)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_S)
}

fn open_files() -> Option<u64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let memory = [
            ("process_resident_memory_bytes", "Resident memory of the process", resident_bytes()),
            (
                "process_resident_memory_max_bytes",
                "The most resident memory that the process ever had",
                resident_max_bytes(),
            ),
        ];
        for (name, help, bytes) in memory {
            if let Some(bytes) = bytes {
                let gauge = ConstGauge::new(bytes as f64);
                let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
                gauge.encode(metric)?;
            }
        }
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "User and system processor time of the process, in seconds";
            let metric =
                encoder.encode_descriptor("process_cpu_seconds", help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        if let Some(files) = open_files() {
            let gauge = ConstGauge::new(files as f64);
            let metric =
                encoder.encode_descriptor("process_open_fds", "Open files", None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        let gauge = ConstGauge::new(self.started_s);
        let help = "When the process began, in seconds since the Unix epoch";
        let metric =
            encoder.encode_descriptor("process_start_time_seconds", help, None, gauge.metric_type())?;
        gauge.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
        assert!(resident_max_bytes() >= resident_bytes());
        assert!(cpu_seconds().is_some_and(|seconds| seconds >= 0.0));
        assert!(open_files().is_some_and(|files| files > 2));
    }
}
