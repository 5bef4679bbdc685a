//! One override file: whose entries it has, what each sets, and everything in it that has no effect.
//!
//! Of Tempo's two formats a file may be in either.

use std::collections::{BTreeMap, BTreeSet};

use model::tenant::OWN_TENANT;
use model::{Limits, TenantId};

use super::keys::{Key, Keys, Slot};
use crate::config::yaml::{self, Entry, Node, Problem, Value};

/// The entry that holds for every tenant whose own does not say otherwise.
pub(super) const EVERYONE: &str = "*";

/// A file that can be applied.
#[derive(Clone, Default)]
pub(super) struct File {
    everyone: Vec<Setting>,
    tenants: BTreeMap<TenantId, Vec<Setting>>,
    /// What has no effect, by its lines.
    pub(super) warnings: Vec<Warning>,
}

/// Something that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Warning {
    /// Whether the key is one that the originals know.
    pub(super) is_known: bool,
    /// What it is, and why.
    pub(super) problem: Problem,
}

/// A limit that an entry sets.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) key: &'static Key,
    pub(super) line: u64,
    is_further: bool,
    of_everyone: bool,
    node: Node,
}

impl File {
    /// Reads the text of a file; an empty one sets nothing.
    ///
    /// # Errors
    /// Everything that is wrong with it: no YAML, another shape, names that are no tenant's, values that cannot be.
    pub(super) fn parse(keys: &'static Keys, text: &str) -> Result<Self, Vec<Problem>> {
        match Self::read(keys, text) {
            (file, problems) if problems.is_empty() => Ok(file),
            (_, problems) => Err(problems),
        }
    }

    /// The same; what is good of it with everything that is wrong.
    pub(super) fn read(keys: &'static Keys, text: &str) -> (Self, Vec<Problem>) {
        let root = match yaml::parse(text) {
            Ok(root) => root,
            Err(problem) => return (Self::default(), vec![problem]),
        };
        let mut reading =
            Reading { keys, file: Self::default(), problems: Vec::new(), formats: BTreeSet::new() };
        match &root.value {
            Value::Null => {}
            Value::Map(entries) => entries.iter().for_each(|entry| reading.top(entry)),
            _ => reading
                .problems
                .push(Problem::new(root.line, "a file of overrides is a map with `overrides`")),
        }
        if reading.formats.len() > 1 {
            let message =
                "the file mixes Tempo's two formats, with sections and without: Tempo itself refuses it";
            let problem = Problem::new(root.line, message);
            reading.file.warnings.push(Warning { is_known: true, problem });
        }
        reading.file.warnings.sort_by_key(|warning| warning.problem.line);
        (reading.file, reading.problems)
    }

    /// The tenants that have an entry of their own.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.tenants.keys()
    }

    /// What holds for a tenant, in the order in which it is set: what is later replaces what is before.
    pub(super) fn settings(&self, tenant: Option<&TenantId>) -> impl Iterator<Item = &Setting> {
        let own = tenant.and_then(|tenant| self.tenants.get(tenant));
        let is_servers = tenant.is_some_and(|tenant| tenant.as_str() == OWN_TENANT);
        let everyone = if is_servers { &[] } else { self.everyone.as_slice() };
        everyone.iter().chain(own.into_iter().flatten())
    }
}

impl Setting {
    /// Sets the limit; the value was tried when the file was read.
    pub(super) fn apply(&self, limits: &mut Limits) {
        let slot = &self.key.slot;
        if let Slot::KeepRules(signal) = slot {
            let before = std::mem::take(limits.keep_rules.of_mut(*signal));
            let tried = slot.set(limits, &self.node);
            debug_assert!(tried.is_ok(), "values are tried when a file is read");
            let rules = limits.keep_rules.of_mut(*signal);
            rules.iter_mut().for_each(|rule| rule.of_everyone = self.of_everyone);
            // What is of everyone stands behind a tenant's own.
            rules.extend(before.into_iter().filter(|rule| rule.of_everyone && !self.of_everyone));
            return;
        }
        let tried =
            if self.is_further { slot.tighten(limits, &self.node) } else { slot.set(limits, &self.node) };
        debug_assert!(tried.is_ok(), "values are tried when a file is read");
    }
}

/// The one section that Tempo's format without sections has too.
const IN_BOTH_FORMATS: &str = "cost_attribution";

/// A file while it is read.
struct Reading {
    keys: &'static Keys,
    file: File,
    problems: Vec<Problem>,
    /// Whether keys were in sections.
    formats: BTreeSet<bool>,
}

impl Reading {
    fn top(&mut self, entry: &Entry) {
        match (entry.key.as_str(), &entry.node.value) {
            ("overrides", Value::Null) => {}
            ("overrides", Value::Map(tenants)) => tenants.iter().for_each(|tenant| self.tenant(tenant)),
            ("overrides", _) => {
                self.problems.push(Problem::new(entry.line, "`overrides` is a map of tenants"));
            }
            ("configs" | "multi_kv_config", _) => {
                self.warn(entry, true, "runtime configuration of other parts than limits has no effect here");
            }
            _ => self.warn(entry, false, "unknown key, limits stand below overrides and a tenant's name"),
        }
    }

    fn tenant(&mut self, entry: &Entry) {
        let tenant = match entry.key.as_str() {
            EVERYONE => None,
            name => match TenantId::parse(name) {
                Ok(tenant) => Some(tenant),
                Err(error) => {
                    self.problems.push(Problem::new(entry.line, format!("{name:?} is no tenant: {error}")));
                    return;
                }
            },
        };
        let mut settings = Vec::new();
        match &entry.node.value {
            Value::Null => {}
            Value::Map(entries) => entries.iter().for_each(|entry| self.key("", entry, &mut settings)),
            _ => {
                let message = format!("what is below {:?} is no map of limits", entry.key);
                self.problems.push(Problem::new(entry.line, message));
            }
        }
        // Not in the order of the file: some keys say how others are meant.
        let place = |setting: &Setting| self.keys.set.iter().position(|key| std::ptr::eq(key, setting.key));
        settings.sort_by_key(|setting| (place(setting), setting.is_further));
        match tenant {
            None => {
                settings.iter_mut().for_each(|setting| setting.of_everyone = true);
                self.file.everyone = settings;
            }
            Some(tenant) => {
                self.file.tenants.insert(tenant, settings);
            }
        }
    }

    fn key(&mut self, section: &str, entry: &Entry, settings: &mut Vec<Setting>) {
        let name = if section.is_empty() { entry.key.clone() } else { format!("{section}.{}", entry.key) };
        if section.is_empty() && self.keys.sections.contains(&name.as_str()) {
            if name != IN_BOTH_FORMATS {
                self.formats.insert(true);
            }
            match &entry.node.value {
                Value::Null => {}
                Value::Map(entries) => entries.iter().for_each(|below| self.key(&name, below, settings)),
                _ => self
                    .problems
                    .push(Problem::new(entry.line, format!("`{name}` is a section with keys below"))),
            }
            return;
        }
        if let Some(key) = self.keys.key(&name) {
            if key.flat.is_some() {
                self.formats.insert(!section.is_empty());
            }
            match key.slot.set(&mut Limits::default(), &entry.node) {
                Ok(()) => settings.push(Setting {
                    key,
                    line: entry.line,
                    is_further: key.is_further(&name),
                    of_everyone: false,
                    node: entry.node.clone(),
                }),
                Err(message) => self.problems.push(Problem::new(entry.line, format!("{name}: {message}"))),
            }
        } else if let Some(why) = self.keys.without(&name) {
            self.warn(entry, true, &format!("`{name}` has no effect: {why}"));
        } else {
            self.warn(entry, false, &format!("unknown key `{name}`"));
        }
    }

    fn warn(&mut self, entry: &Entry, is_known: bool, message: &str) {
        let message =
            if message.contains('`') { message.to_owned() } else { format!("`{}`: {message}", entry.key) };
        self.file.warnings.push(Warning { is_known, problem: Problem::new(entry.line, message) });
    }
}

#[cfg(test)]
mod tests;
