//! What is counted of tenants, in a file of the data folder: a restart goes on counting where the process before ended, and
//! after a crash a minute is missing at most. `docs/format/activity.md` describes it.
//!
//! Not a truth that anything else goes by: a file that does not read back is left out, and counting begins anew.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::activity::Activity;

/// The file's name in the data folder.
const FILE: &str = "activity.json";
/// The format that is written.
const FORMAT: u32 = 1;
/// The pause between two times that the file is written.
const PAUSE: Duration = Duration::from_secs(60);
/// The largest file that is read: what is counted of all tenants is far below.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    format: u32,
    /// Since when is counted.
    pub(super) since_ns: i64,
    /// By tenant and signal.
    pub(super) tenants: BTreeMap<String, BTreeMap<String, KeptCounts>>,
}

/// What was counted of one tenant's signal: moments in nanoseconds, amounts by their slots of ten minutes since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptCounts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first_write_ns: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_write_ns: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_query_ns: Option<i64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) items: BTreeMap<i64, u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) bytes: BTreeMap<i64, u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) rejected: BTreeMap<String, BTreeMap<i64, u64>>,
}

impl Kept {
    pub(super) const fn new(since_ns: i64, tenants: BTreeMap<String, BTreeMap<String, KeptCounts>>) -> Self {
        Self { format: FORMAT, since_ns, tenants }
    }
}

/// Reads the file of a data folder; none where there is none that reads back.
pub(super) fn read(data_dir: &Path) -> Option<Kept> {
    let path = data_dir.join(FILE);
    let kept = match parse(&path) {
        Ok(kept) if kept.format == FORMAT => return Some(kept),
        Ok(kept) => format!("its format is {}, and {FORMAT} is known", kept.format),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => error.to_string(),
    };
    tracing::warn!(path = %path.display(), reason = kept, "what tenants did before is not known: counting begins anew");
    None
}

fn parse(path: &Path) -> io::Result<Kept> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other("it is too large"));
    }
    serde_json::from_slice(&text).map_err(io::Error::other)
}

fn write(data_dir: &Path, kept: &Kept) -> io::Result<()> {
    let staged = data_dir.join(format!("{FILE}.new"));
    fs::write(&staged, serde_json::to_vec(kept).map_err(io::Error::other)?)?;
    fs::rename(staged, data_dir.join(FILE))
}

/// Writes the file again and again, for as long as it is polled.
pub(crate) async fn keep(activity: Arc<Activity>, data_dir: PathBuf) {
    let mut is_failing = false;
    loop {
        tokio::time::sleep(PAUSE).await;
        let result = save(&activity, &data_dir).await;
        if let Err(error) = &result
            && !is_failing
        {
            tracing::warn!(%error, "what tenants do cannot be kept: a restart would forget it");
        }
        is_failing = result.is_err();
    }
}

/// Writes the file once.
///
/// # Errors
/// When the folder takes no file.
pub(crate) async fn save(activity: &Arc<Activity>, data_dir: &Path) -> io::Result<()> {
    let (activity, data_dir) = (Arc::clone(activity), data_dir.to_owned());
    let written = tokio::task::spawn_blocking(move || write(&data_dir, &activity.kept()));
    written.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_read_back_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).is_none());
        let counts = KeptCounts { first_write_ns: Some(7), items: [(3, 4)].into(), ..KeptCounts::default() };
        let tenants = BTreeMap::from([("acme".to_owned(), BTreeMap::from([("logs".to_owned(), counts)]))]);
        write(folder.path(), &Kept::new(5, tenants.clone())).unwrap();
        let kept = read(folder.path()).unwrap();
        assert_eq!((kept.since_ns, kept.tenants), (5, tenants));
        for text in ["", "{", "[]", r#"{"format":2,"since_ns":1,"tenants":{}}"#] {
            fs::write(folder.path().join(FILE), text).unwrap();
            assert!(read(folder.path()).is_none(), "{text}");
        }
    }
}
