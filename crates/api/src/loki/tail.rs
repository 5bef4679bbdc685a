//! `GET /loki/api/v1/tail`: the lines of a query as they come, over a WebSocket.
//!
//! The tail asks the engine again and again for a short time before now, and tells what it has not told. The engine notes what
//! comes later than that ([`query::late`]), so that the tail asks for it too: a line is told when it comes, however old it is.
//! Whoever reads slower than lines come is told which were left out. A tail asks the gateway before each look, so that it ends when its caller's token does.
//!
//! Source: "Loki HTTP API" 3, "Stream logs".

mod told;

mod late;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ::query::late::{Follower, Moment, stream_hash};
use ::query::{Direction, LogRequest, LogStream, LogValue, QueryError, is_log_query};
use axum::extract::{Request, State};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use model::tenant::Access;
use model::time::NS_PER_S;
use model::{TenantContext, TenantId};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Loki;
use super::encode::write_tail;
use super::params::TailQuestion;
use super::query::wants_categories;
use super::websocket::{self, Closing, Said};
use crate::bounds::{MAX_TAIL_FRAME_LINES, MAX_TAIL_TIME, MAX_TAILS};
use crate::error::ApiError;
use crate::json::written;
use crate::parameters::Asked;
use crate::plain_error::PlainError;
use told::Told;

/// How far back a look goes: what comes later than that is asked for by itself.
const OVERLAP_NS: i64 = 30 * NS_PER_S;
/// How often one look asks for lines that have come late.
const MAX_LATE_LOOKS: usize = 8;
/// The pause between two looks that found all there was.
const PAUSE: Duration = Duration::from_secs(1);
/// A tail that is so far behind leaves lines out.
const MAX_LAG_NS: i64 = 60 * NS_PER_S;
/// Lines that are named when they are left out.
const MAX_DROPPED: usize = 100;
/// How long a client may take to read what it is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Looks without a line after which a client is asked whether it is there.
const QUIET_LOOKS: u32 = 15;
/// What clients have said and nobody has looked at yet.
const MAX_SAID: usize = 8;

/// The tails that are open.
#[derive(Debug, Default)]
pub(super) struct Tails(Mutex<HashMap<TenantId, usize>>);

/// One of them, while it is open.
struct Open {
    tails: Arc<Tails>,
    tenant: TenantId,
}

impl Tails {
    fn open(self: &Arc<Self>, context: &TenantContext) -> Result<Open, ApiError> {
        let mut tails = self.0.lock();
        let all: usize = tails.values().sum();
        let own = tails.get(context.tenant()).copied().unwrap_or(0);
        let most = context.limits().logs.max_tails.unwrap_or(MAX_TAILS);
        if own >= most {
            let message = format!(
                "max concurrent tail requests limit exceeded, count > limit ({} > {most}): close one, or have \
                 max_concurrent_tail_requests raised",
                own + 1
            );
            return Err(QueryError::Limited(message).into());
        }
        if all >= MAX_TAILS {
            return Err(QueryError::Limited("too many tails of all tenants are open".to_owned()).into());
        }
        *tails.entry(context.tenant().clone()).or_default() += 1;
        Ok(Open { tails: Arc::clone(self), tenant: context.tenant().clone() })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut tails = self.tails.0.lock();
        if let Some(count) = tails.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                tails.remove(&self.tenant);
            }
        }
    }
}

/// `GET /loki/api/v1/tail`.
pub(super) async fn tail(State(door): State<Loki>, mut request: Request) -> Result<Response, PlainError> {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let access = request.extensions().get::<Access>().cloned();
    let asked = Asked::read(request).await?;
    if asked.context.is_several() {
        return Err(ApiError::Request("multiple org IDs present: a tail is of one tenant".into()).into());
    }
    let question = TailQuestion::read(&asked.parameters, door.clock.now().0)?;
    // What is wrong with the query is said before the connection changes.
    let formatted = ::query::format_logql(&question.query)?;
    if !is_log_query(&formatted) {
        let message = "only log queries can be tailed: leave the aggregation out";
        return Err(ApiError::Request(message.into()).into());
    }
    let (Some(upgrade), Some(access)) = (upgrade, access) else {
        return Err(
            ApiError::Request("this is a WebSocket: ask to upgrade to it, with HTTP/1.1".into()).into()
        );
    };
    let response = match websocket::accept(&asked.headers) {
        Ok(response) => response,
        Err(refused) => return Ok(axum::response::IntoResponse::into_response(refused)),
    };
    let open = door.tails.open(&asked.context)?;
    let tail = Tail {
        is_categorized: wants_categories(&asked.headers),
        limit: asked.context.limits().logs.max_query_entries.min(MAX_TAIL_FRAME_LINES),
        told: Told::default(),
        covered_ns: i64::MIN,
        follower: door.engine.late_lines().follow(asked.context.tenant()),
        door,
        access,
        question,
        _open: open,
    };
    tokio::spawn(async move {
        // Whoever asks and does not go on after the answer has no tail.
        if let Ok(upgraded) = upgrade.await {
            tail.run(TokioIo::new(upgraded)).await;
        }
    });
    Ok(response)
}

/// A tail, while it is open.
struct Tail {
    door: Loki,
    access: Access,
    question: TailQuestion,
    /// Whether each line tells its structured metadata and its parsed labels apart.
    is_categorized: bool,
    /// Lines of one look.
    limit: usize,
    told: Told,
    /// Everything that came in time is told up to here.
    covered_ns: i64,
    /// What comes late.
    follower: Follower,
    _open: Open,
}

/// What ends a tail.
enum End {
    /// The connection broke off, or its reader reads nothing.
    Gone,
    /// There is a reason that the client is told.
    Closed(Closing, String),
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<ApiError> for End {
    fn from(error: ApiError) -> Self {
        let closing = match error {
            ApiError::Refused(_) => Closing::Policy,
            _ => Closing::Internal,
        };
        Self::Closed(closing, error.to_string())
    }
}

impl Tail {
    async fn run(mut self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (says, mut said) = mpsc::channel(MAX_SAID);
        // It ends with this function, when the set is dropped.
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            loop {
                let one = websocket::read(&mut reader).await.unwrap_or(Said::Over(Closing::Normal));
                let is_over = matches!(one, Said::Over(_));
                if says.send(one).await.is_err() || is_over {
                    return;
                }
            }
        });
        let stop = self.door.stop.clone();
        let end = tokio::select! {
            end = self.follow(&mut writer, &mut said) => end,
            () = tokio::time::sleep(MAX_TAIL_TIME) => {
                End::Closed(Closing::Normal, "the tail has been open for as long as it may".to_owned())
            }
            () = stop.cancelled() => End::Closed(Closing::GoingAway, "the server ends".to_owned()),
        };
        if let End::Closed(closing, reason) = end {
            // Who has gone already needs no goodbye.
            let _gone =
                tokio::time::timeout(WRITE_TIMEOUT, websocket::close(&mut writer, closing, &reason)).await;
        }
    }

    /// Tells what is there and what comes, until somebody ends it.
    async fn follow(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        said: &mut mpsc::Receiver<Said>,
    ) -> End {
        let Err(end) = self.try_follow(writer, said).await;
        end
    }

    async fn try_follow(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        said: &mut mpsc::Receiver<Said>,
    ) -> Result<std::convert::Infallible, End> {
        let past = self.past().await?;
        self.send(writer, past, Vec::new()).await?;
        let mut quiet = 0;
        loop {
            let (lines, is_all) = self.look().await?;
            quiet = if lines.is_empty() { quiet + 1 } else { 0 };
            let dropped = if is_all { Vec::new() } else { self.catch_up().await? };
            self.send(writer, lines, dropped).await?;
            if quiet >= QUIET_LOOKS {
                quiet = 0;
                in_time(websocket::ping(writer)).await?;
            }
            let pause = tokio::time::sleep(if is_all { PAUSE } else { Duration::ZERO });
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    one = said.recv() => match one {
                        Some(Said::Ping(payload)) => in_time(websocket::pong(writer, &payload)).await?,
                        Some(Said::Other) => {}
                        Some(Said::Over(closing)) => return Err(End::Closed(closing, String::new())),
                        None => return Err(End::Gone),
                    },
                }
            }
        }
    }

    /// The moment up to which is looked, which is left out.
    fn until_ns(&self) -> i64 {
        self.door.clock.now().0.saturating_sub(self.question.delay_ns).saturating_add(1)
    }

    async fn lines(
        &self,
        (start_ns, end_ns): (i64, i64),
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<LogStream>, ApiError> {
        // Asked anew each time: what was allowed a moment ago may not be now.
        let context = self.access.context(None)?;
        let request = LogRequest { start_ns, end_ns, step_ns: None, limit, direction, timeout_ns: None };
        let answer = self.door.engine.logql(&context, &self.question.query, request).await?;
        match answer.value {
            LogValue::Streams(streams) => Ok(streams),
            _ => Err(ApiError::Internal("a query of lines gave something else".into())),
        }
    }

    /// The last lines before the tail began, from the start that was asked for.
    async fn past(&mut self) -> Result<Vec<LogStream>, End> {
        let until_ns = self.until_ns();
        let _nothing = self.follower.ask(until_ns);
        let limit = self.question.limit.min(self.limit);
        let range = (self.question.start_ns.min(until_ns), until_ns);
        let mut lines = self.lines(range, limit, Direction::Backward).await?;
        for stream in &mut lines {
            stream.entries.sort_by_key(|entry| entry.timestamp_ns);
        }
        let count: usize = lines.iter().map(|stream| stream.entries.len()).sum();
        let oldest_ns = lines.iter().flat_map(|stream| &stream.entries).map(|entry| entry.timestamp_ns).min();
        // What was there and is not among the last ones is not told later as if it had come.
        let floor_ns = if count >= limit { oldest_ns.unwrap_or(until_ns) } else { range.0 };
        self.told.begin(floor_ns);
        self.told.note(&mut lines, self.limit / 2);
        self.covered_ns = until_ns;
        Ok(lines)
    }

    /// The lines that were not told yet, and whether these are all.
    async fn look(&mut self) -> Result<(Vec<LogStream>, bool), End> {
        let until_ns = self.until_ns();
        self.told.forget_before(self.covered_ns.saturating_sub(OVERLAP_NS));
        let mut late = self.follower.ask(until_ns);
        // What is of the time that is looked at is found there.
        let _found_there = late.split_off(&(self.told.floor_ns(), 0));
        let range = (self.told.floor_ns().min(until_ns), until_ns);
        let mut lines = self.lines(range, self.limit, Direction::Forward).await?;
        let is_all = lines.iter().map(|stream| stream.entries.len()).sum::<usize>() < self.limit;
        self.told.note(&mut lines, self.limit / 2);
        self.covered_ns = if is_all { until_ns } else { self.told.newest_ns() };
        self.follower.found(lines.iter().flat_map(|stream| {
            let hash = stream_hash(stream.labels.as_bytes());
            stream.entries.iter().map(move |entry| (entry.timestamp_ns, hash))
        }));
        lines.extend(self.late(late).await?);
        Ok((lines, is_all))
    }

    /// The lines that have come late; what is too much for one look is for the next one.
    async fn late(&self, mut moments: BTreeSet<Moment>) -> Result<Vec<LogStream>, End> {
        let mut all = Vec::new();
        for _ in 0..MAX_LATE_LOOKS {
            let Some(range) = late::first_range(&moments) else { break };
            let mut lines = self.lines(range, self.limit, Direction::Forward).await?;
            let times = lines.iter().flat_map(|stream| &stream.entries).map(|entry| entry.timestamp_ns);
            let is_all = times.clone().count() < self.limit;
            let newest_ns = times.max().filter(|_| !is_all);
            let rest = moments.split_off(&(newest_ns.map_or(range.1, |ns| ns.saturating_add(1)), 0));
            late::keep(&mut lines, &moments);
            all.extend(lines);
            moments = rest;
        }
        self.follower.note_again(moments);
        Ok(all)
    }

    /// Leaves lines out where the tail is too far behind; gives some of them.
    async fn catch_up(&mut self) -> Result<Vec<LogStream>, End> {
        let (until_ns, newest_ns) = (self.until_ns(), self.told.newest_ns());
        if until_ns.saturating_sub(newest_ns) <= MAX_LAG_NS {
            return Ok(Vec::new());
        }
        let from_ns = until_ns.saturating_sub(OVERLAP_NS);
        let range = (newest_ns.saturating_add(1), from_ns);
        let dropped = self.lines(range, MAX_DROPPED.min(self.limit), Direction::Forward).await?;
        self.told.begin(from_ns);
        self.covered_ns = from_ns;
        // What of it has come late is left out too.
        let _left_out = self.follower.ask(until_ns);
        Ok(dropped)
    }

    async fn send(
        &self,
        writer: &mut (impl AsyncWrite + Unpin),
        lines: Vec<LogStream>,
        dropped: Vec<LogStream>,
    ) -> Result<(), End> {
        if lines.is_empty() && dropped.is_empty() {
            return Ok(());
        }
        let text = written(|json| write_tail(json, lines, &dropped, self.is_categorized));
        in_time(websocket::send(writer, &text)).await
    }
}

/// Gives a reader some time.
async fn in_time(sending: impl Future<Output = std::io::Result<()>>) -> Result<(), End> {
    match tokio::time::timeout(WRITE_TIMEOUT, sending).await {
        Ok(sent) => Ok(sent?),
        Err(_) => Err(End::Gone),
    }
}
