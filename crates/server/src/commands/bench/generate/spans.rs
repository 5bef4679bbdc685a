//! One trace: a request that enters at the gateway and goes through the services, with database calls, errors and
//! events.

use rand::Rng;
use rand::rngs::StdRng;
use wire::otlp::common::{AnyValue, KeyValue, any_value};
use wire::otlp::trace::{Span, Status, span, status};

use super::cluster::SERVICES;
use super::metrics_encoding::text;

/// The most spans of a trace.
const MAX_SPANS: usize = 60;
/// A call fails once in so many.
const FAILURE_ONE_IN: u32 = 120;
/// A span has the rare attribute once in so many.
const RARE_ONE_IN: u32 = 5_000;

/// Whom each service calls, by the numbers of [`SERVICES`]; a service calls only those that come later here.
const CALLS: [(usize, &[usize]); 16] = [
    (0, &[1, 16, 17]),
    (1, &[2, 3, 4, 5, 9, 10, 11, 18]),
    (5, &[3, 6, 7, 8, 13, 15]),
    (3, &[4, 8, 17]),
    (9, &[4, 10]),
    (11, &[4, 20]),
    (4, &[6, 21]),
    (10, &[18]),
    (7, &[6, 12, 23]),
    (15, &[13, 14]),
    (12, &[14, 19]),
    (23, &[20, 22]),
    (13, &[18]),
    (16, &[17, 18]),
    (19, &[22]),
    (18, &[]),
];

const ROUTES: [&str; 6] = [
    "/api/v1/items/{id}",
    "/api/v1/cart",
    "/api/v1/orders",
    "/api/v1/users/{id}",
    "/api/v1/search",
    "/healthz",
];
const STATEMENTS: [&str; 5] = [
    "SELECT id, name, price FROM items WHERE id = $1",
    "SELECT * FROM orders WHERE user_id = $1 ORDER BY created_at DESC LIMIT 20",
    "INSERT INTO events (user_id, kind, payload) VALUES ($1, $2, $3)",
    "UPDATE stock SET reserved = reserved + $1 WHERE sku = $2",
    "SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.email = $1",
];

/// A span and the service that it is of.
pub(super) struct Made {
    /// The number of the service in [`SERVICES`].
    pub(super) service: usize,
    /// The span.
    pub(super) span: Span,
}

/// Makes the spans of one trace.
pub(super) struct TraceMaker<'a> {
    trace_id: [u8; 16],
    random: &'a mut StdRng,
    made: Vec<Made>,
}

/// A trace that began at that moment.
pub(super) fn trace(at_ns: i64, random: &mut StdRng) -> ([u8; 16], Vec<Made>) {
    let trace_id = random.random();
    let mut maker = TraceMaker { trace_id, random, made: Vec::with_capacity(MAX_SPANS) };
    maker.serve(0, &[], at_ns);
    (trace_id, maker.made)
}

fn number(name: &str, value: i64) -> KeyValue {
    let value = any_value::Value::IntValue(value);
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

impl TraceMaker<'_> {
    fn is_one_in(&mut self, n: u32) -> bool {
        self.random.random_ratio(1, n)
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        words[self.random.random_range(0..words.len())]
    }

    /// Adds a span and gives its place; its end follows when its children are known.
    fn open(
        &mut self,
        service: usize,
        parent: &[u8],
        kind: span::SpanKind,
        name: String,
        at_ns: i64,
    ) -> usize {
        let span_id: [u8; 8] = self.random.random();
        let span = Span {
            trace_id: self.trace_id.to_vec(),
            span_id: span_id.to_vec(),
            parent_span_id: parent.to_vec(),
            name,
            kind: kind.into(),
            start_time_unix_nano: at_ns as u64,
            ..Span::default()
        };
        self.made.push(Made { service, span });
        self.made.len() - 1
    }

    /// The request at a service, and all that it leads to; gives the moment of its end.
    fn serve(&mut self, service: usize, parent: &[u8], at_ns: i64) -> i64 {
        let route = self.pick(&ROUTES);
        let place = self.open(service, parent, span::SpanKind::Server, format!("GET {route}"), at_ns);
        let id = self.made[place].span.span_id.clone();
        let mut now_ns = at_ns + self.random.random_range(80_000..900_000);
        let mut is_failed = self.is_one_in(FAILURE_ONE_IN);
        if !is_failed {
            if self.random.random_ratio(11, 20) {
                now_ns = self.database(service, &id, now_ns);
            }
            let callees = CALLS.iter().find(|(caller, _)| *caller == service).map_or(&[][..], |(_, c)| c);
            for callee in callees {
                if self.made.len() + 3 < MAX_SPANS && self.random.random_ratio(2, 5) {
                    let (ended_ns, has_failed) = self.call(service, *callee, &id, now_ns);
                    now_ns = ended_ns;
                    is_failed |= has_failed && self.random.random_ratio(1, 2);
                }
            }
        }
        now_ns += self.random.random_range(50_000..2_500_000);
        let status_code = if is_failed { 500 } else { 200 };
        let user = self.random.random_range(10_000..99_999);
        let attributes = &mut self.made[place].span.attributes;
        attributes.push(text("http.request.method", "GET"));
        attributes.push(text("http.route", route));
        attributes.push(text("url.path", &route.replace("{id}", &user.to_string())));
        attributes.push(number("http.response.status_code", status_code));
        attributes.push(text("user.id", &format!("u-{user}")));
        if self.is_one_in(RARE_ONE_IN) {
            self.made[place].span.attributes.push(text("feature.flag", "canary-7"));
        }
        self.close(place, now_ns, is_failed);
        now_ns
    }

    /// A call of another service: the caller's span, and the callee's below it.
    fn call(&mut self, caller: usize, callee: usize, parent: &[u8], at_ns: i64) -> (i64, bool) {
        let (name, _) = SERVICES[callee];
        let place = self.open(caller, parent, span::SpanKind::Client, format!("call {name}"), at_ns);
        let id = self.made[place].span.span_id.clone();
        let below = self.made.len();
        let way_ns = self.random.random_range(40_000..300_000);
        let now_ns = self.serve(callee, &id, at_ns + way_ns) + way_ns;
        let has_failed = self.made[below].span.status.as_ref().is_some_and(|s| s.code == 2);
        let attributes = &mut self.made[place].span.attributes;
        attributes.push(text("peer.service", name));
        attributes.push(text("server.address", &format!("{name}.{}.svc", SERVICES[callee].1)));
        attributes.push(number("server.port", 8_080));
        attributes.push(text("http.request.method", "GET"));
        self.close(place, now_ns, has_failed);
        (now_ns, has_failed)
    }

    /// A call of the service's database.
    fn database(&mut self, service: usize, parent: &[u8], at_ns: i64) -> i64 {
        let statement = self.pick(&STATEMENTS);
        let verb = statement.split(' ').next().unwrap_or_default();
        let place = self.open(service, parent, span::SpanKind::Client, format!("{verb} postgres"), at_ns);
        let slow = if self.is_one_in(100) { 80_000_000 } else { 0 };
        let now_ns = at_ns + slow + self.random.random_range(150_000..4_000_000);
        let rows = self.random.random_range(0..40);
        let attributes = &mut self.made[place].span.attributes;
        attributes.push(text("db.system", "postgresql"));
        attributes.push(text("db.name", SERVICES[service].0));
        attributes.push(text("db.statement", statement));
        attributes.push(number("db.rows", rows));
        self.close(place, now_ns, false);
        now_ns
    }

    /// Sets the end, and what an error leaves behind.
    fn close(&mut self, place: usize, end_ns: i64, is_failed: bool) {
        let span = &mut self.made[place].span;
        span.end_time_unix_nano = end_ns as u64;
        if !is_failed {
            return;
        }
        let message = "deadline exceeded while waiting for upstream";
        span.status = Some(Status { message: message.to_owned(), code: status::StatusCode::Error.into() });
        span.events.push(span::Event {
            time_unix_nano: end_ns as u64,
            name: "exception".to_owned(),
            attributes: vec![
                text("exception.type", "java.util.concurrent.TimeoutException"),
                text("exception.message", message),
            ],
            ..span::Event::default()
        });
    }
}
