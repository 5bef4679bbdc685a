//! A query with a value put in the place of an attribute of resources: for a reader who knows it of all spans, while none of
//! them has it.

use crate::ast::{Attribute, FieldExpr, Query, Scope, SpansetExpr, Stage, Static};

impl Query {
    /// The query where conditions on an attribute of resources are conditions on a text. What is shown, and what spansets are
    /// split by, stays.
    #[must_use]
    pub fn with_resource(mut self, name: &str, value: &str) -> Self {
        self.stages.iter_mut().for_each(|stage| in_stage(stage, name, value));
        self
    }

    /// The query that shows an attribute of resources too.
    #[must_use]
    pub fn showing_resource(mut self, name: &str) -> Self {
        let attribute = Attribute { scope: Scope::Resource, parent: false, name: name.to_owned() };
        self.stages.push(Stage::Select(vec![FieldExpr::Attribute(attribute)]));
        self
    }
}

fn in_stage(stage: &mut Stage, name: &str, value: &str) {
    if let Stage::Spanset(spansets) = stage {
        in_spansets(spansets, name, value);
    }
}

fn in_spansets(spansets: &mut SpansetExpr, name: &str, value: &str) {
    match spansets {
        SpansetExpr::Filter(condition) => in_field(condition, name, value),
        SpansetExpr::Binary { lhs, rhs, .. } => {
            in_spansets(lhs, name, value);
            in_spansets(rhs, name, value);
        }
        SpansetExpr::Pipeline(stages) => stages.iter_mut().for_each(|stage| in_stage(stage, name, value)),
    }
}

fn in_field(field: &mut FieldExpr, name: &str, value: &str) {
    match field {
        FieldExpr::Attribute(attribute)
            if attribute.name == name && matches!(attribute.scope, Scope::Any | Scope::Resource) =>
        {
            *field = FieldExpr::Static(Static::String(value.to_owned()));
        }
        FieldExpr::Unary { expr, .. } => in_field(expr, name, value),
        FieldExpr::Binary { lhs, rhs, .. } => {
            in_field(lhs, name, value);
            in_field(rhs, name, value);
        }
        FieldExpr::Static(_) | FieldExpr::Attribute(_) | FieldExpr::Intrinsic(_) => {}
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
        let shown = crate::parse("{}").unwrap().showing_resource("a b");
        assert_eq!(shown.stages.len(), 2);
    }
}
