//! The keys of the three override files: which limit each sets, how it is written, and which of the originals' keys mean
//! nothing here.

pub(super) mod metrics;

pub(super) mod logs;

pub(super) mod traces;

use std::sync::Arc;

use model::limits::{DeletionMode, MAX_ACTIVE};
use model::time::NS_PER_S;
use model::{Limits, Signal};

use super::retention_stream;
use super::spellings::{count, duration, flag, megabytes, size, spell_duration, spell_size, text};
use crate::config::yaml::Node;

/// A key that sets a limit.
pub(super) struct Key {
    /// Its name in the file; those below a section are joined to it by a dot.
    pub(super) name: &'static str,
    /// Its name in a file of Tempo's earlier, flat format.
    pub(super) flat: Option<&'static str>,
    /// Names of a further limit of the same: of the two the lower one holds, and `0` is none.
    pub(super) further: &'static [&'static str],
    /// What it sets.
    pub(super) slot: Slot,
    /// What it means, in a few words, with its unit.
    pub(super) about: &'static str,
}

/// What a key sets, and how its value is written.
pub(super) enum Slot {
    /// A size; `0` is no limit.
    Bytes(fn(&mut Limits) -> &mut usize),
    /// A size; `0` is no limit.
    MaxBytes(fn(&mut Limits) -> &mut Option<u64>),
    /// Bytes a second or at once, as a number of megabytes.
    Megabytes(fn(&mut Limits) -> &mut Option<u64>),
    /// Bytes a second or at once, as a size.
    RateBytes(fn(&mut Limits) -> &mut Option<u64>),
    /// Items a second or at once.
    RateItems(fn(&mut Limits) -> &mut Option<u64>),
    /// A number; `0` is no limit.
    Count(fn(&mut Limits) -> &mut usize),
    /// A number; `0` is no limit.
    MaxCount(fn(&mut Limits) -> &mut Option<usize>),
    /// A number of things that are remembered; `0` is no limit.
    MaxActive(fn(&mut Limits) -> &mut Option<u64>),
    /// A duration.
    Duration(fn(&mut Limits) -> &mut i64),
    /// A duration that is not zero.
    Time(fn(&mut Limits) -> &mut i64),
    /// A duration; `0` is no limit.
    MaxDuration(fn(&mut Limits) -> &mut Option<i64>),
    /// Selectors with periods of their own.
    KeepRules(Signal),
    /// Whether old items are rejected; their age has a key of its own.
    RejectOld(Signal),
    /// `true` or `false`.
    Flag(fn(&mut Limits) -> &mut bool),
    /// How deletions on request are done: `disabled`, or one of the two ways to do them, which are the same here.
    Deletions(fn(&mut Limits) -> &mut DeletionMode),
    /// Text.
    Text(fn(&mut Limits) -> &mut Arc<str>),
}

/// The age of items that are rejected where a file says that old ones are, and not how old (Loki's own default).
const OLD_NS: i64 = 7 * 86_400 * NS_PER_S;

/// Keys of the originals that mean nothing here, and why.
pub(super) struct Without {
    /// Their names, or how they begin where they end with a star.
    pub(super) names: &'static [&'static str],
    /// What is so instead.
    pub(super) why: &'static str,
}

/// The keys of one file.
pub(super) struct Keys {
    /// The file's name.
    pub(super) file: &'static str,
    /// Whose limits they are.
    pub(super) signal: Signal,
    /// Sections that have keys below them.
    pub(super) sections: &'static [&'static str],
    /// Those that set limits, in the order in which they are set.
    pub(super) set: &'static [Key],
    /// Those that mean nothing here.
    pub(super) without: &'static [Without],
}

/// The three files.
pub(super) const FILES: [&Keys; 3] = [&metrics::KEYS, &logs::KEYS, &traces::KEYS];

impl Keys {
    /// The key that sets a limit, by its name in the newer or the flat format.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.set.iter().find(|key| key.name == name || key.flat == Some(name) || key.is_further(name))
    }

    /// Why a key of the originals means nothing here; none where it is no key of theirs.
    pub(super) fn without(&self, name: &str) -> Option<&'static str> {
        let is_named = |known: &str| match known.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => known == name,
        };
        let without = self.without.iter().find(|without| without.names.iter().any(|known| is_named(known)));
        without.map(|without| without.why)
    }
}

impl Key {
    /// Whether a name is that of a further limit.
    pub(super) fn is_further(&self, name: &str) -> bool {
        self.further.contains(&name)
    }
}

/// What no number is above, where there is no limit.
const ANY: usize = usize::MAX;

/// Zero is no limit.
fn limit<N: Default + PartialEq>(number: N) -> Option<N> {
    (number != N::default()).then_some(number)
}

impl Slot {
    /// Sets the limit.
    ///
    /// # Errors
    /// When the value is not one of the key's kind.
    pub(super) fn set(&self, limits: &mut Limits, node: &Node) -> Result<(), String> {
        let usize_of = |number: u64| usize::try_from(number).map_err(|_| format!("{number} is too large"));
        match self {
            Slot::Bytes(slot) => *slot(limits) = limit(usize_of(size(node)?)?).unwrap_or(ANY),
            Slot::MaxBytes(slot) => *slot(limits) = limit(size(node)?),
            Slot::Megabytes(slot) => *slot(limits) = Some(megabytes(node)?),
            Slot::RateBytes(slot) => *slot(limits) = Some(size(node)?),
            Slot::RateItems(slot) => *slot(limits) = Some(count(node)?),
            Slot::Count(slot) => *slot(limits) = limit(usize_of(count(node)?)?).unwrap_or(ANY),
            Slot::MaxCount(slot) => *slot(limits) = limit(usize_of(count(node)?)?),
            Slot::MaxActive(slot) => {
                let most = count(node)?;
                if most > MAX_ACTIVE {
                    return Err(format!("{most} is too large: at most {MAX_ACTIVE}, or 0 for no limit"));
                }
                *slot(limits) = limit(most);
            }
            Slot::Duration(slot) => *slot(limits) = duration(node)?,
            Slot::Time(slot) => {
                *slot(limits) =
                    limit(duration(node)?).ok_or("it cannot be zero: nothing would ever be done")?;
            }
            Slot::MaxDuration(slot) => *slot(limits) = limit(duration(node)?),
            Slot::RejectOld(signal) => {
                let older = &mut limits.intake_mut(*signal).reject_older_than_ns;
                *older = if flag(node)? { older.or(Some(OLD_NS)) } else { None };
            }
            Slot::KeepRules(signal) => {
                *limits.keep_rules.of_mut(*signal) = retention_stream::rules(*signal, node)?;
            }
            Slot::Flag(slot) => *slot(limits) = flag(node)?,
            Slot::Deletions(slot) => {
                let text = text(node)?;
                let mode = DeletionMode::ALL.into_iter().find(|mode| mode.as_str() == text);
                *slot(limits) = mode
                    .ok_or_else(|| format!("{text:?} is none of disabled, filter-only, filter-and-delete"))?;
            }
            Slot::Text(slot) => *slot(limits) = text(node)?.into(),
        }
        Ok(())
    }

    /// Sets a further limit: it holds where it is lower than what there is.
    ///
    /// # Errors
    /// When the value is not one of the key's kind.
    pub(super) fn tighten(&self, limits: &mut Limits, node: &Node) -> Result<(), String> {
        let mut alone = limits.clone();
        self.set(&mut alone, node)?;
        if let Slot::MaxActive(slot) | Slot::MaxBytes(slot) = self {
            let lower = (*slot(&mut alone)).into_iter().chain(*slot(limits)).min();
            *slot(limits) = lower;
            return Ok(());
        }
        *limits = alone;
        Ok(())
    }

    /// The limit as the file spells it.
    pub(super) fn spell(&self, limits: &Limits) -> String {
        // What gives the place of a limit gives it to be changed.
        let mut limits = limits.clone();
        let limits = &mut limits;
        let none = || "none".to_owned();
        match self {
            Slot::Bytes(slot) if *slot(limits) == ANY => none(),
            Slot::Bytes(slot) => spell_size(*slot(limits) as u64),
            Slot::MaxBytes(slot) | Slot::RateBytes(slot) => slot(limits).map_or_else(none, spell_size),
            Slot::Megabytes(slot) => {
                slot(limits).map_or_else(none, |bytes| (bytes as f64 / f64::from(1 << 20)).to_string())
            }
            Slot::RateItems(slot) | Slot::MaxActive(slot) => {
                slot(limits).map_or_else(none, |count| count.to_string())
            }
            Slot::Count(slot) if *slot(limits) == ANY => none(),
            Slot::Count(slot) => slot(limits).to_string(),
            Slot::MaxCount(slot) => slot(limits).map_or_else(none, |count| count.to_string()),
            Slot::Duration(slot) | Slot::Time(slot) => spell_duration(*slot(limits)),
            Slot::MaxDuration(slot) => slot(limits).map_or_else(none, spell_duration),
            Slot::RejectOld(signal) => limits.intake(*signal).reject_older_than_ns.is_some().to_string(),
            Slot::KeepRules(signal) => retention_stream::spell(limits.keep_rules.of(*signal)),
            Slot::Flag(slot) => slot(limits).to_string(),
            Slot::Deletions(slot) => slot(limits).as_str().to_owned(),
            Slot::Text(slot) => format!("{:?}", slot(limits)),
        }
    }
}

/// A key that is in no section.
const fn key(name: &'static str, slot: Slot, about: &'static str) -> Key {
    Key { name, flat: None, further: &[], slot, about }
}

/// A key with the name of a further limit of the same.
const fn with(further: &'static [&'static str], key: Key) -> Key {
    Key { name: key.name, flat: key.flat, further, slot: key.slot, about: key.about }
}
