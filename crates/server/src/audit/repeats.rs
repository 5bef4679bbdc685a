//! Refusals that are alike: the first of a while has its line, the others are counted and summarised when the while is
//! over. Both the kinds that are told apart and their lines are bounded, whatever is refused.

use std::collections::BTreeMap;
use std::mem;

use model::audit::{Action, Event};

use super::Told;

/// Kinds of refusals that are told apart in one while; what is beyond is counted by its action alone.
const MAX_KINDS: usize = 128;

/// What makes two refusals alike. What was asked for is not in it: that is the caller's to choose.
type Kind = (Action, String, String, String, String);

/// Refusals of one kind that have no line yet.
#[derive(Debug, Default)]
struct Repeated {
    count: u64,
    last_ns: i64,
}

/// Refusals of the current while.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    kinds: BTreeMap<Kind, Repeated>,
    others: BTreeMap<Action, Repeated>,
}

impl Repeats {
    /// Whether a refusal is the first of its kind in this while, and so has a line of its own; else it is counted.
    pub(super) fn is_first(&mut self, event: &Event, timestamp_ns: i64) -> bool {
        let kind = (
            event.action,
            event.code.clone(),
            event.actor.clone(),
            event.tenant.clone(),
            event.source.clone(),
        );
        let is_full = self.kinds.len() >= MAX_KINDS;
        let repeated = match self.kinds.get_mut(&kind) {
            Some(repeated) => repeated,
            None if is_full => self.others.entry(event.action).or_default(),
            None => {
                self.kinds.insert(kind, Repeated::default());
                return true;
            }
        };
        repeated.count += 1;
        repeated.last_ns = repeated.last_ns.max(timestamp_ns);
        false
    }

    /// Ends the while: a summary of every kind that was repeated.
    pub(super) fn summarise(&mut self) -> Vec<Told> {
        let kinds = mem::take(&mut self.kinds).into_iter().map(
            |((action, code, actor, tenant, source), repeated)| {
                let event = Event { code, actor, tenant, source, ..Event::new(action) };
                (event, repeated)
            },
        );
        let others = mem::take(&mut self.others).into_iter().map(|(action, repeated)| {
            (
                Event::new(action)
                    .code("ERR_OTHERS")
                    .with("reason", "refusals of too many kinds to tell apart"),
                repeated,
            )
        });
        let repeated = kinds.chain(others).filter(|(_, repeated)| repeated.count > 0);
        repeated
            .map(|(event, repeated)| Told { timestamp_ns: repeated.last_ns, event, repeated: repeated.count })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(actor: &str, path: &str) -> Event {
        Event::new(Action::RequestRefused).by(actor).on(path).code("ERR_SCOPE_MISMATCH")
    }

    #[test]
    fn the_first_of_a_kind_has_a_line_and_the_rest_are_one() {
        let mut repeats = Repeats::default();
        assert!(repeats.is_first(&refusal("ann", "/a"), 1));
        assert!(repeats.is_first(&refusal("bob", "/a"), 2));
        for n in 3..1_000 {
            assert!(
                !repeats.is_first(&refusal("ann", &format!("/{n}")), n),
                "what is asked for makes no kind"
            );
        }
        let summary = repeats.summarise();
        assert_eq!(summary.len(), 1, "{summary:?}");
        assert_eq!((summary[0].repeated, summary[0].timestamp_ns), (997, 999));
        assert_eq!(summary[0].event.actor, "ann");
        assert!(repeats.summarise().is_empty());
        assert!(repeats.is_first(&refusal("ann", "/a"), 1_000), "a new while begins");
    }

    #[test]
    fn too_many_kinds_become_one() {
        let mut repeats = Repeats::default();
        let first = (0..100_000).filter(|n| repeats.is_first(&refusal(&n.to_string(), "/"), *n)).count();
        assert_eq!(first, MAX_KINDS);
        let summary = repeats.summarise();
        assert_eq!(summary.len(), 1, "{summary:?}");
        assert_eq!(summary[0].repeated, 100_000 - MAX_KINDS as u64);
        assert_eq!(summary[0].event.code, "ERR_OTHERS");
    }
}
