//! Which spans each query selects.

use model::trace::TraceBatchBuilder;
use traceql::{SearchParams, SpanFilter};

use crate::fixture::{broken, search, shop};

/// The ids of the selected spans, a bar between spansets.
fn selected(query: &str, trace: fn(&mut TraceBatchBuilder)) -> String {
    let params = SearchParams { spans_per_spanset: 100, ..SearchParams::default() };
    let answers = search(query, &params, &[trace]);
    let sets = answers.iter().flat_map(|answer| &answer.span_sets).map(|set| {
        assert_eq!(set.matched, set.spans.len());
        set.spans.iter().map(|span| span.span_id[0].to_string()).collect::<Vec<_>>().join(" ")
    });
    sets.collect::<Vec<_>>().join(" | ")
}

fn check(trace: fn(&mut TraceBatchBuilder), cases: &[(&str, &str)]) {
    for (query, expected) in cases {
        assert_eq!(selected(query, trace), *expected, "{query}");
    }
}

#[test]
fn traces_are_passed_over_by_what_their_spans_alone_tell() {
    // Whether a trace of seven spans may answer.
    let cases = [
        ("{}", true),
        ("{} | count() > 6", true),
        ("{} | count() > 7", false),
        ("{} | count() >= 8", false),
        ("{} | count() = 8", false),
        ("{} | count() < 3", true),
        ("({} | count() > 7) || {}", true),
        ("({} | count() > 7) && {}", false),
        (r#"{ resource.service.name = "pay" } | count() > 1"#, true),
        (r#"{ resource.service.name = "none" }"#, false),
        (r#"{ resource.service.name = "none" } || {}"#, true),
        (r#"{ resource.service.name = "none" } && {}"#, false),
        (r#"{} && { resource.service.name = "none" }"#, false),
        (r#"{} | { resource.service.name = "none" }"#, false),
        (r#"{ resource.service.name = "none" } >> {}"#, false),
        (r#"{ resource.service.name = "none" } !>> {}"#, true),
        (r#"{} !>> { resource.service.name = "none" }"#, false),
        (r#"({ resource.service.name = "none" } | count() > 1) && {}"#, false),
        ("{ span.rows = 3 }", true),
        ("{ span.rows = 4 }", false),
        // One span must have both.
        ("{ span.rows = 3 && span.rows = 12 }", false),
        ("{ span.rows = 3 } && { span.rows = 12 }", true),
        (r#"{ parent.name = "x" }"#, true),
        (r#"{ parent.name = "x" && span.rows = 4 }"#, false),
        (r#"{ parent.name = "x" || span.rows = 4 }"#, true),
        ("{ traceDuration > 1h }", true),
        (r#"{ rootName = "x" }"#, true),
        ("{ false }", false),
    ];
    let mut builder = TraceBatchBuilder::default();
    shop(&mut builder);
    let spans = builder.finish().spans;
    for (text, expected) in cases {
        let query = traceql::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let plan = traceql::plan(&query, &SearchParams::default()).unwrap();
        let marks = plan.leaf.marks(&spans).unwrap().into_iter().fold(0, |all, of| all | of);
        assert_eq!(plan.leaf.may_answer(marks, spans.num_rows()), expected, "{text}");
    }
}

#[test]
fn attributes_by_scope_and_type() {
    check(
        shop,
        &[
            ("{}", "1 2 3 4 5 6 7"),
            ("{ true }", "1 2 3 4 5 6 7"),
            ("{ false }", ""),
            (r#"{ resource.service.name = "pay" }"#, "4 5 6"),
            (r#"{ resource.service.name != "pay" }"#, "1 2 3 7"),
            (r#"{ .service.name = "pay" }"#, "4 5 6"),
            (r#"{ span.service.name = "pay" }"#, ""),
            // The span's attribute hides that of its resource.
            (r#"{ .host.name = "a" }"#, "1"),
            (r#"{ .host.name = "b" }"#, "3"),
            (r#"{ "b" = .host.name }"#, "3"),
            ("{ span.http.status_code >= 500 }", "1 4"),
            ("{ 500 < span.http.status_code }", "4"),
            ("{ span.http.status_code = 500.0 }", "1"),
            ("{ span.ratio < 1 }", "1"),
            // Text and numbers never compare.
            (r#"{ span.rows = "3" }"#, "6"),
            ("{ span.rows = 3 }", "2"),
            ("{ span.rows != 3 }", "5"),
            (r#"{ span.rows != "x" }"#, "6"),
            ("{ .cached }", "3"),
            ("{ !.cached }", "2"),
            ("{ .cached = false }", "2"),
            (r#"{ span."a b" = "quoted" }"#, "6"),
            (r#"{ span.a" "b = "quoted" }"#, "6"),
            (r#"{ span.db.system =~ "post.*|my" }"#, "2"),
            (r#"{ span.db.system =~ `.*sql` }"#, "5"),
            (r#"{ span.db.system !~ ".*sql" }"#, "2"),
            ("{ span.db.system != nil }", "2 5"),
            ("{ nil != span.db.system }", "2 5"),
            ("{ span.db.system = nil && .http.method = nil }", "4 6 7"),
        ],
    );
}

#[test]
fn arrays_events_links_and_parents() {
    check(
        shop,
        &[
            (r#"{ .tags = "gold" }"#, "4"),
            (r#"{ .tags =~ "e." }"#, "4"),
            // Of an array, none may be equal.
            (r#"{ .tags != "gold" }"#, "5"),
            (r#"{ .tags !~ "g.*" }"#, "5"),
            ("{ .tags > 2 }", "5"),
            (r#"{ event:name = "exception" }"#, "3"),
            (r#"{ event:name != "exception" }"#, "3"),
            (r#"{ event.exception.type = "Timeout" }"#, "3"),
            ("{ event.attempt = 2 && event.attempt = 1 }", "3"),
            ("{ event:timeSinceStart > 5ms }", "3"),
            ("{ event:timeSinceStart > 6ms }", ""),
            (r#"{ link.why = "follows" }"#, "3"),
            (r#"{ link:traceID = "ABABABABABABABABABABABABABABABAB" }"#, "3"),
            (r#"{ link:spanID = "c0c0c0c0c0c0c0c" }"#, "3"),
            (r#"{ instrumentation.lib = "net" }"#, "1"),
            (r#"{ instrumentation:name = "http" && instrumentation:version = "1.2" }"#, "1"),
            (r#"{ parent.span.http.method = "POST" }"#, "4"),
            (r#"{ parent.resource.service.name = "pay" }"#, "5 6"),
            (r#"{ parent.service.name != .service.name }"#, "4"),
        ],
    );
}

#[test]
fn intrinsics_old_and_new() {
    check(
        shop,
        &[
            (r#"{ name = "insert" }"#, "5"),
            (r#"{ span:name =~ "GET.*" }"#, "1"),
            ("{ status = error }", "3 4"),
            ("{ span:status = ok }", "2"),
            ("{ status != unset }", "2 3 4"),
            (r#"{ statusMessage = "timed out" }"#, "3"),
            (r#"{ span:statusMessage != "" }"#, "3"),
            ("{ duration > 50ms }", "1 3"),
            ("{ span:duration <= 1.5ms }", "6"),
            ("{ duration = 100000us }", "1"),
            ("{ kind = server }", "1 4"),
            ("{ span:kind = producer || kind = internal }", "6 7"),
            (r#"{ span:id = "0505050505050505" }"#, "5"),
            (r#"{ span:parentID = "404040404040404" }"#, "5 6"),
            ("{ parent = nil }", "1"),
            ("{ span:childCount = 2 }", "4"),
            ("{ childCount > 2 }", "1"),
            (r#"{ trace:id = "1010101010101010101010101010101" }"#, "1 2 3 4 5 6 7"),
            ("{ trace:duration = 100ms && name = \"render\" }", "7"),
            ("{ traceDuration < 100ms }", ""),
            (r#"{ trace:rootName = "GET /pay" && kind = client }"#, "2 3 5"),
            (r#"{ rootServiceName = "shop" && trace:rootService = "shop" && status = ok }"#, "2"),
            ("{ nestedSetParent < 0 }", "1"),
            ("{ nestedSetLeft = 1 && nestedSetRight = 14 }", "1"),
            ("{ nestedSetParent = 1 }", "2 3 7"),
        ],
    );
}

#[test]
fn logic_and_arithmetic() {
    check(
        shop,
        &[
            // `&&` and `||` lean left alike.
            (r#"{ name = "select" || name = "insert" && .rows = 12 }"#, "5"),
            (r#"{ name = "select" || (name = "insert" && .rows = 12) }"#, "2 5"),
            ("{ !(kind = client) && !(status = error) }", "1 6 7"),
            ("{ (kind = client) = (status = error) }", "1 3 6 7"),
            ("{ .rows * 2 + 1 = 7 }", "2"),
            ("{ .rows / 5 > 2 }", "5"),
            ("{ .rows % 5 = 2 }", "5"),
            ("{ .rows ^ 2 = 144 }", "5"),
            ("{ -.rows < -3 }", "5"),
            ("{ 2 ^ 3 ^ 0 = 2 && .rows = 3 }", "2"),
            ("{ duration > 2 * 25ms + 1ns }", "1 3"),
            ("{ traceDuration - duration < 50ms }", "1 3"),
            ("{ 1 = 2 }", ""),
            ("{ 1 < 2 && .rows > 5 }", "5"),
        ],
    );
}

#[test]
fn spansets_and_structure() {
    check(
        shop,
        &[
            (r#"{ name = "select" } && { name = "insert" }"#, "2 5"),
            (r#"{ name = "select" } && { name = "absent" }"#, ""),
            (r#"{ name = "select" } || { name = "absent" }"#, "2"),
            ("{ status = error } > { kind = client }", "5"),
            ("{ status = error } >> { kind = producer }", "6"),
            ("{ nestedSetParent < 0 } >> { kind = client }", "2 3 5"),
            ("{ kind = client } < { kind = server }", "1 4"),
            (r#"{ name = "insert" } << { }"#, "1 3 4"),
            (r#"{ name = "select" } ~ { }"#, "3 7"),
            (r#"{ kind = client } ~ { kind = client }"#, "2 3"),
            (r#"{ name = "insert" } &<< { kind = client }"#, "3 5"),
            ("{ status = error } &> { kind = client }", "4 5"),
            ("{ kind = server } &>> { kind = producer }", "1 4 6"),
            (r#"{ name = "select" } &~ { kind = internal }"#, "2 7"),
            ("{ kind = server } &< { kind = client }", "3 4"),
            ("{ status = error } !> { kind = client }", "2 3"),
            ("{ status = error } !>> { }", "1 2 3 7"),
            (r#"{ kind = client } !< { kind = server }"#, ""),
            (r#"{ name = "insert" } !<< { kind = server }"#, ""),
            (r#"{ name = "select" } !~ { }"#, "1 2 4 5 6"),
            ("{ status = error } > { status = error } > { kind = client }", "5"),
            (r#"({ kind = client } | count() > 2) && { name = "render" }"#, "2 3 5 7"),
            (r#"({ kind = client } | count() > 3) && { name = "render" }"#, ""),
        ],
    );
    check(
        broken,
        &[
            ("{}", "2 3 4 5 6"),
            ("{ span:id = \"0202020202020202\" } ~ { }", "3"),
            ("{ nestedSetLeft = 0 }", "2 3 4 5 6"),
            ("{} >> {}", ""),
        ],
    );
}

#[test]
fn pipelines() {
    check(
        shop,
        &[
            ("{ kind = client } | count() > 2", "2 3 5"),
            ("{ kind = client } | count() > 3", ""),
            ("{ kind = client } | 3 = count()", "2 3 5"),
            ("{ kind = server } | avg(duration) = 75ms", "1 4"),
            ("{} | max(.rows) = 12 | min(.rows) = 3 | sum(.rows) = 15", "1 2 3 4 5 6 7"),
            ("{ .rows > 3 } | max(.rows) = 12", "5"),
            ("{ kind = internal } | max(.rows) > 0", ""),
            ("{ kind = server } | sum(duration) / count() > 70ms", "1 4"),
            ("{} | { kind = client } | { status = error }", "3"),
            ("{} | by(resource.service.name)", "1 2 3 7 | 4 5 6"),
            ("{} | by(resource.service.name) | count() > 3", "1 2 3 7"),
            ("{} | by(resource.service.name) | coalesce()", "1 2 3 4 5 6 7"),
            ("{ kind = client } | by(.db.system) | by(status)", "2 | 3 | 5"),
            ("{ kind = client } | select(.rows, name)", "2 3 5"),
            ("by(kind) | count() = 3", "2 3 5"),
            ("{} with(most_recent=true)", "1 2 3 4 5 6 7"),
        ],
    );
}

#[test]
fn a_filter_marks_the_spans_of_many_traces() {
    let mut builder = TraceBatchBuilder::default();
    shop(&mut builder);
    broken(&mut builder);
    let spans = builder.finish().spans;
    let query = traceql::parse(r#"{ resource.service.name = "lost" } || { status = error }"#).unwrap();
    let mask = SpanFilter::new(&query).unwrap().mask(&spans).unwrap();
    let rows: Vec<usize> = (0..mask.len()).filter(|row| mask[*row]).collect();
    assert_eq!(rows, [2, 3, 7, 8, 9, 10, 11]);
    assert!(SpanFilter::new(&query).unwrap().mask(&spans.project(&[0]).unwrap()).is_err());
}
