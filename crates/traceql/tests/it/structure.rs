//! The structural operators against their definitions, over random trees.

use model::AttributeRef::Int;
use model::trace::{SpanFields, TraceBatchBuilder};
use proptest::prelude::*;
use traceql::SpanFilter;

use crate::fixture::span;

/// A span of a random tree: its parent among those before it, if any, and on which sides of the operator it is.
#[derive(Clone, Debug)]
struct Node {
    parent: Option<usize>,
    left: bool,
    right: bool,
}

fn tree() -> impl Strategy<Value = Vec<Node>> {
    let node = (any::<prop::sample::Index>(), any::<bool>(), any::<bool>());
    prop::collection::vec(node, 1..24).prop_map(|nodes| {
        let node = |(i, (parent, left, right)): (usize, &(prop::sample::Index, bool, bool))| {
            let parent = parent.index(i + 1).checked_sub(1);
            Node { parent, left: *left, right: *right }
        };
        nodes.iter().enumerate().map(node).collect()
    })
}

/// Whether `b` stands in the place that the operator names, seen from `a`.
fn placed(tree: &[Node], relation: &str, a: usize, b: usize) -> bool {
    let above = |below: usize, above: usize| {
        std::iter::successors(tree[below].parent, |row| tree[*row].parent).any(|row| row == above)
    };
    match relation {
        ">" => tree[b].parent == Some(a),
        "<" => tree[a].parent == Some(b),
        ">>" => above(b, a),
        "<<" => above(a, b),
        _ => a != b && tree[a].parent.is_some() && tree[a].parent == tree[b].parent,
    }
}

fn expected(tree: &[Node], relation: &str, mode: &str) -> Vec<bool> {
    let rows = 0..tree.len();
    let is_right = |b: usize| rows.clone().any(|a| tree[a].left && placed(tree, relation, a, b));
    let gives = |a: usize| rows.clone().any(|b| tree[b].right && placed(tree, relation, a, b));
    rows.clone()
        .map(|row| match mode {
            "!" => tree[row].right && !is_right(row),
            "&" => tree[row].right && is_right(row) || tree[row].left && gives(row),
            _ => tree[row].right && is_right(row),
        })
        .collect()
}

proptest! {
    #[test]
    fn operators_select_what_their_definitions_say(tree in tree()) {
        let mut builder = TraceBatchBuilder::default();
        for (row, node) in tree.iter().enumerate() {
            builder.attribute("left", Int(i64::from(node.left)));
            builder.attribute("right", Int(i64::from(node.right)));
            let id = |row: usize| u8::try_from(row + 1).unwrap();
            let parent = node.parent.map_or(0, id);
            builder.span(SpanFields { start_ns: 0, ..span(1, id(row), parent, "x") });
        }
        let spans = builder.finish().spans;
        for relation in [">", ">>", "<", "<<", "~"] {
            for mode in ["", "!", "&"] {
                let text = format!("{{ .left = 1 }} {mode}{relation} {{ .right = 1 }}");
                let filter = SpanFilter::new(&traceql::parse(&text).unwrap()).unwrap();
                prop_assert_eq!(filter.mask(&spans).unwrap(), expected(&tree, relation, mode), "{}", text);
            }
        }
    }
}
