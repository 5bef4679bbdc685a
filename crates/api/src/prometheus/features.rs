//! `features`: what this server can do, so that clients need not try.

use axum::extract::State;
use axum::response::Response;
use query::{Features, functions};

use super::Prometheus;
use super::envelope::write_success;
use crate::json::{Json, written};
use crate::reply;

/// `GET /api/v1/features`: groups of features, each with whether it is enabled. Asks for no tenant.
pub(crate) async fn features(State(door): State<Prometheus>) -> Response {
    let (enabled, lifecycle) = (door.engine.features(), door.status.lifecycle);
    reply::json(written(|json| {
        write_success(json, &[], &[], |json| write_features(json, enabled, lifecycle));
    }))
}

fn write_features(json: &mut Json, enabled: Features, lifecycle: bool) {
    let api = [
        ("lifecycle", lifecycle),
        ("remote_write_receiver", true),
        ("otlp_write_receiver", true),
        ("label_values_match", true),
        ("time_range_labels", true),
        ("time_range_series", true),
        ("query_stats", true),
        ("query_warnings", true),
    ];
    let language = [
        ("anchored", enabled.extended_ranges),
        ("at_modifier", true),
        ("bool", true),
        ("by", true),
        ("delayed_name_removal", enabled.delayed_names),
        ("duration_expr", true),
        ("fill", enabled.fill_modifiers),
        ("fill_left", enabled.fill_modifiers),
        ("fill_right", enabled.fill_modifiers),
        ("group_left", true),
        ("group_right", true),
        ("ignoring", true),
        ("negative_offset", true),
        ("offset", true),
        ("on", true),
        ("per_query_lookback_delta", true),
        ("smoothed", enabled.extended_ranges),
        ("subqueries", true),
        ("utf8_names", true),
        ("without", true),
    ];
    let operators = [
        "!=", "%", "*", "+", "-", "/", "<", "</", "<=", "==", ">", ">/", ">=", "^", "and", "atan2", "or",
        "unless",
    ];
    let aggregations = query::ast::AggregateOp::ALL.map(|op| {
        use query::ast::AggregateOp::{LimitRatio, Limitk};
        (op.as_str(), enabled.experimental_functions || !matches!(op, Limitk | LimitRatio))
    });
    let calls =
        functions().iter().map(|one| (one.name, enabled.experimental_functions || !one.is_experimental));
    json.raw("{\"api\":");
    write_group(json, api);
    json.raw(",\"promql\":");
    write_group(json, language);
    json.raw(",\"promql_functions\":");
    write_group(json, calls);
    json.raw(",\"promql_operators\":");
    write_group(json, operators.map(|one| (one, true)).into_iter().chain(aggregations));
    json.raw("}");
}

fn write_group<'a>(json: &mut Json, features: impl IntoIterator<Item = (&'a str, bool)>) {
    json.raw("{");
    for (i, (name, is_enabled)) in features.into_iter().enumerate() {
        if i > 0 {
            json.raw(",");
        }
        json.text(name);
        json.raw(":");
        json.plain(is_enabled);
    }
    json.raw("}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experimental_words_are_known_and_not_enabled() {
        let of = |enabled| -> serde_json::Value {
            serde_json::from_slice(&written(|json| write_features(json, enabled, false))).unwrap()
        };
        let (default, all) = (of(Features::default()), of(Features::ALL));
        for (group, name) in [
            ("promql", "anchored"),
            ("promql", "fill"),
            ("promql_functions", "info"),
            ("promql_operators", "limitk"),
        ] {
            assert_eq!((&default[group][name], &all[group][name]), (&false.into(), &true.into()), "{name}");
        }
        assert_eq!(default["promql_functions"]["rate"], true);
        assert_eq!(default["promql_operators"]["sum"], true);
    }
}
