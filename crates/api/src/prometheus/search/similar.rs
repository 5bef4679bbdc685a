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
    /// What a likeness must reach; none where the text must stand in the name.
    threshold: Option<f64>,
    is_exact: bool,
}

impl Search {
    /// Names that are like any of the terms; all names where there is none. `is_exact` tells small and capital letters
    /// apart.
    pub(super) fn new(
        terms: Vec<String>,
        algorithm: Algorithm,
        threshold: Option<f64>,
        is_exact: bool,
    ) -> Self {
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
        if name == term {
            return Some(1.0);
        }
        let threshold = match self.threshold {
            None => return name.contains(term).then(|| coverage(name, term)),
            Some(threshold) => threshold,
        };
        let score = match self.algorithm {
            Algorithm::Subsequence => subsequence(name, term),
            Algorithm::JaroWinkler => jaro_winkler(name, term),
        };
        let score = if name.contains(term) { score.max(coverage(name, term)) } else { score };
        (score >= threshold && score > 0.0).then_some(score)
    }
}

/// How much of the name the text is.
fn coverage(name: &str, term: &str) -> f64 {
    term.chars().count() as f64 / name.chars().count().max(1) as f64
}

/// How close together the letters of the text stand in the name; 0 where one is missing.
fn subsequence(name: &str, term: &str) -> f64 {
    let (mut letters, mut first, mut last, mut found) = (term.chars().peekable(), None, 0, 0);
    for (place, letter) in name.chars().enumerate() {
        if letters.peek() == Some(&letter) {
            letters.next();
            first = first.or(Some(place));
            (last, found) = (place, found + 1);
        }
    }
    match first {
        Some(first) if letters.peek().is_none() => f64::from(found) / (last - first + 1) as f64,
        _ => 0.0,
    }
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
        assert_eq!(subsequence("http_requests", "hrq"), 3.0 / 8.0);
        assert_eq!(subsequence("http", "httpx"), 0.0);
        assert_eq!(subsequence("", ""), 0.0);
    }

    #[test]
    fn without_a_threshold_the_text_must_stand_in_the_name() {
        let search =
            |threshold, exact| Search::new(vec!["Req".to_owned()], Algorithm::Subsequence, threshold, exact);
        assert_eq!(search(None, true).score("requests"), None);
        assert_eq!(search(None, false).score("requests"), Some(3.0 / 8.0));
        assert_eq!(search(Some(0.5), false).score("r_e_q"), Some(3.0 / 5.0));
        assert_eq!(search(Some(0.9), false).score("r_e_q"), None);
        assert_eq!(Search::new(Vec::new(), Algorithm::JaroWinkler, None, true).score("any"), Some(1.0));
    }
}
