//! Types, helps and units of metric families that remote write 1.0 sends apart from the samples.
//!
//! Senders repeat them every minute, so that what is forgotten here comes back: the memory is bounded, does not
//! outlive the process, and is no store.

use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use model::TenantId;
use model::metric::{MetricType, SeriesInfo};
use wire::remote_write::v1::Family;

use crate::bounds::{MAX_FAMILIES_PER_TENANT, MAX_FAMILY_BYTES};

/// Suffixes of the series that a family has besides one of its own name.
const SUFFIXES: [&str; 5] = ["_bucket", "_sum", "_count", "_total", "_created"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Facts {
    metric_type: MetricType,
    unit: String,
    help: String,
}

impl Facts {
    fn info(&self) -> SeriesInfo<'_> {
        SeriesInfo { metric_type: self.metric_type, unit: &self.unit, help: &self.help }
    }
}

/// What is known of one tenant's families at one moment; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<HashMap<String, Facts>>);

impl Known {
    /// What is known of the family that a series belongs to, by the metric's name.
    pub(crate) fn info(&self, metric_name: &str) -> SeriesInfo<'_> {
        let exact = self.0.get(metric_name);
        let stem = || SUFFIXES.iter().find_map(|s| self.0.get(metric_name.strip_suffix(s)?));
        exact.or_else(stem).map(Facts::info).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Memory {
    tenants: HashMap<TenantId, Known>,
    bytes: usize,
}

/// The families of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Families(Mutex<Memory>);

impl Families {
    /// Takes what a request tells, and gives all that is known of the tenant's families.
    pub(crate) fn learn(&self, tenant: &TenantId, told: &[Family<'_>]) -> Known {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_empty() {
            return memory.tenants.get(tenant).cloned().unwrap_or_default();
        }
        let added = told.iter().map(size).sum::<usize>();
        if memory.bytes + added > MAX_FAMILY_BYTES {
            *memory = Memory::default();
        }
        let mut grown = 0;
        let known = memory.tenants.entry(tenant.clone()).or_default();
        let families = Arc::make_mut(&mut known.0);
        for of in told.iter().filter(|of| size(of) <= MAX_FAMILY_BYTES / 1024) {
            let metric_type = MetricType::from_u8(u8::try_from(of.r#type).unwrap_or(0));
            let facts = Facts { metric_type, unit: of.unit.to_owned(), help: of.help.to_owned() };
            let is_full = families.len() >= MAX_FAMILIES_PER_TENANT;
            match families.get_mut(of.name) {
                Some(have) if *have == facts => {}
                Some(have) => {
                    grown += size(of);
                    *have = facts;
                }
                None if is_full => {}
                None => {
                    grown += size(of);
                    families.insert(of.name.to_owned(), facts);
                }
            }
        }
        let known = known.clone();
        memory.bytes += grown;
        known
    }
}

fn size(of: &Family<'_>) -> usize {
    of.name.len() + of.help.len() + of.unit.len() + size_of::<(String, Facts)>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn told<'a>(name: &'a str, r#type: i32, help: &'a str) -> Family<'a> {
        Family { r#type, name, help, unit: "s" }
    }

    #[test]
    fn series_find_their_family() {
        let families = Families::default();
        let (a, b) = (TenantId::parse("a").unwrap(), TenantId::parse("b").unwrap());
        families.learn(&a, &[told("latency", 3, "how long"), told("hits_total", 1, "how many")]);
        let known = families.learn(&a, &[]);
        let table = [
            ("latency", MetricType::Histogram),
            ("latency_bucket", MetricType::Histogram),
            ("latency_count", MetricType::Histogram),
            ("hits_total", MetricType::Counter),
            ("hits", MetricType::Unknown),
            ("other_bucket", MetricType::Unknown),
        ];
        for (name, want) in table {
            assert_eq!(known.info(name).metric_type, want, "{name}");
        }
        assert_eq!(families.learn(&b, &[]).info("latency").metric_type, MetricType::Unknown);
    }

    #[test]
    fn memory_is_bounded() {
        let families = Families::default();
        let tenant = TenantId::parse("a").unwrap();
        let help = "h".repeat(MAX_FAMILY_BYTES / 2048);
        for i in 0..5_000 {
            families.learn(&tenant, &[told(&format!("m{i}"), 1, &help)]);
        }
        let memory = families.0.lock().unwrap();
        assert!(memory.bytes <= MAX_FAMILY_BYTES);
        assert!(memory.tenants[&tenant].0.len() < 5_000);
    }
}
