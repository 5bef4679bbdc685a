//! How values compare and calculate.

use super::*;

#[test]
fn arrays_compare_by_their_elements() {
    let array = Value::Array(r#"["a", "b\u0041\n,]", 3, 1.5, true, [4], null, {"k": "x"}]"#.into());
    let cases: &[(CompareOp, Value<'_>, bool)] = &[
        (CompareOp::Equal, Value::String("a".into()), true),
        (CompareOp::Equal, Value::String("bA\n,]".into()), true),
        (CompareOp::Equal, Value::String("x".into()), false),
        (CompareOp::NotEqual, Value::String("a".into()), false),
        (CompareOp::NotEqual, Value::String("x".into()), true),
        (CompareOp::Equal, Value::Int(3), true),
        (CompareOp::Equal, Value::Float(3.0), true),
        (CompareOp::Equal, Value::Int(4), false),
        (CompareOp::Greater, Value::Int(2), true),
        (CompareOp::Less, Value::Int(1), false),
        (CompareOp::Equal, Value::Bool(true), true),
    ];
    for (op, other, expected) in cases {
        assert_eq!(array.compare(*op, other), *expected, "{op} {other:?}");
        assert_eq!(other.compare(op.mirrored(), &array), *expected, "{other:?} {op}");
    }
    assert_eq!(elements("[]").count() + elements("no array").count(), 0);
}

#[test]
fn values_of_different_types_never_compare() {
    let (number, text) = (Value::Int(5), Value::String("5".into()));
    for op in [CompareOp::Equal, CompareOp::NotEqual, CompareOp::Less, CompareOp::GreaterEqual] {
        assert!(!number.compare(op, &text) && !text.compare(op, &number), "{op}");
    }
    assert!(Value::Int(5).compare(CompareOp::Equal, &Value::Float(5.0)));
    assert!(Value::Duration(1_000).compare(CompareOp::Greater, &Value::Int(999)));
    assert!(!Value::Float(f64::NAN).compare(CompareOp::NotEqual, &Value::Int(1)));
}

#[test]
fn calculations_keep_whole_numbers_and_durations() {
    use ArithmeticOp::{Add, Div, Mod, Mul, Pow, Sub};
    let cases: &[(Value<'_>, ArithmeticOp, Value<'_>, Value<'_>)] = &[
        (Value::Int(7), Add, Value::Int(2), Value::Int(9)),
        (Value::Int(7), Div, Value::Int(2), Value::Float(3.5)),
        (Value::Int(7), Mod, Value::Int(2), Value::Int(1)),
        (Value::Int(2), Pow, Value::Int(3), Value::Float(8.0)),
        (Value::Int(i64::MAX), Add, Value::Int(1), Value::Float(i64::MAX as f64 + 1.0)),
        (Value::Duration(10), Sub, Value::Duration(4), Value::Duration(6)),
        (Value::Duration(10), Mul, Value::Float(2.5), Value::Duration(25)),
        (Value::Duration(10), Div, Value::Int(4), Value::Duration(2)),
        (Value::Duration(10), Div, Value::Duration(4), Value::Float(2.5)),
    ];
    for (a, op, b, expected) in cases {
        assert_eq!(a.calculate(*op, b).as_ref(), Some(expected), "{a:?} {op} {b:?}");
    }
    assert_eq!(Value::String("1".into()).calculate(Add, &Value::Int(1)), None);
}
