//! The name that someone meant who wrote another.

/// With more wrong letters it is another name.
const TYPING_MISTAKES: usize = 2;

/// The one of `names` that is so close to `written` that it was meant.
pub(crate) fn nearest<'a>(written: &str, names: &[&'a str]) -> Option<&'a str> {
    let is_part = |name: &str| name.len() >= 4 && (written.starts_with(name) || name.starts_with(written));
    let distance = |name: &str| distance(written.as_bytes(), name.as_bytes());
    let nearest = names.iter().copied().min_by_key(|name| distance(name))?;
    if distance(nearest) <= TYPING_MISTAKES {
        return Some(nearest);
    }
    names.iter().copied().filter(|name| is_part(name)).max_by_key(|name| name.len())
}

/// The letters to be put in, taken out or replaced to make `one` of `other` (Levenshtein 1965).
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_found() {
        let names = ["workers", "metrics", "from", "checkpoint_dir", "checkpoint_interval", "state_memory"];
        for (written, meant) in [
            ("worker", Some("workers")),
            ("checkpoint_interval_ms", Some("checkpoint_interval")),
            ("checkpoint-interval", Some("checkpoint_interval")),
            ("metrics_address", Some("metrics")),
            ("from_checkpoint", Some("from")),
            ("state_memory_mib", Some("state_memory")),
            ("checkpoint_every", None),
            ("parallelism", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, &names), meant, "{written}");
        }
        assert_eq!(nearest("workers", &[]), None);
    }
}
