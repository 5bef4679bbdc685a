//! Any text is parsed or refused; any query is written as a text that parses to it, and runs over any trace.

use model::trace::TraceBatchBuilder;
use proptest::prelude::*;
use traceql::ast::{
    Aggregate, AggregateOp, ArithmeticOp, Attribute, BinaryOp, CompareOp, FieldExpr, INTRINSICS, Query,
    Relation, ScalarExpr, ScalarFilter, Scope, SpansetExpr, SpansetOp, Stage, Static, StructuralMode,
    UnaryOp,
};
use traceql::{SearchParams, SpanFilter, parse_valid_matchers};

use crate::fixture::{broken, shop};

fn arithmetic() -> impl Strategy<Value = ArithmeticOp> {
    use ArithmeticOp::{Add, Div, Mod, Mul, Pow, Sub};
    prop::sample::select(vec![Add, Sub, Mul, Div, Mod, Pow])
}

fn comparison() -> impl Strategy<Value = CompareOp> {
    use CompareOp::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
    prop::sample::select(vec![Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual])
}

fn number() -> impl Strategy<Value = Static> {
    prop_oneof![
        any::<i64>().prop_map(Static::Int),
        any::<f64>().prop_filter("literals are finite", |v| v.is_finite()).prop_map(Static::Float),
        (-i64::MAX..=i64::MAX).prop_map(Static::Duration),
    ]
}

/// Numbers compare with attributes and with each other; the text of a query is as free as its types allow.
fn numeric() -> impl Strategy<Value = FieldExpr> {
    let leaf = prop_oneof![number().prop_map(FieldExpr::Static), attribute()];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (arithmetic(), inner.clone(), inner.clone()).prop_map(|(op, lhs, rhs)| FieldExpr::Binary {
                op: BinaryOp::Arithmetic(op),
                lhs: Box::new(lhs),
                rhs: Box::new(rhs)
            }),
            inner
                .prop_filter("the sign of a number is the number's", |e| !matches!(e, FieldExpr::Static(_)))
                .prop_map(|expr| FieldExpr::Unary { op: UnaryOp::Negate, expr: Box::new(expr) }),
        ]
    })
}

fn attribute() -> impl Strategy<Value = FieldExpr> {
    use Scope::{Any, Event, Instrumentation, Link, Resource, Span};
    let scope = prop_oneof![
        (prop::sample::select(vec![Any, Resource, Span]), any::<bool>()),
        (prop::sample::select(vec![Event, Link, Instrumentation]), Just(false)),
    ];
    let name = prop_oneof!["[a-z.]{1,12}", "(span|resource|parent)[.]x", ".{0,6}"];
    (scope, name).prop_map(|((scope, parent), name)| FieldExpr::Attribute(Attribute { scope, parent, name }))
}

fn text_match() -> impl Strategy<Value = FieldExpr> {
    let op = prop::sample::select(vec![CompareOp::Regex, CompareOp::NotRegex, CompareOp::Equal]);
    (op, attribute(), any::<String>()).prop_map(|(op, lhs, text)| FieldExpr::Binary {
        op: BinaryOp::Compare(op),
        lhs: Box::new(lhs),
        rhs: Box::new(FieldExpr::Static(Static::String(text))),
    })
}

fn keyword() -> impl Strategy<Value = FieldExpr> {
    let word = prop_oneof![
        Just(Static::Nil),
        any::<bool>().prop_map(Static::Bool),
        (0_u8..3).prop_map(Static::Status),
        (0_u8..6).prop_map(Static::Kind),
    ];
    (attribute(), word).prop_map(|(lhs, word)| FieldExpr::Binary {
        op: BinaryOp::Compare(CompareOp::NotEqual),
        lhs: Box::new(lhs),
        rhs: Box::new(FieldExpr::Static(word)),
    })
}

fn condition() -> impl Strategy<Value = FieldExpr> {
    let compared = (comparison(), numeric(), numeric()).prop_map(|(op, lhs, rhs)| FieldExpr::Binary {
        op: BinaryOp::Compare(op),
        lhs: Box::new(lhs),
        rhs: Box::new(rhs),
    });
    let leaf = prop_oneof![compared, text_match(), keyword(), attribute()];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (any::<bool>(), inner.clone(), inner.clone()).prop_map(|(and, lhs, rhs)| FieldExpr::Binary {
                op: if and { BinaryOp::And } else { BinaryOp::Or },
                lhs: Box::new(lhs),
                rhs: Box::new(rhs)
            }),
            inner.prop_map(|expr| FieldExpr::Unary { op: UnaryOp::Not, expr: Box::new(expr) }),
        ]
    })
}

fn spanset_op() -> impl Strategy<Value = SpansetOp> {
    use Relation::{Ancestor, Child, Descendant, Parent, Sibling};
    use StructuralMode::{Negated, Right, Union};
    let structural = (
        prop::sample::select(vec![Child, Descendant, Parent, Ancestor, Sibling]),
        prop::sample::select(vec![Right, Negated, Union]),
    );
    prop_oneof![
        Just(SpansetOp::And),
        Just(SpansetOp::Or),
        structural.prop_map(|(relation, mode)| SpansetOp::Structural { relation, mode }),
    ]
}

fn spanset() -> impl Strategy<Value = SpansetExpr> {
    let leaf = condition().prop_map(SpansetExpr::Filter);
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (spanset_op(), inner.clone(), inner.clone()).prop_map(|(op, lhs, rhs)| SpansetExpr::Binary {
                op,
                lhs: Box::new(lhs),
                rhs: Box::new(rhs)
            }),
            (inner, scalar_filter()).prop_map(|(expr, filter)| SpansetExpr::Pipeline(vec![
                Stage::Spanset(expr),
                Stage::Scalar(filter)
            ])),
        ]
    })
}

fn scalar_filter() -> impl Strategy<Value = ScalarFilter> {
    use AggregateOp::{Avg, Max, Min, Sum};
    let aggregate = (prop::sample::select(vec![Avg, Max, Min, Sum]), attribute())
        .prop_map(|(op, field)| ScalarExpr::Aggregate(Aggregate::Of(op, field)));
    let leaf = prop_oneof![
        number().prop_map(ScalarExpr::Static),
        Just(ScalarExpr::Aggregate(Aggregate::Count)),
        aggregate
    ];
    let scalar = leaf.prop_recursive(2, 6, 2, |inner| {
        (arithmetic(), inner.clone(), inner).prop_map(|(op, lhs, rhs)| ScalarExpr::Binary {
            op,
            lhs: Box::new(lhs),
            rhs: Box::new(rhs),
        })
    });
    (comparison(), scalar.clone(), scalar).prop_map(|(op, lhs, rhs)| ScalarFilter { op, lhs, rhs })
}

fn query() -> impl Strategy<Value = Query> {
    let intrinsic = prop::sample::select(INTRINSICS.to_vec()).prop_map(|(_, i)| FieldExpr::Intrinsic(i));
    let stage = prop_oneof![
        spanset().prop_map(Stage::Spanset),
        scalar_filter().prop_map(Stage::Scalar),
        attribute().prop_map(Stage::By),
        Just(Stage::Coalesce),
        prop::collection::vec(prop_oneof![attribute(), intrinsic], 1..4).prop_map(Stage::Select),
    ];
    let hints = prop::collection::vec(("[a-z_]{1,8}", number()), 0..3);
    (prop::collection::vec(stage, 1..4), hints).prop_map(|(stages, hints)| Query { stages, hints })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_query_is_written_as_it_is_read(query in query()) {
        let text = query.to_string();
        prop_assert_eq!(traceql::parse(&text), Ok(query), "{}", text);
    }

    #[test]
    fn any_query_runs_over_any_trace(query in query()) {
        let Ok(plan) = traceql::plan(&query, &SearchParams::default()) else { return Ok(()) };
        let filter = SpanFilter::new(&query).unwrap();
        for fill in [shop, broken] {
            let mut builder = TraceBatchBuilder::default();
            fill(&mut builder);
            let spans = builder.finish().spans;
            let mut worker = plan.leaf.worker();
            worker.trace(&spans).unwrap();
            let answers = worker.finish();
            let matched: usize = answers.iter().flat_map(|a| &a.span_sets).map(|set| set.matched).sum();
            let marked = filter.mask(&spans).unwrap().into_iter().filter(|marked| *marked).count();
            prop_assert_eq!(matched, marked, "{}", query);
        }
    }

    #[test]
    fn arbitrary_text_is_parsed_or_refused(text in any::<String>()) {
        let _ = (traceql::parse(&text), parse_valid_matchers(&text));
    }

    #[test]
    fn words_in_any_order_are_parsed_or_refused(words in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "(", ")", "|", "||", "&&", "!", "=", "=~", "!~", ">", ">>", "&>>", "~", "-", "+", "*", "^", ".a", "span.", "\"x\"",
        "`y`", "5", "1.5s", "nil", "error", "name", "span:id", "count()", "avg(", "by(", "select(", ",", "with(", "parent.", "//", "/*",
    ]), 0..24)) {
        let text = words.join(" ");
        if let Ok(query) = traceql::parse(&text) {
            prop_assert_eq!(traceql::parse(&query.to_string()), Ok(query.clone()), "{}", text);
            let planned = traceql::plan(&query, &SearchParams::default()).is_ok();
            prop_assert_eq!(planned, SpanFilter::new(&query).is_ok());
        }
        let _ = parse_valid_matchers(&text);
    }
}
