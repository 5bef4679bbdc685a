//! An object store that several nodes share: requests are slow, overtake each other, are refused, lose their replies, or
//! are carried out after the client gave up. It watches over the promises that can be seen from here: no manifest names
//! what is not there, nothing is deleted that a manifest names or a reader may still use.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use storage::manifest::Manifest;

use super::machine::{Life, Machine, WORLD, ms};
use super::world::GRACE_MS;

/// How ill the store is: requests of a thousand that meet each fate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) refused: u64,
    /// Carried out, and the reply is lost.
    pub(crate) reply_lost: u64,
    /// Given up by the client, and carried out some seconds later.
    pub(crate) late: u64,
    pub(crate) slow: u64,
    /// Whether what is slow takes a good part of the sweep's grace, which must be longer than any one request.
    pub(crate) is_crawling: bool,
}

/// How often a request that is held looks whether it was let go.
const HELD_MS: u64 = 100;

#[derive(Debug, Default)]
struct State {
    weather: Weather,
    /// Requests until the life ends at one.
    calls_left: BTreeMap<Life, u64>,
    /// Requests that wait: whose, a part of what they ask, and how long.
    held: Option<(Life, &'static str, u64)>,
    /// By tenant and signal, the versions that are there.
    manifests: BTreeMap<String, BTreeMap<u64, Manifest>>,
    /// Since when no manifest names a segment, of those that the newest one does not name.
    unnamed_ns: BTreeMap<(String, String), u64>,
    counts: Counts,
}

/// What the store was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Requests that met a fault.
    pub(crate) faults: u64,
    /// Manifest versions made.
    pub(crate) commits: u64,
    /// Objects deleted.
    pub(crate) deleted: u64,
}

/// The store; clones share it.
#[derive(Clone)]
pub(crate) struct SharedStore {
    machine: Machine,
    objects: Arc<InMemory>,
    state: Arc<Mutex<State>>,
    grace_ns: u64,
}

impl fmt::Debug for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedStore")
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    Slow,
    Refused,
    ReplyLost,
    Late,
}

impl SharedStore {
    pub(crate) fn new(machine: &Machine, grace_ms: u64) -> Self {
        let objects = Arc::new(InMemory::new());
        Self { machine: machine.clone(), objects, state: Arc::default(), grace_ns: ms(grace_ms) }
    }

    /// The store as a life sees it.
    pub(crate) fn of(&self, life: Life) -> Arc<dyn ObjectStore> {
        Arc::new(LifeStore { store: self.clone(), life })
    }

    /// Lets the life end at its n-th request from now.
    pub(crate) fn end_after(&self, life: Life, calls: u64) {
        self.state.lock().calls_left.insert(life, calls);
    }

    /// Lets all lives go on.
    pub(crate) fn end_none(&self) {
        self.state.lock().calls_left.clear();
    }

    /// Lets requests of a life wait whose description has a part, or several with `*` between them, for so long or until
    /// they are let go.
    pub(crate) fn hold(&self, life: Life, part: &'static str, ns: u64) {
        let until_ns = self.machine.now_ns().saturating_add(ns);
        self.state.lock().held = Some((life, part, until_ns));
    }

    /// Lets go what was held.
    pub(crate) fn let_go(&self) {
        self.state.lock().held = None;
    }

    /// Sets the sweep's grace, for lives that begin later.
    pub(crate) fn set_grace(&mut self, grace_ms: u64) {
        self.grace_ns = ms(grace_ms);
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.state.lock().weather = weather;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    /// All objects below the prefix.
    pub(crate) fn objects(&self, prefix: &str) -> Vec<ObjectMeta> {
        let list = self.objects.list(Some(&Path::from(prefix))).try_collect::<Vec<_>>();
        list.now_or_never().expect("memory answers at once").unwrap()
    }

    /// The newest manifests.
    pub(crate) fn newest(&self) -> Vec<(String, Manifest)> {
        let state = self.state.lock();
        let newest = |versions: &BTreeMap<u64, Manifest>| Some(versions.last_key_value()?.1.clone());
        state.manifests.iter().filter_map(|(key, versions)| Some((key.clone(), newest(versions)?))).collect()
    }

    /// Objects of segments that no manifest has named for so long.
    pub(crate) fn unnamed_for(&self, ns: u64) -> Vec<Path> {
        let objects = self.objects("tenants").into_iter().map(|meta| meta.location);
        let state = self.state.lock();
        let is_old = |location: &Path| {
            let since_ns = state.unnamed_ns.get(&key(location));
            since_ns.is_some_and(|since_ns| self.machine.now_ns() - since_ns > ns)
        };
        objects.filter(|location| location.as_ref().contains("/segments/") && is_old(location)).collect()
    }

    fn fate(&self) -> Fate {
        let weather = self.state.lock().weather;
        let fates = [
            (weather.refused, Fate::Refused),
            (weather.reply_lost, Fate::ReplyLost),
            (weather.late, Fate::Late),
            (weather.slow, Fate::Slow),
        ];
        let mut roll = self.machine.below(1_000);
        for (permille, fate) in fates {
            if roll < permille {
                return fate;
            }
            roll -= permille;
        }
        Fate::Done
    }

    fn put(&self, location: &Path, payload: &PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = self.objects.put_opts(location, payload.clone(), options);
        let result = put.now_or_never().expect("memory answers at once");
        if result.is_ok() && location.as_ref().contains("/manifest/") {
            self.watch_manifest(location, payload);
        } else if result.is_ok() {
            // No manifest names it yet; a sweep may have seen it since its first file.
            self.state.lock().unnamed_ns.entry(key(location)).or_insert(self.machine.now_ns());
        }
        result
    }

    fn delete(&self, location: &Path) -> Result<Path> {
        self.watch_delete(location);
        let locations = futures::stream::iter([Ok(location.clone())]).boxed();
        let deleted = self.objects.delete_stream(locations).next().now_or_never();
        deleted.flatten().expect("memory answers at once")
    }

    fn size(&self, location: &Path) -> Option<u64> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let got = self.objects.get_opts(location, options).now_or_never()?;
        Some(got.ok()?.meta.size)
    }

    /// A manifest names what is there, and no position goes back.
    fn watch_manifest(&self, location: &Path, payload: &PutPayload) {
        let bytes: Vec<u8> = payload.iter().flat_map(|bytes| bytes.iter().copied()).collect();
        let manifest: Manifest = match serde_json::from_slice(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => return self.machine.fail(format!("{location} is no manifest: {error}")),
        };
        let key = partition(location);
        let mut state = self.state.lock();
        state.counts.commits += 1;
        let versions = state.manifests.entry(key.clone()).or_default();
        if versions.last_key_value().is_some_and(|(newest, _)| *newest > manifest.version) {
            // A request that came late fills a gap that was swept: nobody looks at it.
            versions.insert(manifest.version, manifest);
            return;
        }
        let before = versions.last_key_value().map(|(_, before)| before.clone());
        versions.insert(manifest.version, manifest.clone());
        let now_ns = self.machine.now_ns();
        if let Some(before) = &before {
            if manifest.version != before.version + 1 {
                self.machine.fail(format!("{location} leaves out a version after {}", before.version));
            }
            for (node, position) in &before.flushed {
                if manifest.flushed.get(node) < Some(position) {
                    self.machine.fail(format!("{location}: the position of {node} goes back"));
                }
            }
            let gone = before.segments.iter().filter(|old| manifest.segments.iter().all(|s| s.id != old.id));
            state.unnamed_ns.extend(gone.map(|segment| ((key.clone(), segment.id.clone()), now_ns)));
        }
        for segment in &manifest.segments {
            state.unnamed_ns.remove(&(key.clone(), segment.id.clone()));
        }
        drop(state);
        for segment in &manifest.segments {
            for part in &segment.parts {
                let name = if part.name.is_empty() { String::new() } else { format!(".{}", part.name) };
                let object = format!("{key}/segments/{}/{}{name}.parquet", segment.day, segment.id);
                if self.size(&Path::from(object.as_str())) != Some(part.bytes) {
                    self.machine.fail(format!("{location} names {object}, which is not there"));
                }
            }
        }
    }

    /// Nothing goes that the newest manifest names, or that a reader of the one before may still use.
    fn watch_delete(&self, location: &Path) {
        let mut state = self.state.lock();
        state.counts.deleted += 1;
        let versions = state.manifests.entry(partition(location)).or_default();
        if location.as_ref().contains("/manifest/") {
            let version = location.filename().and_then(|name| name.strip_suffix(".json")?.parse().ok());
            let newest = versions.last_key_value().map(|(newest, _)| *newest);
            if version.is_none() || version == newest {
                self.machine.fail(format!("{location} is deleted, the newest manifest"));
            }
            version.map(|version: u64| versions.remove(&version));
            return;
        }
        let id = segment_id(location);
        if versions.values().last().is_some_and(|newest| newest.segments.iter().any(|s| s.id == id)) {
            self.machine.fail(format!("{location} is deleted while a manifest names it"));
        }
        let unnamed_ns = state.unnamed_ns.get(&key(location)).copied();
        if unnamed_ns.is_some_and(|since| self.machine.now_ns() - since < self.grace_ns) {
            self.machine.fail(format!("{location} is deleted while readers may use it"));
        }
    }
}

/// The segment of a path.
fn segment_id(location: &Path) -> String {
    location.filename().and_then(|name| name.split('.').next()).unwrap_or_default().to_owned()
}

/// What a segment is known by: two lives of a node may give the same id, to different tenants.
fn key(location: &Path) -> (String, String) {
    (partition(location), segment_id(location))
}

/// The tenant's signal of a path.
fn partition(location: &Path) -> String {
    location.as_ref().split('/').take(3).collect::<Vec<_>>().join("/")
}

/// Whether a text has all parts that stand between `*`, one after the other.
fn has_parts(text: &str, parts: &str) -> bool {
    let mut rest = Some(text);
    parts.split('*').all(|part| {
        rest = rest.and_then(|text| text.split_once(part)).map(|(_, rest)| rest);
        rest.is_some()
    })
}

fn failure() -> Error {
    Error::Generic { store: "simulated", source: "no answer".into() }
}

/// The store in the hands of one life.
#[derive(Clone, Debug)]
struct LifeStore {
    store: SharedStore,
    life: Life,
}

impl fmt::Display for LifeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated store")
    }
}

impl LifeStore {
    async fn request<T: Send + 'static>(
        &self,
        what: String,
        apply: impl FnOnce(&SharedStore) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let machine = &self.store.machine;
        machine.yield_some().await;
        let is_last = {
            let mut state = self.store.state.lock();
            state.counts.requests += 1;
            match state.calls_left.get_mut(&self.life) {
                Some(0) => true,
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => false,
            }
        };
        if is_last {
            let is_applied = machine.permille(500);
            machine.note(&format_args!("store {} {what}: the last request, applied={is_applied}", self.life));
            machine.fall(self.life);
            if is_applied {
                let _nobody_hears = apply(&self.store);
            }
            return std::future::pending().await;
        }
        let is_held = || {
            let held = self.store.state.lock().held;
            held.is_some_and(|(life, part, until_ns)| {
                life == self.life && has_parts(&what, part) && machine.now_ns() < until_ns
            })
        };
        while is_held() {
            machine.sleep(ms(HELD_MS)).await;
        }
        let fate = self.store.fate();
        let slow_ms = if self.store.state.lock().weather.is_crawling { GRACE_MS / 10 } else { 3_000 };
        if !matches!(fate, Fate::Done | Fate::Slow) {
            self.store.state.lock().counts.faults += 1;
        }
        if fate == Fate::Slow || (fate != Fate::Done && machine.permille(300)) {
            machine.sleep(machine.below(ms(slow_ms))).await;
        }
        machine.note(&format_args!("store {} {what}: {fate:?}", self.life));
        let result = match fate {
            Fate::Done | Fate::Slow => apply(&self.store),
            Fate::Refused => Err(failure()),
            Fate::ReplyLost => apply(&self.store).and_then(|_| Err(failure())),
            Fate::Late => {
                let (store, delay) = (self.store.clone(), machine.below(ms(5_000)));
                let late = async move {
                    store.machine.sleep(delay).await;
                    let done = apply(&store).is_ok();
                    store.machine.note(&format_args!("store late {what}: done={done}"));
                };
                machine.spawn(WORLD, Box::pin(late));
                Err(failure())
            }
        };
        if fate == Fate::Slow {
            machine.sleep(machine.below(ms(slow_ms))).await;
        } else {
            machine.yield_some().await;
        }
        result
    }
}

#[async_trait]
impl ObjectStore for LifeStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let what = format!("put {location} {}", payload.content_length());
        let location = location.clone();
        self.request(what, move |store| store.put(&location, &payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = Upload { store: self.clone(), location: location.clone(), parts: Arc::default() };
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let location = location.clone();
        self.request(format!("get {location} {:?}", options.range), move |store| {
            let got = store.objects.get_opts(&location, options);
            got.now_or_never().expect("memory answers at once")
        })
        .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Result<Path>| {
            let store = store.clone();
            async move {
                let location = location?;
                store.request(format!("delete {location}"), move |store| store.delete(&location)).await
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let list = async move {
            let what = format!("list {prefix:?}");
            let list = move |store: &SharedStore| {
                let found = store.objects.list(prefix.as_ref()).try_collect::<Vec<_>>();
                found.now_or_never().expect("memory answers at once")
            };
            let mut found: Vec<Result<ObjectMeta>> =
                store.request(what, list).await?.into_iter().map(Ok).collect();
            // A listing comes in pages, and any of them can fail.
            let weather = store.store.state.lock().weather;
            if store.store.machine.permille(weather.refused / 2) {
                let half = found.len() / 2;
                found.truncate(half);
                found.push(Err(failure()));
            }
            Ok::<_, Error>(futures::stream::iter(found))
        };
        futures::stream::once(list).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned();
        self.request(format!("list folders of {prefix:?}"), move |store| {
            let list = store.objects.list_with_delimiter(prefix.as_ref());
            list.now_or_never().expect("memory answers at once")
        })
        .await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.request(format!("copy {from} to {to}"), move |store| {
            let copy = store.objects.copy_opts(&from, &to, options);
            copy.now_or_never().expect("memory answers at once")
        })
        .await
    }
}

/// An upload in parts: nothing of it can be seen before it is complete.
#[derive(Debug)]
struct Upload {
    store: LifeStore,
    location: Path,
    parts: Arc<Mutex<BTreeMap<usize, PutPayload>>>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, payload: PutPayload) -> object_store::UploadPart {
        let (store, parts) = (self.store.clone(), Arc::clone(&self.parts));
        let mut taken = parts.lock();
        let number = taken.len();
        taken.insert(number, PutPayload::default());
        drop(taken);
        let what = format!("put part {number} of {} {}", self.location, payload.content_length());
        async move {
            store
                .request(what, move |_| {
                    parts.lock().insert(number, payload);
                    Ok(())
                })
                .await
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (location, parts) = (self.location.clone(), Arc::clone(&self.parts));
        self.store
            .request(format!("complete {location}"), move |store| {
                let parts = parts.lock();
                let all: PutPayload = parts.values().flat_map(|part| part.iter().cloned()).collect();
                store.put(&location, &all, PutOptions::default())
            })
            .await
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }
}
