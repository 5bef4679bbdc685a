//! The kinds of tokens, the words that are keywords, and how an error calls a token.

use syntax::string;

use crate::ast::{AggregateOp, BinaryOp};

/// What a token is; its text is in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tok {
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    Assign,
    MatchRegex,
    MatchNotRegex,
    At,
    /// An infix operator; in braces only `!=`.
    Op(BinaryOp),
    /// A word without a colon that is no other token; in braces any word.
    Identifier,
    /// A word with a colon.
    MetricIdentifier,
    Aggregate(AggregateOp),
    Keyword(Keyword),
    Special(Special),
    /// `inf` and `nan` too.
    Number,
    Duration,
    Text,
    /// Here the text stops to be tokens.
    Error,
}

/// A word that modifies what stands around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Anchored,
    Bool,
    By,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Smoothed,
    Without,
}

/// A word that is a function of the query's times or of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
}

impl Special {
    /// The word as a duration, whatever its letter case.
    pub(crate) fn of_duration(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "step" => Special::Step,
            "range" => Special::Range,
            "min_of" => Special::MinOf,
            "max_of" => Special::MaxOf,
            _ => return None,
        })
    }
}

impl Tok {
    /// What a word is that is no identifier, whatever its letter case.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        if let Some(op) = AggregateOp::ALL.into_iter().find(|op| op.as_str() == word) {
            return Some(Tok::Aggregate(op));
        }
        Some(match word.as_str() {
            "and" => Tok::Op(BinaryOp::And),
            "or" => Tok::Op(BinaryOp::Or),
            "unless" => Tok::Op(BinaryOp::Unless),
            "atan2" => Tok::Op(BinaryOp::Atan2),
            "anchored" => Tok::Keyword(Keyword::Anchored),
            "bool" => Tok::Keyword(Keyword::Bool),
            "by" => Tok::Keyword(Keyword::By),
            "fill" => Tok::Keyword(Keyword::Fill),
            "fill_left" => Tok::Keyword(Keyword::FillLeft),
            "fill_right" => Tok::Keyword(Keyword::FillRight),
            "group_left" => Tok::Keyword(Keyword::GroupLeft),
            "group_right" => Tok::Keyword(Keyword::GroupRight),
            "ignoring" => Tok::Keyword(Keyword::Ignoring),
            "offset" => Tok::Keyword(Keyword::Offset),
            "on" => Tok::Keyword(Keyword::On),
            "smoothed" => Tok::Keyword(Keyword::Smoothed),
            "without" => Tok::Keyword(Keyword::Without),
            "start" => Tok::Special(Special::Start),
            "end" => Tok::Special(Special::End),
            "inf" | "nan" => Tok::Number,
            other => Tok::Special(Special::of_duration(other)?),
        })
    }

    /// Whether it may be the name of a metric.
    pub(crate) fn is_metric(self) -> bool {
        match self {
            Tok::Identifier | Tok::MetricIdentifier | Tok::Aggregate(_) | Tok::Special(_) => true,
            Tok::Op(op) => op.is_set(),
            Tok::Keyword(keyword) => !matches!(
                keyword,
                Keyword::Bool | Keyword::GroupLeft | Keyword::GroupRight | Keyword::Ignoring | Keyword::On
            ),
            _ => false,
        }
    }

    /// Whether it may be the name of a label in a list of labels.
    pub(crate) fn is_label(self) -> bool {
        match self {
            Tok::Keyword(keyword) => keyword != Keyword::Without,
            Tok::Op(op) => op.is_set() || op == BinaryOp::Atan2,
            other => other.is_metric(),
        }
    }

    /// What an error calls a token of this text.
    pub(crate) fn described(self, text: &str) -> String {
        match self {
            Tok::Identifier => format!("identifier {}", string::quote(text)),
            Tok::MetricIdentifier => format!("metric identifier {}", string::quote(text)),
            Tok::Keyword(_) => format!("<{text}>"),
            Tok::Op(_) | Tok::At | Tok::MatchRegex | Tok::MatchNotRegex => format!("<op:{text}>"),
            Tok::Aggregate(_) => format!("<aggr:{text}>"),
            Tok::Number => format!("number {}", shortened(text)),
            Tok::Duration => format!("duration {}", shortened(text)),
            Tok::Text => format!("string {}", shortened(text)),
            _ => shortened(text),
        }
    }
}

/// Long texts are shown by their first ten characters.
fn shortened(text: &str) -> String {
    if text.len() <= 10 {
        return string::quote(text);
    }
    format!("{}...", string::quote(&text.chars().take(10).collect::<String>()))
}
