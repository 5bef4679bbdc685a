//! Traces in the order of time, as bodies of OTLP. Spans lie by service in a request, as a collector sends them; some
//! traces come in two pieces.

use std::collections::VecDeque;

use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wire::otlp::ExportTraceServiceRequest;
use wire::otlp::common::InstrumentationScope;
use wire::otlp::resource::Resource;
use wire::otlp::trace::{ResourceSpans, ScopeSpans, Span};

use super::cluster::{Pod, SERVICES};
use super::metrics_encoding::text;
use super::spans::{Made, trace};
use super::{Request, Source, Stretch, Witness};

/// Spans that a trace has in the mean: how far apart traces begin.
const SPANS_PER_TRACE: u64 = 20;
/// A trace comes in two pieces once in so many.
const SPLIT_ONE_IN: u32 = 10;
/// Traces that are remembered, to be looked for at the end: the first of each so many spans.
const WITNESSES: u64 = 100;

/// How many spans are sent, for which time, and how.
#[derive(Clone, Debug)]
pub(in super::super) struct Plan {
    /// The seed of everything random.
    pub(in super::super) seed: u64,
    /// The stretch of time.
    pub(in super::super) stretch: Stretch,
    /// Spans in all; the last trace is sent whole.
    pub(in super::super) spans: u64,
    /// Spans in a request, about.
    pub(in super::super) batch: usize,
    /// Senders.
    pub(in super::super) lanes: usize,
}

/// The spans of a request that is being filled, by service, and those that wait for the next one.
#[derive(Debug, Default)]
struct Batch {
    services: Vec<Vec<Span>>,
    spans: usize,
    late: Vec<(usize, Span)>,
}

impl Batch {
    fn push(&mut self, service: usize, span: Span) {
        self.services.resize_with(SERVICES.len(), Vec::new);
        self.services[service].push(span);
        self.spans += 1;
    }
}

/// Generates traces.
pub(in super::super) struct TracesSource {
    plan: Plan,
    random: StdRng,
    pods: Vec<Pod>,
    batches: Vec<Batch>,
    made: u64,
    traces: u64,
    witnesses: Vec<Witness>,
    ready: VecDeque<Request>,
}

impl TracesSource {
    /// Prepares the cluster.
    pub(in super::super) fn new(plan: Plan) -> Self {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let pods = (0..SERVICES.len()).map(|service| Pod::new(service, &mut random)).collect();
        let batches = (0..plan.lanes).map(|_| Batch::default()).collect();
        let (witnesses, ready) = (Vec::new(), VecDeque::new());
        Self { plan, random, pods, batches, made: 0, traces: 0, witnesses, ready }
    }

    fn step(&mut self) {
        let total = self.plan.spans.max(SPANS_PER_TRACE);
        let at_ns = self.plan.stretch.moment_ns(self.made.min(total), total);
        let (trace_id, spans) = trace(at_ns, &mut self.random);
        let due = self.witnesses.len() as u64 * self.plan.spans / WITNESSES;
        if self.made >= due {
            let spans = spans.len() as u64;
            self.witnesses.push(Witness { trace_id: hex::encode(trace_id), spans });
        }
        self.made += spans.len() as u64;
        let lane = (self.traces % self.plan.lanes as u64) as usize;
        self.traces += 1;
        let late = self.random.random_ratio(1, SPLIT_ONE_IN).then(|| spans[spans.len() - 1].service);
        let batch = &mut self.batches[lane];
        for Made { service, span } in spans {
            match late {
                Some(late) if late == service => batch.late.push((service, span)),
                _ => batch.push(service, span),
            }
        }
        if batch.spans >= self.plan.batch {
            self.finish(lane);
        }
    }

    fn finish(&mut self, lane: usize) {
        let batch = std::mem::take(&mut self.batches[lane]);
        for (service, span) in batch.late {
            self.batches[lane].push(service, span);
        }
        let resource_spans =
            batch.services.into_iter().zip(&self.pods).filter(|(spans, _)| !spans.is_empty());
        let resource_spans = resource_spans.map(|(spans, pod)| {
            let attributes = [
                ("service.name", pod.service_name()),
                ("service.namespace", pod.namespace()),
                ("service.version", "1.42.0"),
                ("k8s.pod.name", &pod.name),
                ("telemetry.sdk.language", "java"),
            ];
            let attributes = attributes.map(|(name, value)| text(name, value)).to_vec();
            let name = "io.opentelemetry.servlet".to_owned();
            let scope = InstrumentationScope { name, ..InstrumentationScope::default() };
            ResourceSpans {
                resource: Some(Resource { attributes, ..Resource::default() }),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            }
        });
        let request = ExportTraceServiceRequest { resource_spans: resource_spans.collect() };
        let body = request.encode_to_vec().into();
        self.ready.push_back(Request { body, items: batch.spans as u64, lane });
    }
}

impl Source for TracesSource {
    fn next(&mut self) -> Option<Request> {
        while self.ready.is_empty() && self.made < self.plan.spans {
            self.step();
        }
        if self.ready.is_empty() {
            for lane in 0..self.plan.lanes {
                let batch = &mut self.batches[lane];
                if batch.spans == 0 {
                    for (service, span) in std::mem::take(&mut batch.late) {
                        batch.push(service, span);
                    }
                }
                if batch.spans > 0 {
                    self.finish(lane);
                }
            }
        }
        self.ready.pop_front()
    }

    fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }
}
