//! `parse_query`: the tree of a query as JSON, which user interfaces draw and explain.
//!
//! Source: "Parsing a PromQL expression into an abstract syntax tree" of Prometheus 3; durations in milliseconds. One that is
//! an expression is 0, and stands as a tree beside it (`rangeExpr`, `stepExpr`, `offsetExpr`).

use axum::extract::{Request, State};
use axum::response::Response;
use model::Matcher;
use query::ast::Matching;
use query::ast::{Aggregate, At, Binary, Cardinality, Duration, Expr, Extended, Moved, Selector, Subquery};

use super::Prometheus;
use super::envelope::{PromError, write_success};
use crate::error::ApiError;
use crate::json::{Json, written};
use crate::parameters::Asked;
use crate::reply;

/// `GET` and `POST /api/v1/parse_query`.
pub(crate) async fn parse(State(door): State<Prometheus>, request: Request) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let parsed =
        query::parse_promql(asked.parameters.get("query").unwrap_or_default(), door.engine.features());
    let expr = parsed.map_err(|error| ApiError::parameter("query", error.to_string()))?;
    Ok(reply::json(written(|json| write_success(json, &[], &[], |json| write_expr(json, &expr)))))
}

/// A node: its fields in the order of the originals' names.
struct Node<'j> {
    json: &'j mut Json,
}

impl<'j> Node<'j> {
    fn open(json: &'j mut Json, kind: &str) -> Self {
        json.raw("{\"type\":");
        json.text(kind);
        Self { json }
    }

    fn name(&mut self, name: &str) -> &mut Json {
        self.json.raw(",");
        self.json.text(name);
        self.json.raw(":");
        self.json
    }

    fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name).text(value);
        self
    }

    fn flag(mut self, name: &str, value: bool) -> Self {
        self.name(name).plain(value);
        self
    }

    fn expr(mut self, name: &str, expr: Option<&Expr>) -> Self {
        let json = self.name(name);
        match expr {
            Some(expr) => write_expr(json, expr),
            None => json.raw("null"),
        }
        self
    }

    /// A duration that is a number under its name, one that is an expression under its name with `Expr` behind it.
    fn duration(mut self, name: &str, duration: Option<&Duration>) -> Self {
        let literal = duration.and_then(literal_seconds);
        self.name(name).plain((literal.unwrap_or(0.0) * 1_000.0).round() as i64);
        let json = self.name(&format!("{name}Expr"));
        match duration.filter(|_| literal.is_none()) {
            Some(duration) => write_duration(json, duration),
            None => json.raw("null"),
        }
        self
    }

    /// `timestamp` and `startOrEnd` of an `@`, and `offset`.
    fn moved(self, moved: &Moved) -> Self {
        let mut node = self.duration("offset", moved.offset.as_ref());
        let json = node.name("timestamp");
        match moved.at {
            Some(At::Timestamp(ms)) => json.plain(ms),
            _ => json.raw("null"),
        }
        let json = node.name("startOrEnd");
        match moved.at {
            Some(At::Start) => json.text("start"),
            Some(At::End) => json.text("end"),
            _ => json.raw("null"),
        }
        node
    }

    fn selector(self, selector: &Selector) -> Self {
        let mut node = self.text("name", selector.name.as_deref().unwrap_or_default());
        node.name("matchers").list(&selector.matchers, write_matcher);
        let extended = selector.moved.extended;
        node.moved(&selector.moved)
            .flag("anchored", extended == Some(Extended::Anchored))
            .flag("smoothed", extended == Some(Extended::Smoothed))
    }

    fn close(self) {
        self.json.raw("}");
    }
}

/// The seconds of a duration that is written as a number.
fn literal_seconds(duration: &Duration) -> Option<f64> {
    match duration {
        Duration::Number(seconds) | Duration::Seconds(seconds) => Some(*seconds),
        _ => None,
    }
}

fn write_duration(json: &mut Json, duration: &Duration) {
    if let Some(seconds) = literal_seconds(duration) {
        let mut node = Node::open(json, "numberLiteral");
        node.name("val").float(seconds);
        return node.flag("duration", matches!(duration, Duration::Seconds(_))).close();
    }
    let (inner, is_wrapped) = match duration {
        Duration::Paren(inner, _) if literal_seconds(inner).is_none() => (&**inner, true),
        other => (other, matches!(other, Duration::Paren(..))),
    };
    let (op, lhs, rhs) = match inner {
        Duration::Step(_) => ("step", None, None),
        Duration::Range(_) => ("range", None, None),
        Duration::Negative(of, _) => ("-", None, Some(of)),
        Duration::Min(a, b, _) => ("min_of", Some(a), Some(b)),
        Duration::Max(a, b, _) => ("max_of", Some(a), Some(b)),
        Duration::Binary(op, a, b, _) => (op.as_str(), Some(a), Some(b)),
        // A number in parentheses is told as one with a sign.
        Duration::Paren(of, _) => ("+", None, Some(of)),
        Duration::Number(_) | Duration::Seconds(_) => return,
    };
    let mut node = Node::open(json, "durationExpr").text("op", op);
    for (name, side) in [("lhs", lhs), ("rhs", rhs)] {
        let json = node.name(name);
        match side {
            Some(side) => write_duration(json, side),
            None => json.raw("null"),
        }
    }
    node.flag("wrapped", is_wrapped).close();
}

fn write_expr(json: &mut Json, expr: &Expr) {
    match expr {
        Expr::Number(value) | Expr::Seconds(value) => {
            let mut node = Node::open(json, "numberLiteral");
            node.name("val").float(*value);
            node.close();
        }
        Expr::Text(text) => Node::open(json, "stringLiteral").text("val", text).close(),
        Expr::Selector(selector) => Node::open(json, "vectorSelector").selector(selector).close(),
        Expr::Range(selector, range) => {
            Node::open(json, "matrixSelector").duration("range", Some(range)).selector(selector).close();
        }
        Expr::Subquery(subquery) => write_subquery(json, subquery),
        Expr::Unary(is_negative, of) => {
            let op = if *is_negative { "-" } else { "+" };
            Node::open(json, "unaryExpr").text("op", op).expr("expr", Some(of)).close();
        }
        Expr::Paren(inner) => Node::open(json, "parenExpr").expr("expr", Some(inner)).close(),
        Expr::Binary(binary) => write_binary(json, binary),
        Expr::Aggregate(aggregate) => write_aggregate(json, aggregate),
        Expr::Call(function, args, _) => {
            let mut node = Node::open(json, "call");
            let json = node.name("func");
            json.raw("{\"name\":");
            json.text(function.name);
            json.raw(",\"argTypes\":");
            json.texts(function.args.iter().map(|one| one.as_str()));
            // How many arguments may be left out; -1 for any number more.
            let optional = function.at_most.map(|most| most - function.required);
            json.raw(",\"variadic\":");
            json.plain(optional.map_or(-1, |optional| i64::try_from(optional).unwrap_or(-1)));
            json.raw(",\"returnType\":");
            json.text(function.returns.as_str());
            json.raw("}");
            node.name("args").list(args, write_expr);
            node.close();
        }
    }
}

fn write_matcher(json: &mut Json, matcher: &Matcher) {
    let fields = [("name", matcher.name.as_str()), ("value", &matcher.value), ("type", matcher.op.as_str())];
    json.text_object(fields);
}

fn write_subquery(json: &mut Json, subquery: &Subquery) {
    Node::open(json, "subquery")
        .expr("expr", Some(&subquery.expr))
        .duration("range", Some(&subquery.range))
        .duration("step", subquery.step.as_ref())
        .moved(&subquery.moved)
        .close();
}

fn write_binary(json: &mut Json, binary: &Binary) {
    let mut node = Node::open(json, "binaryExpr")
        .text("op", binary.op.as_str())
        .expr("lhs", Some(&binary.lhs))
        .expr("rhs", Some(&binary.rhs))
        .flag("bool", binary.bool_modifier);
    let json = node.name("matching");
    match binary.is_between_vectors() {
        true => write_matching(json, &binary.matching, binary.op.is_set()),
        false => json.raw("null"),
    }
    node.close();
}

fn write_matching(json: &mut Json, matching: &Matching, is_set: bool) {
    let card = match matching.card {
        _ if is_set => "many-to-many",
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
    };
    json.raw("{\"card\":");
    json.text(card);
    json.raw(",\"labels\":");
    json.texts(&matching.labels);
    json.raw(",\"on\":");
    json.plain(matching.on);
    json.raw(",\"include\":");
    json.texts(&matching.include);
    json.raw(",\"fillValues\":{");
    for (name, value) in [("\"lhs\":", matching.fill.left), (",\"rhs\":", matching.fill.right)] {
        json.raw(name);
        match value {
            Some(value) if value.is_finite() => json.plain(value),
            // JSON has no number for the others.
            Some(value) => json.float(value),
            None => json.raw("null"),
        }
    }
    json.raw("}}");
}

fn write_aggregate(json: &mut Json, aggregate: &Aggregate) {
    let mut node = Node::open(json, "aggregation")
        .text("op", aggregate.op.as_str())
        .expr("expr", Some(&aggregate.expr))
        .expr("param", aggregate.param.as_ref());
    node.name("grouping").texts(&aggregate.grouping.labels);
    node.flag("without", aggregate.grouping.without).close();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(query: &str) -> serde_json::Value {
        let expr = query::parse_promql(query, query::Features::ALL).unwrap();
        serde_json::from_slice(&written(|json| write_expr(json, &expr))).unwrap()
    }

    #[test]
    fn selectors_name_their_matchers_and_moments() {
        let tree = tree(r#"http{code=~"5..",job!="a"}[5m] offset -1m @ 12.5"#);
        assert_eq!(tree["type"], "matrixSelector");
        assert_eq!(tree["name"], "http");
        assert_eq!((&tree["range"], &tree["offset"]), (&300_000.into(), &(-60_000).into()));
        assert_eq!((&tree["timestamp"], &tree["startOrEnd"]), (&12_500.into(), &serde_json::Value::Null));
        let matchers: Vec<String> =
            tree["matchers"].as_array().unwrap().iter().map(|m| m.to_string()).collect();
        assert!(
            matchers.contains(&r#"{"name":"code","value":"5..","type":"=~"}"#.to_owned()),
            "{matchers:?}"
        );
        assert!(matchers.contains(&r#"{"name":"__name__","value":"http","type":"="}"#.to_owned()));
    }

    #[test]
    fn operators_aggregations_and_calls_nest() {
        let tree =
            tree(r#"sum by (a) (rate(x[1m])) / on (a) group_left (b) -(y > bool 1) or topk(3, z @ end())"#);
        assert_eq!((&tree["op"], &tree["matching"]["card"]), (&"or".into(), &"many-to-many".into()));
        let division = &tree["lhs"];
        assert_eq!(division["matching"]["card"], "many-to-one");
        assert_eq!(division["matching"]["labels"], serde_json::json!(["a"]));
        assert_eq!(division["matching"]["include"], serde_json::json!(["b"]));
        assert_eq!(division["matching"]["on"], true);
        let sum = &division["lhs"];
        assert_eq!(
            (&sum["type"], &sum["op"], &sum["without"]),
            (&"aggregation".into(), &"sum".into(), &false.into())
        );
        assert_eq!(
            sum["expr"]["func"],
            serde_json::json!({
                "name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"
            })
        );
        let comparison = &division["rhs"]["expr"]["expr"];
        assert_eq!((&comparison["bool"], &comparison["matching"]), (&true.into(), &serde_json::Value::Null));
        assert_eq!(comparison["rhs"]["val"], "1");
        assert_eq!(tree["rhs"]["param"]["val"], "3");
        assert_eq!(tree["rhs"]["expr"]["startOrEnd"], "end");
    }

    #[test]
    fn durations_that_are_expressions_stand_as_trees() {
        let tree = tree("max_over_time(rate(x[1m+30])[(step()*10):] offset -(1m))");
        let subquery = &tree["args"][0];
        assert_eq!(
            (&subquery["range"], &subquery["step"], &subquery["offset"]),
            (&0.into(), &0.into(), &0.into())
        );
        assert_eq!(
            (&subquery["stepExpr"], &subquery["rangeExpr"]["wrapped"]),
            (&serde_json::Value::Null, &true.into())
        );
        let minute = serde_json::json!({"type": "numberLiteral", "val": "60", "duration": true});
        let wrapped = |op: &str, rhs: serde_json::Value, is_wrapped: bool| serde_json::json!({"type": "durationExpr", "op": op, "lhs": null, "rhs": rhs, "wrapped": is_wrapped});
        assert_eq!(subquery["offsetExpr"], wrapped("-", wrapped("+", minute.clone(), true), false));
        let sum = &subquery["expr"]["args"][0]["rangeExpr"];
        assert_eq!((&sum["op"], &sum["lhs"], &sum["rhs"]["duration"]), (&"+".into(), &minute, &false.into()));
    }

    #[test]
    fn what_stands_in_for_series_is_a_number() {
        let tree = tree("a + fill_left(-0.5) b");
        assert_eq!(tree["matching"]["fillValues"], serde_json::json!({"lhs": -0.5, "rhs": null}));
    }
}
