//! `| line_format "…"`: a template makes the line anew.

use std::borrow::Cow;

use crate::pipeline::row::Row;
use crate::template::Template;

/// The error label of a line whose template failed.
pub(crate) const TEMPLATE_ERROR: &str = "TemplateFormatErr";

/// The new line; the old one when the template fails, which marks the line with an error.
pub(crate) fn line_format<'l>(template: &Template, line: Cow<'l, str>, row: &mut Row) -> Cow<'l, str> {
    match template.render(&line, row) {
        Ok(text) => Cow::Owned(text),
        Err(details) => {
            row.fail(TEMPLATE_ERROR, &details);
            line
        }
    }
}
