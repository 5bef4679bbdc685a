//! What a server says of itself on `/metrics`, before and after a load. Any server that speaks Prometheus' text format
//! can be asked; what it does not tell is absent.

use std::path::Path;

use anyhow::{Context, bail};
use model::Signal;

use super::client::Client;

/// Time between two looks at a server that is settling.
const LOOK_MS: u64 = 1_000;
/// A server is calm when it spends less than this share of a core between two looks ...
const CALM_SHARE: f64 = 0.05;
/// ... so many times in a row, and its segments are the same.
const CALM_LOOKS: usize = 5;

/// The series of a page of metrics.
#[derive(Clone, Debug)]
pub(super) struct Page(Vec<(String, f64)>);

impl Page {
    /// Reads a page; lines that are no samples are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// The sum of all series of a name whose labels have all of these; none where there is no such series.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let found = self.0.iter().filter(|(series, _)| {
            let (own, rest) = series.split_once('{').unwrap_or((series, ""));
            own == name && labels.iter().all(|label| rest.contains(label))
        });
        found.map(|(_, value)| *value).reduce(|sum, value| sum + value)
    }
}

/// What is measured of a server, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    /// Processor time since its start, in seconds.
    pub(super) cpu_s: f64,
    /// Resident memory, in bytes.
    pub(super) memory_bytes: Option<f64>,
    /// The most resident memory since its start, in bytes.
    pub(super) peak_memory_bytes: Option<f64>,
    /// Segments of the tenant's signal.
    pub(super) segments: Option<f64>,
    /// Their bytes.
    pub(super) segment_bytes: Option<f64>,
    /// Bytes written to the log since its start.
    pub(super) wal_bytes: Option<f64>,
}

/// Looks at a server's metrics for one tenant's signal.
#[derive(Clone, Debug)]
pub(super) struct Observer {
    client: Client,
    base: String,
    tenant: String,
    signal: Signal,
}

impl Observer {
    /// An observer of the server at that address.
    pub(super) fn new(client: Client, base: &str, tenant: &str, signal: Signal) -> Self {
        Self { client, base: base.to_owned(), tenant: tenant.to_owned(), signal }
    }

    /// What it says now.
    ///
    /// # Errors
    /// When it cannot be asked, or tells no processor time.
    pub(super) async fn look(&self) -> anyhow::Result<Figures> {
        let url = format!("{}/metrics", self.base);
        let page = self.client.get(&url, &[]).await?.into_text()?;
        let page = Page::parse(&page);
        let partition = [("tenant", self.tenant.as_str()), ("signal", self.signal.as_str())];
        Ok(Figures {
            cpu_s: page
                .sum("process_cpu_seconds_total", &[])
                .with_context(|| format!("{url} tells no process_cpu_seconds_total"))?,
            memory_bytes: page.sum("process_resident_memory_bytes", &[]),
            peak_memory_bytes: page.sum("process_resident_memory_max_bytes", &[]),
            segments: page.sum("stella_segments", &partition),
            segment_bytes: page.sum("stella_segments_size_bytes", &partition),
            wal_bytes: page.sum("stella_wal_written_bytes_total", &[]),
        })
    }

    /// Asks the server to write what is in memory as segments, and waits until it has nothing left to do.
    ///
    /// # Errors
    /// When it cannot be asked, or is not calm after that time.
    pub(super) async fn settle(&self, timeout_ms: u64) -> anyhow::Result<Figures> {
        self.client.post(&format!("{}/flush", self.base)).await?;
        let began_ns = self.client.now_ns();
        let mut last = (self.client.now_ns(), self.look().await?);
        let mut calm = 0;
        while calm < CALM_LOOKS {
            if self.client.now_ns() - began_ns > timeout_ms * 1_000_000 {
                bail!("the server is not calm after {timeout_ms} ms; give it more time by --settle-timeout");
            }
            tokio::time::sleep(std::time::Duration::from_millis(LOOK_MS)).await;
            let (at_ns, figures) = (self.client.now_ns(), self.look().await?);
            let share = (figures.cpu_s - last.1.cpu_s) / ((at_ns - last.0) as f64 / 1e9);
            let is_calm = share < CALM_SHARE && figures.segments == last.1.segments;
            calm = if is_calm { calm + 1 } else { 0 };
            last = (at_ns, figures);
        }
        Ok(last.1)
    }
}

/// All bytes of the files of a folder, however deep.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += folder_bytes(&entry.path())?,
            Ok(metadata) => bytes += metadata.len(),
            // What was removed meanwhile takes no room.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_summed_by_name_and_labels() {
        let page = Page::parse(
            "# HELP a x\n# TYPE a counter\na{tenant=\"t\",signal=\"logs\"} 2\na{tenant=\"t\",signal=\"traces\"} 3.5\n\
             ab 7\nnonsense\n",
        );
        assert_eq!(page.sum("a", &[]), Some(5.5));
        assert_eq!(page.sum("a", &[("signal", "logs"), ("tenant", "t")]), Some(2.0));
        assert_eq!(page.sum("a", &[("tenant", "u")]), None);
        assert_eq!(page.sum("ab", &[]), Some(7.0));
    }

    #[test]
    fn folders_are_summed_with_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/a"), [0; 5]).unwrap();
        std::fs::write(folder.path().join("b"), [0; 7]).unwrap();
        assert_eq!(folder_bytes(folder.path()).unwrap(), 12);
    }
}
