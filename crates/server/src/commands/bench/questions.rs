//! The questions that `stella bench query` asks of what `stella bench ingest` sent: the kinds that people ask, one of
//! each.

pub(super) mod metrics;

pub(super) mod logs;

pub(super) mod traces;

use serde_json::Value;

/// What an answer must be, or something is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Something.
    Some,
    /// Nothing, and that is the point.
    Nothing,
}

/// A question, ready to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// What kind of question it is, for people.
    pub(super) kind: &'static str,
    /// The path of the API.
    pub(super) path: String,
    /// The parameters.
    pub(super) parameters: Vec<(&'static str, String)>,
    /// What the answer must be.
    pub(super) expected: Expected,
}

/// The time that questions are about, and what is known to be there.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    /// The beginning of the telemetry, in milliseconds since the epoch.
    pub(super) start_ms: i64,
    /// Its end.
    pub(super) end_ms: i64,
    /// A pod that is there at the end.
    pub(super) pod: String,
    /// A trace id that stands in lines, or of a trace, near the beginning.
    pub(super) trace_id: String,
}

/// The size of an answer: series, points, lines, traces or spans, whichever it holds most of.
pub(super) fn size(answer: &Value) -> usize {
    if let Some(batches) = answer.get("batches") {
        return usize::try_from(super::check::spans(batches)).unwrap_or(usize::MAX);
    }
    if let Some(traces) = answer["traces"].as_array() {
        return traces.len();
    }
    let data = &answer["data"];
    let items = data["result"].as_array().or(data.as_array()).map(Vec::as_slice).unwrap_or_default();
    let points = |item: &Value| item["values"].as_array().map_or(1, Vec::len);
    items.iter().map(points).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_of_what_an_answer_holds() {
        let vector = json!({"data": {"result": [{"value": [1, "2"]}, {"value": [1, "2"]}]}});
        let matrix = json!({"data": {"result": [{"values": [[1, "2"], [2, "2"]]}, {"values": [[1, "2"]]}]}});
        let names = json!({"data": ["a", "b", "c", "d"]});
        let search = json!({"traces": [{}]});
        let trace = json!({"batches": [{"scopeSpans": [{"spans": [{}, {}]}]}]});
        let nothing = json!({"data": {"result": []}});
        let sizes = [&vector, &matrix, &names, &search, &trace, &nothing].map(size);
        assert_eq!(sizes, [2, 3, 4, 1, 2, 0]);
    }

    #[test]
    fn every_kind_of_question_is_asked_once() {
        let ground =
            Ground { start_ms: 0, end_ms: 7_200_000, pod: "cart-1".to_owned(), trace_id: "00ff".to_owned() };
        let all =
            [metrics::questions(&ground), logs::questions(&ground), traces::questions(&ground)].concat();
        let kinds: std::collections::HashSet<_> = all.iter().map(|q| (q.kind, q.path.clone())).collect();
        assert_eq!((all.len(), kinds.len()), (38, 38));
    }
}
