//! `search/tags` and `search/tag/{tag}/values` in their two versions: what there is to search for.

use std::collections::BTreeSet;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use query::{QueryStats, TagScope, TagValue};

use super::Tempo;
use super::encode::write_inspected;
use super::params::{tag_limit, tag_range, tag_scope};
use super::tag;
use crate::error::ApiError;
use crate::json::Json;
use crate::parameters::Asked;
use crate::plain_error::PlainError;
use crate::reply;

type Scopes = Vec<(TagScope, Vec<String>)>;

/// `GET /api/search/tags`: one list of names.
pub(crate) async fn names(State(door): State<Tempo>, request: Request) -> Result<Response, PlainError> {
    let (scopes, stats) = find_names(&door, request).await?;
    let names: BTreeSet<String> = scopes.into_iter().flat_map(|(_, names)| names).collect();
    let response = reply::json_of(names.len(), move |json| {
        json.raw("{\"tagNames\":");
        json.texts(&names);
        write_end(json, &stats);
    });
    Ok(response.await?)
}

/// `GET /api/v2/search/tags`: a list of names per scope.
pub(crate) async fn names_by_scope(
    State(door): State<Tempo>,
    request: Request,
) -> Result<Response, PlainError> {
    let (scopes, stats) = find_names(&door, request).await?;
    let response = reply::json_of(scopes.iter().map(|(_, names)| names.len()).sum(), move |json| {
        write_scopes(json, &scopes);
        write_end(json, &stats);
    });
    Ok(response.await?)
}

/// `GET /api/search/tag/{tag}/values`: the values as text.
pub(crate) async fn values(
    State(door): State<Tempo>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, PlainError> {
    let Path(name) = name.map_err(|error| ApiError::Request(error.body_text()))?;
    let (values, stats) = find_values(&door, |name| Ok(tag::parse_leniently(name)), &name, request).await?;
    let values: BTreeSet<String> = values.into_iter().map(|value| value.value).collect();
    let response = reply::json_of(values.len(), move |json| {
        json.raw("{\"tagValues\":");
        json.texts(&values);
        write_end(json, &stats);
    });
    Ok(response.await?)
}

/// `GET /api/v2/search/tag/{tag}/values`: the values with their types.
pub(crate) async fn typed_values(
    State(door): State<Tempo>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, PlainError> {
    let Path(name) = name.map_err(|error| ApiError::Request(error.body_text()))?;
    let (values, stats) = find_values(&door, tag::parse, &name, request).await?;
    let response = reply::json_of(values.len(), move |json| {
        write_typed_values(json, &values);
        write_end(json, &stats);
    });
    Ok(response.await?)
}

async fn find_names(door: &Tempo, request: Request) -> Result<(Scopes, QueryStats), ApiError> {
    let asked = Asked::read(request).await?;
    let scope = tag_scope(&asked.parameters)?;
    let range = tag_range(&asked.parameters, door.clock.now().0)?;
    let limit = tag_limit(&asked.parameters)?;
    Ok(door.engine.trace_tag_names(&asked.context, scope, range, limit).await?)
}

async fn find_values(
    door: &Tempo,
    parse: fn(&str) -> Result<query::Tag, String>,
    name: &str,
    request: Request,
) -> Result<(Vec<TagValue>, QueryStats), ApiError> {
    let asked = Asked::read(request).await?;
    let tag = parse(name).map_err(ApiError::Request)?;
    let range = tag_range(&asked.parameters, door.clock.now().0)?;
    let limit = tag_limit(&asked.parameters)?;
    let filter = asked.parameters.get("q");
    Ok(door.engine.trace_tag_values(&asked.context, &tag, filter, range, limit).await?)
}

fn write_scopes(json: &mut Json, scopes: &Scopes) {
    json.raw("{\"scopes\":");
    json.list(scopes, |json, (scope, names)| {
        json.raw("{\"name\":");
        json.text(scope.as_str());
        json.raw(",\"tags\":");
        json.texts(names);
        json.raw("}");
    });
}

fn write_typed_values(json: &mut Json, values: &[TagValue]) {
    json.raw("{\"tagValues\":");
    json.list(values, |json, value| {
        json.text_object([("type", value.kind), ("value", &value.value)]);
    });
}

fn write_end(json: &mut Json, stats: &QueryStats) {
    json.raw(",\"metrics\":");
    write_inspected(json, stats);
    json.raw("}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::written;

    #[test]
    fn names_stand_by_scope_and_values_by_type() {
        let stats = QueryStats { bytes: 7, ..QueryStats::default() };
        let text = |write: &dyn Fn(&mut Json)| {
            let bytes = written(|json| {
                write(json);
                write_end(json, &stats);
            });
            String::from_utf8(bytes).unwrap()
        };
        let scopes = vec![(TagScope::Resource, vec!["service.name".to_owned()]), (TagScope::Span, vec![])];
        assert_eq!(
            text(&|json| write_scopes(json, &scopes)),
            concat!(
                r#"{"scopes":[{"name":"resource","tags":["service.name"]},{"name":"span","tags":[]}],"#,
                r#""metrics":{"inspectedBytes":"7"}}"#
            )
        );
        let values =
            [TagValue { kind: "string", value: "a".into() }, TagValue { kind: "int", value: "5".into() }];
        assert_eq!(
            text(&|json| write_typed_values(json, &values)),
            concat!(
                r#"{"tagValues":[{"type":"string","value":"a"},{"type":"int","value":"5"}],"#,
                r#""metrics":{"inspectedBytes":"7"}}"#
            )
        );
    }
}
