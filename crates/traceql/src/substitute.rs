//! A query with a value put in the place of an attribute of resources: for a reader who knows it of all spans, while none of
//! them has it.

use crate::ast::{Attribute, FieldExpr, Query, Scope, SpansetExpr, Stage, Static};

/// What takes the place of an attribute; none where it stays.
type Replace<'a> = &'a dyn Fn(&Attribute) -> Option<FieldExpr>;

impl Query {
    /// The query where conditions on an attribute of resources are conditions on a text. What is shown, and what spansets are
    /// split by, stays.
    #[must_use]
    pub fn with_resource(self, name: &str, value: &str) -> Self {
        self.replacing(&|attribute| {
            is_of_resource(attribute, name).then(|| FieldExpr::Static(Static::String(value.to_owned())))
        })
    }

    /// The query where conditions on an attribute of resources are conditions on another.
    #[must_use]
    pub fn with_resource_named(self, name: &str, in_data: &str) -> Self {
        self.replacing(&|attribute| {
            let renamed = Attribute { name: in_data.to_owned(), ..attribute.clone() };
            is_of_resource(attribute, name).then_some(FieldExpr::Attribute(renamed))
        })
    }

    /// The query that shows an attribute of resources too.
    #[must_use]
    pub fn showing_resource(mut self, name: &str) -> Self {
        let attribute = Attribute { scope: Scope::Resource, parent: false, name: name.to_owned() };
        self.stages.push(Stage::Select(vec![FieldExpr::Attribute(attribute)]));
        self
    }

    fn replacing(mut self, replace: Replace<'_>) -> Self {
        self.stages.iter_mut().for_each(|stage| in_stage(stage, replace));
        self
    }
}

fn is_of_resource(attribute: &Attribute, name: &str) -> bool {
    attribute.name == name && matches!(attribute.scope, Scope::Any | Scope::Resource)
}

fn in_stage(stage: &mut Stage, replace: Replace<'_>) {
    if let Stage::Spanset(spansets) = stage {
        in_spansets(spansets, replace);
    }
}

fn in_spansets(spansets: &mut SpansetExpr, replace: Replace<'_>) {
    match spansets {
        SpansetExpr::Filter(condition) => in_field(condition, replace),
        SpansetExpr::Binary { lhs, rhs, .. } => {
            in_spansets(lhs, replace);
            in_spansets(rhs, replace);
        }
        SpansetExpr::Pipeline(stages) => stages.iter_mut().for_each(|stage| in_stage(stage, replace)),
    }
}

fn in_field(field: &mut FieldExpr, replace: Replace<'_>) {
    match field {
        FieldExpr::Attribute(attribute) => {
            if let Some(replaced) = replace(attribute) {
                *field = replaced;
            }
        }
        FieldExpr::Unary { expr, .. } => in_field(expr, replace),
        FieldExpr::Binary { lhs, rhs, .. } => {
            in_field(lhs, replace);
            in_field(rhs, replace);
        }
        FieldExpr::Static(_) | FieldExpr::Intrinsic(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conditions_are_on_the_text_wherever_they_stand() {
        let query = r#"{ resource.t = "a" && !(.t =~ "b.*") } && ({ span.t = "a" } | by(resource.t))"#;
        let expected = r#"{ "a" = "a" && !("a" =~ "b.*") } && ({ span.t = "a" } | by(resource.t))"#;
        let substituted = crate::parse(query).unwrap().with_resource("t", "a");
        assert_eq!(format!("{substituted:?}"), format!("{:?}", crate::parser::parse(expected).unwrap()));
        let renamed = crate::parse("{ .o = 1 && span.o = 2 }").unwrap().with_resource_named("o", "t");
        assert_eq!(
            format!("{renamed:?}"),
            format!("{:?}", crate::parse("{ .t = 1 && span.o = 2 }").unwrap())
        );
        let shown = crate::parse("{}").unwrap().showing_resource("a b");
        assert_eq!(shown.stages.len(), 2);
    }
}
