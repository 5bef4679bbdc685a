//! Holds: rows that may not go, neither by retention nor by a deletion. They stand in the manifests, so that whoever takes
//! something out of one sees them in the same transaction.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{Matcher, Signal, TenantContext, TenantId, TimeRange};

use crate::bounds::{INCIDENT_SHOWN_NS, MAX_ENDED_INCIDENTS, MAX_HOLDS, MAX_REQUEST_BYTES};
use crate::error::StorageError;
use crate::manifest::commit::Change;
use crate::manifest::keeping::{Condition, Hold, HoldKind};
use crate::partition::PartitionId;
use crate::storage::Storage;

/// What is to be held of a tenant.
#[derive(Clone, Debug)]
pub struct HoldRequest {
    /// What for.
    pub kind: HoldKind,
    /// Of which signals.
    pub signals: Vec<Signal>,
    /// Rows whose labels or attributes meet all of these; all where there are none.
    pub matchers: Vec<Matcher>,
    /// The time of the rows, both ends included.
    pub range: TimeRange,
    /// Why.
    pub reason: String,
    /// Who asks.
    pub actor: String,
    /// When it ends by itself, in nanoseconds since the epoch; none for never.
    pub until_ns: Option<i64>,
    /// What else there is to be said of it, by name.
    pub notes: BTreeMap<String, String>,
}

/// A hold, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSignals {
    /// The hold.
    pub hold: Hold,
    /// Of which signals.
    pub signals: Vec<Signal>,
}

/// Takes out what has ended, but for the last incidents.
fn forget(holds: &mut Vec<Hold>, now_ns: i64) {
    let is_shown = |hold: &Hold| {
        let until_ns = hold.until_ns.unwrap_or(i64::MAX);
        hold.kind == HoldKind::Incident && now_ns.saturating_sub(until_ns) < INCIDENT_SHOWN_NS
    };
    holds.retain(|hold| hold.is_active(now_ns) || is_shown(hold));
    let ended = holds.iter().filter(|hold| !hold.is_active(now_ns)).count();
    let mut too_many = ended.saturating_sub(MAX_ENDED_INCIDENTS);
    holds.retain(|hold| {
        let goes = too_many > 0 && !hold.is_active(now_ns);
        too_many -= usize::from(goes);
        !goes
    });
}

impl Storage {
    /// Holds rows of a tenant. What is in the store when it returns stays, and can be read however old it is.
    ///
    /// # Errors
    /// [`StorageError::Request`] for one that makes no sense, [`StorageError::Limited`] when there are too many, and the
    /// store's: then some signals may be held already, and asking again makes another hold.
    pub async fn hold(&self, ctx: &TenantContext, request: &HoldRequest) -> Result<Hold, StorageError> {
        let bytes = request.matchers.iter().map(|m| m.name.len() + m.value.len()).sum::<usize>();
        let notes = request.notes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if bytes + notes + request.reason.len() + request.actor.len() > MAX_REQUEST_BYTES {
            return Err(StorageError::Request(
                "the selector, the reason or what else is said of the hold is too long".to_owned(),
            ));
        }
        if request.signals.is_empty() || request.range.end_ns < request.range.start_ns {
            return Err(StorageError::Request("the hold holds nothing".to_owned()));
        }
        let engine = &self.engine;
        let now_ns = engine.clock().now().0;
        let hold = Hold {
            id: engine.ids.next(engine.clock()),
            kind: request.kind,
            conditions: request.matchers.iter().map(Condition::of).collect(),
            start_ns: request.range.start_ns,
            end_ns: request.range.end_ns,
            reason: request.reason.clone(),
            actor: request.actor.clone(),
            since_ns: now_ns,
            until_ns: request.until_ns,
            notes: request.notes.clone(),
        };
        for signal in &request.signals {
            let partition = engine
                .tenants
                .get_or_create(&PartitionId { tenant: ctx.tenant().clone(), signal: *signal })?;
            let _turn = partition.turn().await?;
            let manifest = engine
                .commit_in_turn(&partition, &|manifest| {
                    forget(&mut manifest.holds, now_ns);
                    let is_there = manifest.holds.iter().any(|other| other.id == hold.id);
                    let is_alike = |other: &&Hold| other.kind == hold.kind && other.is_active(now_ns);
                    if is_there || manifest.holds.iter().filter(is_alike).count() >= MAX_HOLDS {
                        return Change::Nothing;
                    }
                    manifest.holds.push(hold.clone());
                    Change::Changed
                })
                .await?;
            if !manifest.holds.iter().any(|other| other.id == hold.id) {
                let message = format!("too many holds: at most {MAX_HOLDS}, release some");
                return Err(StorageError::Limited(message));
            }
        }
        Ok(hold)
    }

    /// The holds of a tenant that have not ended, the oldest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn holds(&self, ctx: &TenantContext) -> Result<Vec<HeldSignals>, StorageError> {
        let now_ns = self.engine.clock().now().0;
        for signal in Signal::ALL {
            if let Some(partition) = self.engine.tenants.get(ctx.tenant(), signal) {
                self.engine.catch_up(&partition).await?;
            }
        }
        Ok(self.known_holds(ctx.tenant(), |hold| hold.is_active(now_ns)))
    }

    /// The incidents of a tenant, as this node knows them: those that have not ended, and the last ones that have, the oldest
    /// first.
    #[must_use]
    pub fn incidents(&self, tenant: &TenantId) -> Vec<HeldSignals> {
        self.known_holds(tenant, |hold| hold.kind == HoldKind::Incident)
    }

    fn known_holds(&self, tenant: &TenantId, is_wanted: impl Fn(&Hold) -> bool) -> Vec<HeldSignals> {
        let mut all: Vec<HeldSignals> = Vec::new();
        for signal in Signal::ALL {
            let Some(partition) = self.engine.tenants.get(tenant, signal) else { continue };
            for hold in partition.manifest().holds.iter().filter(|hold| is_wanted(hold)) {
                match all.iter_mut().find(|known| known.hold.id == hold.id) {
                    Some(known) => known.signals.push(signal),
                    None => all.push(HeldSignals { hold: hold.clone(), signals: vec![signal] }),
                }
            }
        }
        all.sort_by(|a, b| a.hold.id.cmp(&b.hold.id));
        all
    }

    /// Ends an incident, where it has not ended by itself: what it held goes, and it stays named for a while, with what is
    /// said of its end. Says whether nobody had said anything of it before.
    ///
    /// # Errors
    /// The store's: then it may hold some signals still, and can be ended again.
    pub async fn end_incident(
        &self,
        ctx: &TenantContext,
        id: &str,
        said: &BTreeMap<String, String>,
    ) -> Result<bool, StorageError> {
        let now_ns = self.engine.clock().now().0;
        let mut is_first = None;
        for signal in Signal::ALL {
            let Some(partition) = self.engine.tenants.get(ctx.tenant(), signal) else { continue };
            let _turn = partition.turn().await?;
            let is_changed = AtomicBool::new(false);
            self.engine.catch_up(&partition).await?;
            self.engine
                .commit_in_turn(&partition, &|manifest| {
                    let mut holds = manifest.holds.iter_mut();
                    let is_new = |hold: &Hold| said.keys().any(|name| !hold.notes.contains_key(name));
                    let ended = holds.find(|hold| hold.id == id).filter(|hold| {
                        hold.kind == HoldKind::Incident && (hold.is_active(now_ns) || is_new(hold))
                    });
                    is_changed.store(ended.is_some(), Ordering::Relaxed);
                    let Some(hold) = ended else { return Change::Nothing };
                    hold.until_ns = Some(hold.until_ns.map_or(now_ns, |until_ns| until_ns.min(now_ns)));
                    for (name, value) in said {
                        hold.notes.entry(name.clone()).or_insert_with(|| value.clone());
                    }
                    Change::Changed
                })
                .await?;
            is_first.get_or_insert(is_changed.into_inner());
        }
        Ok(is_first.unwrap_or(false))
    }

    /// Lets go of what a hold held; says whether there was one.
    ///
    /// # Errors
    /// The store's: then some signals may be held still, and it can be released again.
    pub async fn release(&self, ctx: &TenantContext, id: &str) -> Result<bool, StorageError> {
        let mut was_held = false;
        for signal in Signal::ALL {
            let Some(partition) = self.engine.tenants.get(ctx.tenant(), signal) else { continue };
            let _turn = partition.turn().await?;
            let manifest = self.engine.catch_up(&partition).await?;
            if !manifest.holds.iter().any(|hold| hold.id == id) {
                continue;
            }
            was_held = true;
            self.engine
                .commit_in_turn(&partition, &|manifest| {
                    let before = manifest.holds.len();
                    manifest.holds.retain(|hold| hold.id != id);
                    if manifest.holds.len() == before { Change::Nothing } else { Change::Changed }
                })
                .await?;
        }
        Ok(was_held)
    }
}
