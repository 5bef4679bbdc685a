//! An hour of samples: counters with resets, gauges with gaps and odd values, classic histograms, facts. The same each time
//! but for when it was.

use prost::Message;
use wire::remote_write::v1::{TimeSeries, WriteRequest};

use crate::telemetry::series;

/// The time that the samples tell of.
pub(super) const LENGTH_MS: i64 = 3_600_000;
const STEP_MS: i64 = 15_000;
/// Requests, one after the other in time.
const PARTS: i64 = 6;

/// Numbers that look like chance: a linear congruential generator.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

type Points = Vec<(i64, f64)>;

/// The series with their points.
fn all(start_ms: i64) -> Vec<(Vec<(String, String)>, Points)> {
    let mut all = Vec::new();
    let mut chance = Chance(42);
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // No sample lies on a whole second.
    let time = |step: i64, phase: i64| start_ms + step * STEP_MS + 137 + phase * 1_211;
    for (number, (job, instance)) in
        [("api", "a"), ("api", "b"), ("api", "c"), ("db", "a"), ("db", "b")].into_iter().enumerate()
    {
        let phase = number as i64;
        let of = |name: &str, more: &[(&str, &str)]| -> Vec<(String, String)> {
            let mut labels = vec![label("__name__", name), label("instance", instance), label("job", job)];
            labels.extend(more.iter().map(|(name, value)| label(name, value)));
            labels.sort();
            labels
        };
        for code in ["200", "404", "500"] {
            let mut value = 1e5 + chance.below(1_000) as f64;
            let reset = 100 + i64::try_from(chance.below(80)).unwrap();
            let points = (0..LENGTH_MS / STEP_MS).map(|step| {
                value = if step == reset && code != "404" { 0.0 } else { value + chance.below(50) as f64 };
                (time(step, phase), value)
            });
            all.push((of("requests_total", &[("code", code)]), points.collect()));
        }
        let (mut level, mut load) = (20.0, Vec::new());
        for step in 0..LENGTH_MS / STEP_MS {
            level += (chance.below(200) as f64 - 100.0) / 64.0;
            // Some minutes are missing, and some values are odd.
            let is_missing = number == 1 && (90..140).contains(&step);
            let odd = match (number, step) {
                (2, 200..204) => Some(f64::NAN),
                (3, 210..212) => Some(f64::INFINITY),
                (3, 212..214) => Some(f64::NEG_INFINITY),
                _ => None,
            };
            if !is_missing {
                load.push((time(step, phase), odd.unwrap_or(level)));
            }
        }
        all.push((of("load", &[("zone", ["n", "s"][number % 2])]), load));
        let mut counts = [0.0; 6];
        let bounds = ["0.01", "0.05", "0.1", "0.5", "1", "+Inf"];
        let mut histogram: Vec<Points> = vec![Vec::new(); bounds.len()];
        let (mut sum, mut sums) = (0.0, Vec::new());
        for step in 0..LENGTH_MS / STEP_MS {
            let at = usize::try_from(chance.below(5)).unwrap();
            for (count, points) in counts.iter_mut().skip(at).zip(histogram.iter_mut().skip(at)) {
                *count += 1.0 + (at % 2) as f64;
                points.push((time(step, phase), *count));
            }
            for (count, points) in counts.iter().zip(&mut histogram).take(at) {
                points.push((time(step, phase), *count));
            }
            sum += 0.125 * at as f64;
            sums.push((time(step, phase), sum));
        }
        let total = histogram[5].clone();
        for (bound, points) in bounds.into_iter().zip(histogram) {
            all.push((of("latency_seconds_bucket", &[("le", bound)]), points));
        }
        all.push((of("latency_seconds_sum", &[]), sums));
        all.push((of("latency_seconds_count", &[]), total));
        let version = ["1.0", "1.1", "1.1", "2.0", "2.0"][number];
        let points = (0..LENGTH_MS / STEP_MS).map(|step| (time(step, phase), 1.0));
        all.push((of("build_info", &[("version", version)]), points.collect()));
    }
    all
}

/// The bodies of remote writes, in the order of time.
pub(super) fn written(start_ms: i64) -> Vec<Vec<u8>> {
    let all = all(start_ms);
    let bodies = (0..PARTS).map(|part| {
        let within = |at: i64| {
            let from = start_ms + part * LENGTH_MS / PARTS;
            (from..from + LENGTH_MS / PARTS + if part + 1 == PARTS { STEP_MS } else { 0 }).contains(&at)
        };
        let timeseries: Vec<TimeSeries> = all
            .iter()
            .map(|(labels, points)| {
                let labels: Vec<(&str, &str)> =
                    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let points: Points = points.iter().copied().filter(|(at, _)| within(*at)).collect();
                series(&labels, &points)
            })
            .filter(|series| !series.samples.is_empty())
            .collect();
        let request = WriteRequest { timeseries, ..WriteRequest::default() };
        snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap()
    });
    bodies.collect()
}
