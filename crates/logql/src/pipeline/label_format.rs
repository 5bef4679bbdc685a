//! `| label_format a=b, c="…"`: renames labels and sets them from templates.

use crate::ast;
use crate::pipeline::line_format::TEMPLATE_ERROR;
use crate::pipeline::row::{Category, ERROR, ERROR_DETAILS, Row};
use crate::template::Template;

/// The stage.
#[derive(Debug)]
pub(crate) struct LabelFormat {
    assignments: Vec<(String, Source)>,
}

#[derive(Debug)]
enum Source {
    Label(String),
    Template(Template),
}

impl LabelFormat {
    /// Compiles the stage; the error says what is wrong with it.
    pub(crate) fn new(formats: &[ast::LabelFormat]) -> Result<Self, String> {
        let mut assignments: Vec<(String, Source)> = Vec::new();
        for format in formats {
            let (to, source) = match format {
                ast::LabelFormat::Rename { to, from } => (to, Source::Label(from.clone())),
                ast::LabelFormat::Template { to, template } => {
                    (to, Source::Template(Template::parse(template)?))
                }
            };
            if to == ERROR || to == ERROR_DETAILS {
                return Err(format!("{to} cannot be formatted"));
            }
            if assignments.iter().any(|(other, _)| other == to) {
                return Err(format!("multiple label name '{to}' not allowed in a single format operation"));
            }
            assignments.push((to.clone(), source));
        }
        Ok(Self { assignments })
    }

    /// Sets the labels. Templates see them as they were before the stage.
    pub(crate) fn apply(&self, line: &str, row: &mut Row) {
        let values: Vec<_> = self.assignments.iter().map(|(_, source)| value(source, line, row)).collect();
        for ((to, source), value) in self.assignments.iter().zip(values) {
            match value {
                Ok(Some(text)) => {
                    row.set(Category::Parsed, to, &text);
                    if let Source::Label(from) = source
                        && from != to
                    {
                        row.remove(from);
                    }
                }
                Ok(None) => {}
                Err(details) => row.fail(TEMPLATE_ERROR, &details),
            }
        }
    }

    /// The labels that it reads.
    pub(crate) fn names(&self, out: &mut Vec<String>) -> bool {
        self.assignments.iter().all(|(_, source)| match source {
            Source::Label(name) => {
                out.push(name.clone());
                true
            }
            Source::Template(template) => template.names(out),
        })
    }
}

fn value(source: &Source, line: &str, row: &Row) -> Result<Option<String>, String> {
    match source {
        Source::Label(from) => Ok(row.get(from).map(str::to_owned)),
        Source::Template(template) => template.render(line, row).map(Some),
    }
}
