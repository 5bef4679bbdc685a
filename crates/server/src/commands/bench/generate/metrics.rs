//! Samples of a cluster's pods: counters with resets, gauges of several kinds, histograms with classic buckets, scraped
//! every 15 seconds. Now and then pods are replaced by others, whose series are new.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::cluster::{Pod, SERVICES};
use super::metrics_encoding::{Batch, Format, sample};
use super::{Request, Source, Stretch, put_bytes};

/// Upper bounds of the histogram's buckets, as labels.
pub(super) const BOUNDS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
/// The middle of each bucket, in seconds: what an observation in it adds to the sum.
const MIDDLES_S: [f64; 12] = [0.003, 0.008, 0.017, 0.038, 0.075, 0.17, 0.37, 0.75, 1.7, 3.6, 7.3, 14.0];
/// The share of observations that falls into each bucket, in thousandths.
const SHARES: [u32; 12] = [120, 260, 310, 160, 80, 40, 15, 8, 4, 2, 1, 0];
/// A pod restarts, and its counters begin again, once in so many scrapes.
const RESTART_ONE_IN: u32 = 2_000;
/// Milliseconds that a scrape may be late.
const JITTER_MS: i64 = 5;

/// How a series' values move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// A counter of whole numbers with this rate.
    Counter(f64),
    /// A counter of seconds with nine decimals, with this rate.
    Seconds(f64),
    /// A gauge of decimals around a value, moving by steps, in units of a thousandth or so.
    Walk { around: f64, step: f64, decimals: i32 },
    /// A gauge of bytes in whole pages around a value.
    Pages(f64),
    /// Always the same.
    Constant(f64),
    /// A bucket of the pod's histogram, by its number in [`BOUNDS`].
    Bucket(usize),
    /// The sum of the pod's histogram.
    Sum,
    /// The count of the pod's histogram.
    Count,
}

/// A series of each pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template {
    /// The metric's name.
    pub(super) name: &'static str,
    /// Labels beside the pod's.
    pub(super) labels: &'static [(&'static str, &'static str)],
    /// How its values move.
    pub(super) shape: Shape,
}

const fn series(
    name: &'static str,
    labels: &'static [(&'static str, &'static str)],
    shape: Shape,
) -> Template {
    Template { name, labels, shape }
}

const BUCKET: &str = "http_request_duration_seconds_bucket";

/// The series of a pod; the histogram's come last, together.
pub(super) const TEMPLATES: [Template; 36] = [
    series("up", &[], Shape::Constant(1.0)),
    series("kube_pod_info", &[("created_by_kind", "ReplicaSet")], Shape::Constant(1.0)),
    series("kube_pod_status_ready", &[("condition", "true")], Shape::Constant(1.0)),
    series(
        "kube_pod_container_resource_limits",
        &[("resource", "memory"), ("unit", "byte")],
        Shape::Constant(536_870_912.0),
    ),
    series("container_cpu_usage_seconds_total", &[("cpu", "total")], Shape::Seconds(0.23)),
    series("container_memory_working_set_bytes", &[], Shape::Pages(180e6)),
    series("container_memory_rss", &[], Shape::Pages(150e6)),
    series("container_network_receive_bytes_total", &[("interface", "eth0")], Shape::Counter(38_000.0)),
    series("container_network_transmit_bytes_total", &[("interface", "eth0")], Shape::Counter(61_000.0)),
    series("container_fs_writes_bytes_total", &[("device", "/dev/nvme0n1")], Shape::Counter(900.0)),
    series("process_open_fds", &[], Shape::Walk { around: 64.0, step: 2.0, decimals: 0 }),
    series("go_goroutines", &[], Shape::Walk { around: 210.0, step: 9.0, decimals: 0 }),
    series("go_memstats_heap_alloc_bytes", &[], Shape::Pages(90e6)),
    series("go_gc_duration_seconds_count", &[], Shape::Counter(0.4)),
    series("queue_depth", &[("queue", "default")], Shape::Walk { around: 3.0, step: 1.0, decimals: 0 }),
    series(
        "db_connections_in_use",
        &[("pool", "main")],
        Shape::Walk { around: 12.0, step: 1.0, decimals: 0 },
    ),
    series("cache_hit_ratio", &[("cache", "items")], Shape::Walk { around: 0.93, step: 0.004, decimals: 3 }),
    series("app_load", &[("window", "1m")], Shape::Walk { around: 1.4, step: 0.11, decimals: 2 }),
    series("http_requests_total", &[("code", "200"), ("method", "GET")], Shape::Counter(41.0)),
    series("http_requests_total", &[("code", "201"), ("method", "POST")], Shape::Counter(7.0)),
    series("http_requests_total", &[("code", "404"), ("method", "GET")], Shape::Counter(0.6)),
    series("http_requests_total", &[("code", "500"), ("method", "GET")], Shape::Counter(0.02)),
    series(BUCKET, &[("le", BOUNDS[0])], Shape::Bucket(0)),
    series(BUCKET, &[("le", BOUNDS[1])], Shape::Bucket(1)),
    series(BUCKET, &[("le", BOUNDS[2])], Shape::Bucket(2)),
    series(BUCKET, &[("le", BOUNDS[3])], Shape::Bucket(3)),
    series(BUCKET, &[("le", BOUNDS[4])], Shape::Bucket(4)),
    series(BUCKET, &[("le", BOUNDS[5])], Shape::Bucket(5)),
    series(BUCKET, &[("le", BOUNDS[6])], Shape::Bucket(6)),
    series(BUCKET, &[("le", BOUNDS[7])], Shape::Bucket(7)),
    series(BUCKET, &[("le", BOUNDS[8])], Shape::Bucket(8)),
    series(BUCKET, &[("le", BOUNDS[9])], Shape::Bucket(9)),
    series(BUCKET, &[("le", BOUNDS[10])], Shape::Bucket(10)),
    series(BUCKET, &[("le", BOUNDS[11])], Shape::Bucket(11)),
    series("http_request_duration_seconds_sum", &[], Shape::Sum),
    series("http_request_duration_seconds_count", &[], Shape::Count),
];

/// How many series are sent, for how long, and how.
#[derive(Clone, Debug)]
pub(in super::super) struct Plan {
    /// The seed of everything random.
    pub(in super::super) seed: u64,
    /// The stretch of time.
    pub(in super::super) stretch: Stretch,
    /// Series at any moment.
    pub(in super::super) series: usize,
    /// The distance of scrapes.
    pub(in super::super) interval_ms: i64,
    /// The share of pods that is replaced at a time.
    pub(in super::super) churn: f64,
    /// The time between two replacements.
    pub(in super::super) churn_interval_ms: i64,
    /// Samples in a request, about.
    pub(in super::super) batch: usize,
    /// Senders.
    pub(in super::super) lanes: usize,
    /// How requests are encoded.
    pub(in super::super) format: Format,
    /// Scrapes of a pod that are sent together; one for OTLP.
    pub(in super::super) scrapes: usize,
}

/// A pod and the present values of its series.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// Whose series they are.
    pub(super) pod: Pod,
    /// Each series' encoded labels, in the encoding's own form.
    pub(super) labels: Vec<Vec<u8>>,
    /// A value per template; the last pod may have fewer series than there are templates.
    pub(super) values: Vec<f64>,
    /// The scrapes that are not sent yet.
    pub(super) held: Held,
    /// When in the interval it is scraped.
    offset_ms: i64,
    /// How busy it is.
    load: f64,
}

/// Scrapes of a pod that wait to be sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// The encoded samples of each series.
    pub(super) samples: Vec<Vec<u8>>,
    /// How many these are.
    pub(super) count: usize,
    /// How many scrapes there were, and where the pod began among the others.
    turn: usize,
}

impl Held {
    fn add(&mut self, values: &[f64], at_ms: i64) {
        self.samples.resize(values.len(), Vec::new());
        for (value, samples) in values.iter().zip(&mut self.samples) {
            put_bytes(samples, 2, &sample(*value, at_ms));
        }
        self.count += values.len();
        self.turn += 1;
    }
}

impl Instance {
    fn new(service: usize, series: usize, plan: &Plan, random: &mut StdRng) -> Self {
        let pod = Pod::new(service, random);
        let labels = TEMPLATES[..series].iter().map(|template| plan.format.labels(&pod, template)).collect();
        let offset_ms = random.random_range(0..plan.interval_ms - JITTER_MS);
        let load = random.random_range(0.2..2.5);
        let mut instance =
            Self { pod, labels, values: vec![0.0; series], held: Held::default(), offset_ms, load };
        instance.restart();
        for (value, template) in instance.values.iter_mut().zip(&TEMPLATES) {
            // Most pods have been running for a while.
            if let Shape::Counter(rate) | Shape::Seconds(rate) = template.shape {
                *value = (rate * random.random_range(0.0..400_000.0)).round();
            }
        }
        instance
    }

    /// Counters begin again, gauges at what they move around.
    fn restart(&mut self) {
        for (value, template) in self.values.iter_mut().zip(&TEMPLATES) {
            *value = match template.shape {
                Shape::Walk { around, .. } | Shape::Pages(around) | Shape::Constant(around) => around,
                _ => 0.0,
            };
        }
    }

    /// Moves on by one scrape.
    fn step(&mut self, interval_s: f64, random: &mut StdRng) {
        if random.random_ratio(1, RESTART_ONE_IN) {
            self.restart();
        }
        let busy = self.load * random.random_range(0.7..1.3);
        let (mut buckets, mut sum) = ([0_f64; 12], 0.0);
        let mut seen = 0.0;
        for ((bucket, share), middle_s) in buckets.iter_mut().zip(SHARES).zip(MIDDLES_S) {
            let mean = 49.0 * busy * interval_s * f64::from(share) / 1_000.0;
            let observed = whole(mean, random);
            sum += observed * middle_s * random.random_range(0.8..1.2);
            seen += observed;
            *bucket = seen;
        }
        for (value, template) in self.values.iter_mut().zip(&TEMPLATES) {
            match template.shape {
                Shape::Counter(rate) => *value += whole(rate * busy * interval_s, random),
                Shape::Seconds(rate) => {
                    let spent = rate * busy * interval_s * random.random_range(0.8..1.2);
                    *value = ((*value + spent) * 1e9).round() / 1e9;
                }
                Shape::Walk { around, step, decimals } => {
                    // It is drawn back to where it belongs, so that it does not wander off for ever.
                    let drift = (around - *value) * 0.02 + step * random.random_range(-1.0..1.0);
                    let unit = 10_f64.powi(decimals);
                    *value = ((*value + drift).max(0.0) * unit).round() / unit;
                }
                Shape::Pages(around) => {
                    let drift = (around - *value) * 0.02 + around * 0.01 * random.random_range(-1.0..1.0);
                    *value = ((*value + drift) / 4_096.0).round() * 4_096.0;
                }
                Shape::Constant(_) => {}
                Shape::Bucket(n) => *value += buckets[n],
                Shape::Sum => *value += sum,
                Shape::Count => *value += seen,
            }
        }
    }
}

/// A whole number that is this large in the mean.
fn whole(mean: f64, random: &mut StdRng) -> f64 {
    (mean * random.random_range(0.6..1.4) + random.random::<f64>()).floor()
}

/// Generates samples scrape by scrape.
pub(in super::super) struct MetricsSource {
    plan: Plan,
    random: StdRng,
    pods: Vec<Instance>,
    batches: Vec<Batch>,
    /// The scrape that is being generated, and the next pod in it.
    scrape: i64,
    pod: usize,
    ready: VecDeque<Request>,
}

impl MetricsSource {
    /// Prepares the cluster.
    pub(in super::super) fn new(plan: Plan) -> Self {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let count = plan.series.div_ceil(TEMPLATES.len());
        let pods = (0..count).map(|n| {
            let series = (plan.series - n * TEMPLATES.len()).min(TEMPLATES.len());
            let mut pod = Instance::new(n % SERVICES.len(), series, &plan, &mut random);
            // They are not all sent at one moment.
            pod.held.turn = n % plan.scrapes;
            pod
        });
        let pods = pods.collect();
        let batches = (0..plan.lanes).map(|_| Batch::new(plan.format)).collect();
        Self { plan, random, pods, batches, scrape: 0, pod: 0, ready: VecDeque::new() }
    }

    /// Replaces a share of the pods by new ones.
    fn replace(&mut self) {
        let count = (self.pods.len() as f64 * self.plan.churn).round() as usize;
        for _ in 0..count {
            let slot = self.random.random_range(0..self.pods.len());
            self.send(slot);
            let (service, series) = (self.pods[slot].pod.service, self.pods[slot].values.len());
            self.pods[slot] = Instance::new(service, series, &self.plan, &mut self.random);
        }
    }

    /// Sends what is held of a pod, when its batch is full.
    fn send(&mut self, pod: usize) {
        let lane = pod % self.plan.lanes;
        let batch = &mut self.batches[lane];
        batch.push(&mut self.pods[pod]);
        if batch.samples() >= self.plan.batch {
            self.ready.push_back(batch.take(lane));
        }
    }

    fn step(&mut self) {
        let at_ms = self.plan.stretch.start_ms + self.scrape * self.plan.interval_ms;
        let pod = &mut self.pods[self.pod];
        pod.step(self.plan.interval_ms as f64 / 1e3, &mut self.random);
        let late_ms = self.random.random_range(0..JITTER_MS);
        if self.plan.format == Format::Otlp {
            self.batches[self.pod % self.plan.lanes].push_otlp(pod, at_ms + pod.offset_ms + late_ms);
        } else {
            pod.held.add(&pod.values, at_ms + pod.offset_ms + late_ms);
        }
        if pod.held.turn.is_multiple_of(self.plan.scrapes) {
            self.send(self.pod);
        }
        self.pod += 1;
        if self.pod == self.pods.len() {
            self.pod = 0;
            self.scrape += 1;
            let since_ms = self.scrape * self.plan.interval_ms;
            if since_ms % self.plan.churn_interval_ms < self.plan.interval_ms {
                self.replace();
            }
        }
    }
}

impl Source for MetricsSource {
    fn next(&mut self) -> Option<Request> {
        let scrapes = self.plan.stretch.length_ms() / self.plan.interval_ms;
        while self.ready.is_empty() && self.scrape < scrapes {
            self.step();
        }
        if self.ready.is_empty() {
            (0..self.pods.len()).for_each(|pod| self.send(pod));
        }
        if self.ready.is_empty() {
            let rest = self.batches.iter_mut().enumerate().filter(|(_, batch)| batch.samples() > 0);
            self.ready.extend(rest.map(|(lane, batch)| batch.take(lane)));
        }
        self.ready.pop_front()
    }
}
