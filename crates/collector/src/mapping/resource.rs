//! A resource's attributes as labels: identity, promoted labels, and `target_info`.

use std::collections::BTreeMap;

use model::Labels;
use model::labels::METRIC_NAME;
use wire::otlp::common::KeyValue;

use super::attributes;
use super::names;
use crate::settings::{OtlpMetricsSettings, TranslationStrategy};

const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

/// Whether an attribute says who the resource is: every series carries it.
pub(crate) fn is_identifying(key: &str) -> bool {
    IDENTIFYING.contains(&key)
}

/// What every series of a resource carries, and what its `target_info` does.
#[derive(Debug, Default)]
pub(crate) struct ResourceLabels {
    /// `job` and `instance`, as far as the resource tells them.
    pub(crate) identity: Vec<(String, String)>,
    /// The attributes that settings promote to labels.
    pub(crate) promoted: Vec<(String, String)>,
    target: Vec<(String, String)>,
}

impl ResourceLabels {
    pub(crate) fn new(attributes: &[KeyValue], settings: &OtlpMetricsSettings) -> Self {
        let strategy = settings.translation_strategy;
        let is_promoted = |pair: &&KeyValue| match settings.promote_all_resource_attributes {
            true => !settings.ignore_resource_attributes.contains(&pair.key),
            false => settings.promote_resource_attributes.contains(&pair.key),
        };
        let remains =
            |pair: &&KeyValue| settings.keep_identifying_resource_attributes || !is_identifying(&pair.key);
        Self {
            identity: identity(attributes),
            promoted: joined(attributes.iter().filter(is_promoted), strategy).collect(),
            target: joined(attributes.iter().filter(remains), strategy).collect(),
        }
    }

    /// The labels of `target_info`; none where the resource has no identity, or nothing else.
    pub(crate) fn target_info(&self) -> Option<Labels> {
        if self.identity.is_empty() || self.target.is_empty() {
            return None;
        }
        let pairs = self.target.iter().chain(&self.identity).map(|(n, v)| (n.as_str(), v.as_str()));
        Some(Labels::from_pairs(pairs.chain([(METRIC_NAME, "target_info")])))
    }
}

fn identity(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |key| {
        let pair = attributes.iter().find(|pair| pair.key == key)?;
        Some(attributes::text(pair.value.as_ref()).into_owned()).filter(|text| !text.is_empty())
    };
    let job = text("service.name").map(|name| match text("service.namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name,
    });
    let named = [("job", job), ("instance", text("service.instance.id"))];
    named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Attributes as labels. Where two names become one, the values are joined with `;` in the order of the keys.
pub(crate) fn joined<'a>(
    attributes: impl IntoIterator<Item = &'a KeyValue>,
    strategy: TranslationStrategy,
) -> impl Iterator<Item = (String, String)> {
    let mut sorted: Vec<&KeyValue> = attributes.into_iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for pair in sorted.into_iter().filter(|pair| !pair.key.is_empty()) {
        let text = attributes::text(pair.value.as_ref());
        let name = names::attribute_label(&pair.key, strategy).into_owned();
        labels
            .entry(name)
            .and_modify(|value| {
                value.push(';');
                value.push_str(&text);
            })
            .or_insert_with(|| text.into_owned());
    }
    labels.into_iter()
}
