//! How like a name is to what was typed: a share between 0 and 1.

/// How likeness is measured where the text does not stand in the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// The letters of the text stand in the name in their order.
    Subsequence,
    /// Letters in common, near their places; a common beginning counts more.
    JaroWinkler,
}

/// What is searched for.
#[derive(Debug)]
pub(super) struct Search {
    terms: Vec<String>,
    algorithm: Algorithm,
    /// What a likeness must reach.
    threshold: f64,
    is_exact: bool,
}

impl Search {
    /// Names that are like any of the terms; all names where there is none. `is_exact` tells small and capital letters
    /// apart.
    pub(super) fn new(terms: Vec<String>, algorithm: Algorithm, threshold: f64, is_exact: bool) -> Self {
        let fold = |term: String| if is_exact { term } else { term.to_lowercase() };
        Self { terms: terms.into_iter().map(fold).collect(), algorithm, threshold, is_exact }
    }

    /// How like a name is to the most like of the terms; none where it is not like enough.
    pub(super) fn score(&self, name: &str) -> Option<f64> {
        if self.terms.is_empty() {
            return Some(1.0);
        }
        let folded = (!self.is_exact).then(|| name.to_lowercase());
        let name = folded.as_deref().unwrap_or(name);
        let scores = self.terms.iter().filter_map(|term| self.of_term(name, term));
        scores.max_by(f64::total_cmp)
    }

    fn of_term(&self, name: &str, term: &str) -> Option<f64> {
        if name.starts_with(term) {
            return Some(1.0);
        }
        match self.algorithm {
            Algorithm::Subsequence => {
                Some(subsequence(name, term)).filter(|score| *score > 0.0 && *score >= self.threshold)
            }
            Algorithm::JaroWinkler => match name.find(term) {
                Some(at) => Some(within(name, term, at)),
                None if self.threshold == 0.0 => None,
                None => Some(jaro_winkler(name, term)).filter(|score| *score >= self.threshold),
            },
        }
    }
}

/// The likeness of a name with the text inside it, at this place in bytes: the later, the less, down to a tenth.
fn within(name: &str, term: &str, at: usize) -> f64 {
    let last = name.chars().count().saturating_sub(term.chars().count()).max(1);
    1.0 - 0.9 * name[..at].chars().count() as f64 / last as f64
}

/// How close together the letters of the text stand in the name, in their order: the squares of the lengths of runs, less
/// what lies between, as a share of one run of all letters. Of each place where the first letter stands, the next places
/// of the others count; the best holds. 0 where a letter is missing.
///
/// Source: the `subsequence` search of Prometheus' API.
fn subsequence(name: &str, term: &str) -> f64 {
    let (name, term): (Vec<char>, Vec<char>) = (name.chars().collect(), term.chars().collect());
    let starts = (0..name.len()).filter(|start| name.get(*start) == term.first());
    let best = starts.map_while(|start| from_start(&name, &term, start)).fold(0.0, f64::max);
    best / (term.len().max(1) as f64).powi(2)
}

fn from_start(name: &[char], term: &[char], start: usize) -> Option<f64> {
    let length = name.len() as f64;
    let (mut score, mut place, mut letters) = (0.0, start, term);
    let mut behind_last = 0;
    while let Some(letter) = letters.first() {
        place += name.get(place..)?.iter().position(|other| other == letter)?;
        let run = name[place..].iter().zip(letters).take_while(|(a, b)| a == b).count();
        score += (run as f64).powi(2) - (place - behind_last) as f64 / length;
        place += run;
        behind_last = place;
        letters = &letters[run..];
    }
    Some(score - (name.len() - behind_last) as f64 / (2.0 * length))
}

/// Source: "String Comparator Metrics and Enhanced Decision Rules in the Fellegi-Sunter Model of Record Linkage".
fn jaro_winkler(a: &str, b: &str) -> f64 {
    const PREFIX: usize = 4;
    const WEIGHT: f64 = 0.1;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let jaro = jaro(&a, &b);
    let common = a.iter().zip(&b).take(PREFIX).take_while(|(a, b)| a == b).count();
    jaro + common as f64 * WEIGHT * (1.0 - jaro)
}

fn jaro(a: &[char], b: &[char]) -> f64 {
    let reach = (a.len().max(b.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; b.len()];
    let mut of_a = Vec::new();
    for (i, letter) in a.iter().enumerate() {
        let near = i.saturating_sub(reach)..(i + reach + 1).min(b.len());
        if let Some(j) = near.into_iter().find(|j| !taken[*j] && b[*j] == *letter) {
            taken[j] = true;
            of_a.push(*letter);
        }
    }
    if of_a.is_empty() {
        return 0.0;
    }
    let of_b = b.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(letter, _)| letter);
    let moved = of_a.iter().zip(of_b).filter(|(a, b)| a != b).count();
    let matches = of_a.len() as f64;
    (matches / a.len() as f64 + matches / b.len() as f64 + (matches - moved as f64 / 2.0) / matches) / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likeness_is_as_published() {
        for (a, b, wanted) in [("MARTHA", "MARHTA", 0.961), ("DIXON", "DICKSONX", 0.813), ("a", "b", 0.0)] {
            assert!((jaro_winkler(a, b) - wanted).abs() < 5e-4, "{a} {b} {}", jaro_winkler(a, b));
        }
        let cases = [
            ("http_requests", "hrq", (1.0 - 0.0 + 1.0 - 4.0 / 13.0 + 1.0 - 1.0 / 13.0 - 5.0 / 26.0) / 9.0),
            ("a_total", "total", (25.0 - 2.0 / 7.0) / 25.0),
            ("ab_abc", "abc", (9.0 - 3.0 / 6.0) / 9.0),
            ("http", "httpx", 0.0),
            ("", "a", 0.0),
        ];
        for (name, term, wanted) in cases {
            assert!((subsequence(name, term) - wanted).abs() < 1e-12, "{name} {}", subsequence(name, term));
        }
    }

    #[test]
    fn a_name_that_begins_with_the_text_is_most_like_it() {
        let search =
            |algorithm, threshold, exact| Search::new(vec!["Req".to_owned()], algorithm, threshold, exact);
        use Algorithm::{JaroWinkler, Subsequence};
        assert_eq!(search(Subsequence, 0.0, true).score("requests"), None);
        assert_eq!(search(Subsequence, 0.0, false).score("requests"), Some(1.0));
        assert!(search(Subsequence, 0.1, false).score("r_e_q").is_some());
        assert_eq!(search(Subsequence, 0.9, false).score("r_e_q"), None);
        assert!((search(JaroWinkler, 0.0, false).score("a_req").unwrap() - 0.1).abs() < 1e-12);
        assert!((search(JaroWinkler, 0.0, false).score("a_req_b").unwrap() - 0.55).abs() < 1e-12);
        assert_eq!(search(JaroWinkler, 0.0, false).score("rqe"), None);
        assert!(search(JaroWinkler, 0.5, false).score("rqe").is_some());
        assert_eq!(Search::new(Vec::new(), JaroWinkler, 0.0, true).score("any"), Some(1.0));
        assert_eq!(Search::new(vec![String::new()], Subsequence, 1.0, true).score("any"), Some(1.0));
    }
}
