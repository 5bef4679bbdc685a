//! Log lines as services write them: JSON, logfmt, access logs and stack traces, about 250 bytes each, with ids in them
//! that hardly ever come again.

use std::fmt::Write;

use rand::Rng;
use rand::rngs::StdRng;

/// Traces that lines are written for at the same time.
const OPEN_TRACES: usize = 64;
/// A trace has about so many lines.
const LINES_PER_TRACE: u32 = 4;

/// How a service writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// An object a line.
    Json,
    /// `name=value` pairs.
    Logfmt,
    /// The combined format of web servers, with times and a trace id at its end.
    Access,
    /// Text with a level and a class, stack traces after errors.
    Text,
}

impl Style {
    /// The style of a service, by its number.
    pub(super) const fn of(service: usize) -> Self {
        match service {
            0 | 1 => Self::Access,
            n if n % 4 == 3 => Self::Text,
            n if n % 2 == 0 => Self::Json,
            _ => Self::Logfmt,
        }
    }
}

/// A line's level, with OpenTelemetry's severity number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) word: &'static str,
    pub(super) number: i32,
}

const DEBUG: Level = Level { word: "debug", number: 5 };
const INFO: Level = Level { word: "info", number: 9 };
const WARN: Level = Level { word: "warn", number: 13 };
const ERROR: Level = Level { word: "error", number: 17 };

const PATHS: [&str; 8] =
    ["items", "cart", "orders", "users", "sessions", "search/suggest", "prices/current", "media/thumbnails"];
const MESSAGES: [&str; 8] = [
    "request handled",
    "order accepted for processing",
    "cache entry refreshed from origin",
    "session renewed",
    "stock level checked against the warehouse",
    "price list applied",
    "message published to the queue",
    "background job finished",
];
const FAILURES: [&str; 6] = [
    "connection to upstream timed out after 3 attempts",
    "deadline exceeded while waiting for the database pool",
    "payment provider answered 502 bad gateway",
    "could not acquire lock on the reservation",
    "message was rejected: schema version is not known",
    "disk quota exceeded while writing the thumbnail",
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15",
    "okhttp/5.1.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
];

/// Writes lines; remembers which traces are under way.
#[derive(Debug)]
pub(super) struct LineWriter {
    traces: Vec<[u8; 16]>,
}

/// A line and what is known of it beside its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) level: Level,
    pub(super) trace_id: [u8; 16],
}

/// What every style tells of a request.
struct Facts {
    time: String,
    level: Level,
    message: &'static str,
    trace: String,
    user: u32,
    path: &'static str,
    item: u32,
    status: u16,
    duration_ms: f64,
    bytes: u32,
}

impl LineWriter {
    pub(super) fn new(random: &mut StdRng) -> Self {
        Self { traces: (0..OPEN_TRACES).map(|_| random.random()).collect() }
    }

    /// A line that a service wrote at that moment.
    pub(super) fn line(&mut self, service: &str, style: Style, at_ns: i64, random: &mut StdRng) -> Line {
        let slot = random.random_range(0..OPEN_TRACES);
        if random.random_ratio(1, LINES_PER_TRACE) {
            self.traces[slot] = random.random();
        }
        let trace_id = self.traces[slot];
        let level = match random.random_range(0..100) {
            0..4 => ERROR,
            4..10 => WARN,
            10..20 => DEBUG,
            _ => INFO,
        };
        let facts = Facts {
            time: jiff::Timestamp::from_nanosecond(i128::from(at_ns))
                .map_or_else(|_| at_ns.to_string(), |time| format!("{time:.6}")),
            level,
            message: pick(if level == ERROR { &FAILURES } else { &MESSAGES }, random),
            trace: hex::encode(trace_id),
            user: random.random_range(10_000..99_999),
            path: pick(&PATHS, random),
            item: random.random_range(1..500_000),
            status: if level == ERROR { 500 } else { pick(&[200, 200, 200, 201, 204, 304, 404], random) },
            duration_ms: 2.0 + 60.0 * random.random::<f64>().powi(3),
            bytes: random.random_range(180..64_000),
        };
        let mut text = String::with_capacity(320);
        let written = match style {
            Style::Json => json(&mut text, service, &facts, random),
            Style::Logfmt => logfmt(&mut text, service, &facts, random),
            Style::Access => access(&mut text, &facts, random),
            Style::Text => plain(&mut text, service, &facts, random),
        };
        written.expect("text is written to memory");
        Line { text, level, trace_id }
    }
}

fn pick<T: Copy>(items: &[T], random: &mut StdRng) -> T {
    items[random.random_range(0..items.len())]
}

fn json(out: &mut String, service: &str, facts: &Facts, random: &mut StdRng) -> std::fmt::Result {
    let Facts { time, level, message, trace, user, path, item, status, duration_ms, bytes } = facts;
    let request: u64 = random.random();
    write!(
        out,
        "{{\"ts\":\"{time}\",\"level\":\"{}\",\"logger\":\"{service}.http\",\"msg\":\"{message}\",\
         \"trace_id\":\"{trace}\",\"request_id\":\"{request:016x}\",\"user_id\":{user},\
         \"path\":\"/api/v1/{path}/{item}\",\"status\":{status},\"duration_ms\":{duration_ms:.3},\"bytes\":{bytes}}}",
        level.word
    )
}

fn logfmt(out: &mut String, service: &str, facts: &Facts, random: &mut StdRng) -> std::fmt::Result {
    let Facts { time, level, message, trace, user, path, item, status, duration_ms, bytes } = facts;
    let request: u64 = random.random();
    write!(
        out,
        "ts={time} level={} caller={service}/handler.go:{} msg=\"{message}\" trace_id={trace} \
         request_id={request:016x} user=u-{user} path=/api/v1/{path}/{item} status={status} \
         duration={duration_ms:.3}ms bytes={bytes}",
        level.word,
        random.random_range(40..400)
    )
}

fn access(out: &mut String, facts: &Facts, random: &mut StdRng) -> std::fmt::Result {
    let Facts { time, trace, user, path, item, status, duration_ms, bytes, .. } = facts;
    let [a, b, c]: [u8; 3] = random.random();
    let agent = pick(&AGENTS, random);
    write!(
        out,
        "10.{a}.{b}.{c} - u{user} [{time}] \"GET /api/v1/{path}/{item}?page={} HTTP/1.1\" {status} {bytes} \
         \"https://shop.example/{path}\" \"{agent}\" rt={:.3} trace={trace}",
        random.random_range(1..9),
        duration_ms / 1e3
    )
}

fn plain(out: &mut String, service: &str, facts: &Facts, random: &mut StdRng) -> std::fmt::Result {
    let Facts { time, level, message, trace, user, item, duration_ms, .. } = facts;
    let thread = random.random_range(1..17);
    write!(
        out,
        "{time} {:5} [pool-2-thread-{thread}] com.example.{service}.RequestProcessor - {message} for user {user} \
         [order {item}, took {duration_ms:.1} ms, trace_id={trace}, correlation={:016x}]",
        level.word.to_uppercase(),
        random.random::<u64>()
    )?;
    if *level == ERROR {
        write!(
            out,
            "\njava.lang.IllegalStateException: {message}\n\
             \tat com.example.{service}.RequestProcessor.process(RequestProcessor.java:{})\n\
             \tat com.example.{service}.Worker.run(Worker.java:{})\n\
             \tat java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:1144)\n\
             \tat java.base/java.lang.Thread.run(Thread.java:1583)",
            random.random_range(80..300),
            random.random_range(20..90)
        )?;
    }
    Ok(())
}
