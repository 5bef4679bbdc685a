//! What a label set promises.

use proptest::prelude::*;

use super::*;

#[test]
fn pairs_are_sorted_last_wins_and_empty_values_go() {
    let labels = Labels::from_pairs([("b", "1"), ("a", "2"), ("b", "3"), ("c", "")]);
    assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
    assert_eq!(labels.get("b"), Some("3"));
    assert_eq!(labels.get("c"), None);
}

#[test]
fn long_values_keep_their_length() {
    let long = "x".repeat(20_000);
    let labels = Labels::from_pairs([("a", long.as_str()), ("b", "y")]);
    assert_eq!(labels.get("a").map(str::len), Some(20_000));
    assert_eq!(labels.get("b"), Some("y"));
}

#[test]
fn display_is_promql() {
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "a\"b")]);
    assert_eq!(labels.to_string(), r#"up{job="a\"b"}"#);
    assert_eq!(Labels::from_pairs([("__name__", "up")]).to_string(), "up");
    assert_eq!(Labels::empty().to_string(), "{}");
}

proptest! {
    #[test]
    fn bytes_round_trip(pairs in prop::collection::vec(("[a-z]{1,3}", ".{0,200}"), 0..12)) {
        let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n, v)));
        let again = Labels::from_bytes(labels.as_bytes()).unwrap();
        prop_assert_eq!(&again, &labels);
        prop_assert_eq!(Labels::from_pairs(labels.iter()), labels);
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_canonical(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(labels) = Labels::from_bytes(&bytes) {
            prop_assert_eq!(Labels::from_pairs(labels.iter()), labels);
        }
    }
}

#[test]
fn sets_sort_as_their_names_and_values_do() {
    let long = "x".repeat(200);
    let sets: Vec<Labels> = [
        &[][..],
        &[("a", "1")],
        &[("a", "1"), ("b", "2")],
        &[("a", "10")],
        &[("a", "2")],
        &[("a", "é")],
        &[("a", "\u{10ffff}")],
        &[("ab", "1")],
        &[("b", long.as_str())],
        &[("b", "y")],
        &[("é", "1")],
    ]
    .into_iter()
    .map(|pairs| Labels::from_pairs(pairs.iter().copied()))
    .collect();
    for a in &sets {
        for b in &sets {
            assert_eq!(a.cmp(b), a.iter().cmp(b.iter()), "{a:?} {b:?}");
        }
        for (name, value) in a.iter() {
            assert_eq!(a.get(name), Some(value));
        }
        assert_eq!((a.get("c"), a.get("")), (None, None));
    }
}
