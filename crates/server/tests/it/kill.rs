//! kill -9 at random moments while writers of the three signals are at work, again and again on one folder: after
//! each restart all that was acknowledged is there, once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::ledger::{Kind, Writer};
use crate::server::{Place, Stella};
use crate::telemetry::{now_ms, now_ns};
use crate::tools::python_aside;

const TENANT: &str = "acme";
/// Three writers of each, so that writes wait together.
const KINDS: [Kind; 9] = {
    use Kind::{Lines, Samples, Spans};
    [Samples, Lines, Spans, Samples, Lines, Spans, Samples, Lines, Spans]
};

/// Flushes all the time.
const HURRIED: &str = "own_telemetry: false\n\
                       wal:\n  segment_size: 256KiB\n\
                       flush:\n  max_head_size: 64KiB\n  max_head_age: 150ms\n";

/// The seed of this run: that of `STELLA_TEST_SEED`, else a new one. It is shown when the test fails.
fn seed() -> u64 {
    let named = std::env::var("STELLA_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = named.unwrap_or_else(|| u64::try_from(now_ns()).unwrap());
    eprintln!("STELLA_TEST_SEED={seed}");
    seed
}

/// How a server ends.
enum End {
    /// kill -9.
    Kill,
    /// SIGTERM.
    Stop,
}

/// Lets the writers work for so long, then ends the server under them.
async fn end_under_load(stella: Stella, writers: Vec<Writer>, work_ms: u64, end: End) -> Vec<Writer> {
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = writers
        .into_iter()
        .map(|writer| tokio::spawn(writer.write(stella.tenant(TENANT), Arc::clone(&stop))))
        .collect();
    tokio::time::sleep(Duration::from_millis(work_ms)).await;
    match end {
        End::Kill => stella.kill(),
        End::Stop => stella.stop().await,
    }
    stop.store(true, Ordering::Relaxed);
    let mut writers = Vec::new();
    for task in tasks {
        writers.push(task.await.unwrap());
    }
    writers
}

/// Items of each kind that are there.
async fn verify(stella: &Stella, writers: &[Writer], when: &str) -> [usize; 3] {
    let client = stella.tenant(TENANT);
    let mut found = [0; 3];
    for writer in writers {
        found[writer.kind as usize] += writer.verify(&client, when).await;
    }
    found
}

fn writers() -> Vec<Writer> {
    let now_ms = now_ms();
    KINDS.into_iter().enumerate().map(|(id, kind)| Writer::new(kind, id, now_ms)).collect()
}

async fn kill_again_and_again(place: Place, folder: &Path, keys: &str, rounds: usize) {
    let mut random = StdRng::seed_from_u64(seed());
    let mut writers = writers();
    let mut stella = Stella::serve_in(place, folder, keys, &[]).await;
    for round in 0..rounds {
        writers = end_under_load(stella, writers, random.random_range(50..900), End::Kill).await;
        if random.random_bool(0.5) {
            // Killed again while the log is replayed, perhaps with writers at work.
            let replaying = Stella::serve_unready(place, folder, keys, &[]).await;
            writers = end_under_load(replaying, writers, random.random_range(0..60), End::Kill).await;
        }
        stella = Stella::serve_in(place, folder, keys, &[]).await;
        verify(&stella, &writers, &format!("after kill {round}")).await;
    }
    assert!(writers.iter().all(|writer| writer.acknowledged() > 100), "there was hardly any load");

    // A last time in order, after which all is in segments.
    stella.stop().await;
    let stella = Stella::serve_in(place, folder, keys, &[]).await;
    let found = verify(&stella, &writers, "after the end").await;
    stella.stop().await;
    let store = place.objects(&folder.join("data")).await.join("tenants").join(TENANT).display().to_string();
    let tables = python_aside("segments_read.py", vec![store]).await["tables"].clone();
    let rows = ["metrics.samples", "logs", "traces"]
        .map(|table| tables[table]["rows"].as_u64().unwrap_or(0) as usize);
    // A record that was replayed may be in two segments, whose equal rows are read once.
    let whole = rows.iter().zip(found).all(|(rows, found)| *rows >= found);
    assert!(whole, "rows of samples, lines and spans in segments: {rows:?} < {found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kills() {
    let folder = tempfile::tempdir().unwrap();
    kill_again_and_again(Place::chosen(), folder.path(), "own_telemetry: false\n", 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kills_in_flushes() {
    let folder = tempfile::tempdir().unwrap();
    kill_again_and_again(Place::chosen(), folder.path(), HURRIED, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kills_in_flushes_to_a_bucket() {
    let folder = tempfile::tempdir().unwrap();
    kill_again_and_again(Place::Bucket, folder.path(), HURRIED, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_an_orderly_end_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut writers = writers();
    for (round, work_ms) in [200, 500].into_iter().enumerate() {
        let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
        writers = end_under_load(stella, writers, work_ms, End::Stop).await;
        let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
        verify(&stella, &writers, &format!("after end {round}")).await;
        stella.stop().await;
    }
}
