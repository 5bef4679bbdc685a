//! Questions in TraceQL, and for traces by their id.

use super::{Expected, Ground, Question};

/// The questions.
pub(in super::super) fn questions(ground: &Ground) -> Vec<Question> {
    let search = |kind, query: &str| Question {
        kind,
        path: "/api/search".to_owned(),
        parameters: vec![
            ("q", query.to_owned()),
            ("limit", "20".to_owned()),
            ("start", (ground.start_ms / 1_000).to_string()),
            ("end", (ground.end_ms / 1_000 + 1).to_string()),
        ],
        expected: Expected::Some,
    };
    let by_id = |kind, id: &str, expected| Question {
        kind,
        path: format!("/api/traces/{id}"),
        parameters: Vec::new(),
        expected,
    };
    vec![
        by_id("trace by id", &ground.trace_id, Expected::Some),
        by_id("absent id", "0123456789abcdef0123456789abcdef", Expected::Nothing),
        search("service, limit 20", "{ resource.service.name = \"cart\" }"),
        search("errors", "{ status = error }"),
        search("attribute", "{ span.http.route = \"/api/v1/orders\" }"),
        search("rare attribute", "{ span.feature.flag = \"canary-7\" }"),
        search("statement regex", "{ span.db.statement =~ \".*JOIN users.*\" }"),
        search(
            "structural >>",
            "{ resource.service.name = \"gateway\" } >> { span.db.rows > 38 && status != error }",
        ),
        search("count() > n", "{ } | count() > 40"),
    ]
}
