//! How deep the tree of a query can become, by its words and signs alone: before a parser makes it, because a tree that
//! is too deep takes a stack as deep to be planned, computed and let go of, and brackets within each other a parser
//! that goes back and tries again.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Words, numbers, texts and signs that a query may have.
const MAX_TOKENS: usize = 16_000;

/// Brackets and CASE within each other.
const MAX_BRACKETS: usize = 32;

/// Operators of which each works on what the one before gives, those in brackets included.
const MAX_OPERATORS: usize = 256;

/// UNION, EXCEPT and INTERSECT of a query: each holds what stands before it.
const MAX_SET_OPERATORS: usize = 128;

/// The stack that the threads of queries need, in bytes: DataFusion computes an expression by calling itself for each
/// operand, and one of [`MAX_OPERATORS`] may take eight KiB for each where nothing is optimized.
pub const STACK_BYTES: usize = 16 << 20;

/// How often the parser may call itself: more often than a text within the other bounds makes it, because it takes long
/// to find out that it may not.
pub(crate) const PARSER_RECURSION: usize = 2_000;

/// Operators of one level of brackets.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Since what stands beside began: a comma, a clause, a branch.
    now: usize,
    /// The most of what stands beside each other.
    most: usize,
}

impl Level {
    fn next(&mut self) {
        self.most = self.most.max(self.now);
        self.now = 0;
    }
}

/// Refuses texts that are too long or whose tree could be too deep.
///
/// # Errors
/// The reason.
pub(crate) fn check_text(text: &str) -> Result<()> {
    // What is no token is told by the parser, with its place.
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize().unwrap_or_default();
    let mut levels = vec![Level::default()];
    let mut set_operators = 0_usize;
    for (count, token) in tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).enumerate() {
        if count >= MAX_TOKENS {
            return plan_err!("the query is too long: max_tokens={MAX_TOKENS}");
        }
        match effect(token) {
            Effect::None => {}
            Effect::Operator => levels.iter_mut().last().into_iter().for_each(|level| level.now += 1),
            Effect::SetOperator => set_operators += 1,
            Effect::Next => levels.iter_mut().last().into_iter().for_each(Level::next),
            Effect::Open => levels.push(Level::default()),
            Effect::Close => {
                if levels.len() > 1
                    && let Some(mut inner) = levels.pop()
                    && let Some(outer) = levels.last_mut()
                {
                    inner.next();
                    outer.now += inner.most + 1;
                }
            }
        }
        if set_operators > MAX_SET_OPERATORS {
            return plan_err!("the query joins too many others: max_set_operators={MAX_SET_OPERATORS}");
        }
        let operators: usize = levels.iter().map(|level| level.now).sum();
        if levels.len() > MAX_BRACKETS + 1 || operators > MAX_OPERATORS {
            return plan_err!(
                "the query is nested too deeply: max_brackets={MAX_BRACKETS} max_operators={MAX_OPERATORS}; \
                 IN (…) holds more values than OR"
            );
        }
    }
    Ok(())
}

enum Effect {
    None,
    Operator,
    SetOperator,
    /// Something begins beside what stood before.
    Next,
    Open,
    Close,
}

fn effect(token: &Token) -> Effect {
    match token {
        Token::LParen | Token::LBracket | Token::LBrace => Effect::Open,
        Token::RParen | Token::RBracket | Token::RBrace => Effect::Close,
        Token::Comma => Effect::Next,
        Token::Number(..) | Token::SingleQuotedString(_) | Token::Period => Effect::None,
        Token::Word(word) => match word.keyword {
            Keyword::CASE => Effect::Open,
            Keyword::END => Effect::Close,
            Keyword::SELECT
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::ORDER
            | Keyword::HAVING
            | Keyword::ON
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE => Effect::Next,
            Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::SIMILAR
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::BETWEEN
            | Keyword::AT
            | Keyword::COLLATE
            | Keyword::DIV
            | Keyword::OVERLAPS
            | Keyword::INTERVAL => Effect::Operator,
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => Effect::SetOperator,
            _ => Effect::None,
        },
        _ => Effect::Operator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_each_other_is_not_deep() {
        let columns = vec!["labels['job'] || 'x' as job"; 900].join(", ");
        let branches = "when name = 'a' and value > 1 then 2 ".repeat(800);
        let values = vec!["'0123'"; 7_000].join(", ");
        for text in [
            format!("select {columns} from metrics"),
            format!("select case {branches} else 3 end from metrics"),
            format!("select line from logs where trace_id in ({values})"),
            format!("select 1 where true {}", "or line = 'x' ".repeat(100)),
        ] {
            check_text(&text).unwrap();
        }
    }

    #[test]
    fn chains_and_brackets_are_bounded() {
        let chain = |sign: &str, times: usize| format!("select 1 {}", sign.repeat(times));
        for sign in
            ["+ 1 ", "and x ", "|| 'x' ", "::text ", "is null ", "is distinct from 1 ", "['a'] ", "in (1) "]
        {
            check_text(&chain(sign, 100)).unwrap();
            let error = check_text(&chain(sign, 300)).unwrap_err().to_string();
            assert!(error.contains("max_operators"), "{sign}: {error}");
        }
        // A chain whose first operand is a chain, and so on.
        let inner = "+ 1 ".repeat(100);
        let chains = format!("select {}1{}", "(".repeat(4), format!("{inner})").repeat(4));
        assert!(check_text(&chains).is_err());
        for (open, close) in [("(", ")"), ("[", "]"), ("case when x then ", " end"), ("f(1, ", ")")] {
            let nested = |times: usize| format!("select {}1{}", open.repeat(times), close.repeat(times));
            check_text(&nested(MAX_BRACKETS)).unwrap();
            assert!(check_text(&nested(MAX_BRACKETS + 1)).is_err(), "{open}");
        }
        assert!(check_text("select ')))))) (' || '(((((((('").is_ok());
    }
}
