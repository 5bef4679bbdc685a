//! What must be true of a manifest before it is committed; every reader relies on it.

use std::collections::HashSet;

use super::{FORMAT, Manifest, SegmentMeta};
use crate::error::StorageError;

/// Checks one manifest by itself.
///
/// # Errors
/// [`StorageError::Invariant`] that names the rule.
pub(crate) fn check(manifest: &Manifest) -> Result<(), StorageError> {
    if manifest.format != FORMAT {
        return broken(format!("format={} is not known, {FORMAT} is", manifest.format));
    }
    let mut ids = HashSet::with_capacity(manifest.segments.len());
    for segment in &manifest.segments {
        if !ids.insert(segment.id.as_str()) {
            return broken(format!("segment `{}` is named twice", segment.id));
        }
        check_segment(segment)?;
    }
    let mut quarantined = HashSet::new();
    for aside in &manifest.quarantined {
        if !quarantined.insert(aside.segment.id.as_str()) {
            return broken(format!("segment `{}` is set aside twice", aside.segment.id));
        }
        check_path(&aside.segment)?;
    }
    check_deletions(manifest)
}

/// What says which deletions concern which rows.
fn check_deletions(manifest: &Manifest) -> Result<(), StorageError> {
    let made = manifest.deletions_made;
    let mut last = 0;
    for deletion in &manifest.deletions {
        if deletion.number <= last || deletion.number > made {
            return broken(format!("deletion number={} follows {last} of {made}", deletion.number));
        }
        last = deletion.number;
    }
    if let Some(segment) = manifest.segments.iter().find(|segment| segment.cleared > made) {
        return broken(format!("segment `{}` is cleared to {} of {made}", segment.id, segment.cleared));
    }
    for segment in &manifest.segments {
        let mut last = segment.cleared;
        for (first, to) in &segment.cleared_also {
            // A stretch that follows at once would belong to what is before it.
            if *first <= last.saturating_add(1) || to < first || *to > made {
                let stretch = format!("{first} to {to} after {last}, of {made}");
                return broken(format!("segment `{}` is cleared from {stretch}", segment.id));
            }
            last = *to;
        }
    }
    match manifest.cut.iter().find(|(_, cut)| **cut > made) {
        Some((node, cut)) => broken(format!("node `{node}` is cut at {cut} of {made}")),
        None => Ok(()),
    }
}

/// Checks the step from one version to the next.
///
/// # Errors
/// [`StorageError::Invariant`] that names the rule.
pub(crate) fn check_step(current: &Manifest, next: &Manifest) -> Result<(), StorageError> {
    check(next)?;
    if Some(next.version) != current.version.checked_add(1) {
        return broken(format!("version={} does not follow {}", next.version, current.version));
    }
    if (&next.tenant, &next.signal) != (&current.tenant, &current.signal) {
        return broken(format!("tenant or signal changes at version={}", next.version));
    }
    if next.transaction.is_empty() || next.transaction == current.transaction {
        return broken(format!("version={} has no transaction of its own", next.version));
    }
    if next.deletions_made < current.deletions_made {
        return broken(format!("the number of deletions goes back to {}", next.deletions_made));
    }
    for (node, cut) in &current.cut {
        if next.cut_at(node) < *cut {
            return broken(format!("the cut of node `{node}` goes back"));
        }
    }
    for (node, position) in &current.flushed {
        if next.flushed.get(node).is_none_or(|new| new < position) {
            return broken(format!("the flushed position of node `{node}` goes back"));
        }
    }
    Ok(())
}

/// What a segment's paths are made of.
fn check_path(segment: &SegmentMeta) -> Result<(), StorageError> {
    let id = &segment.id;
    if id.len() != 26 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return broken(format!("segment id `{id}` is not a ULID"));
    }
    let is_day = segment.day.len() == 10
        && segment.day.bytes().enumerate().all(|(i, b)| match i {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        });
    if !is_day {
        return broken(format!("day `{}` of segment `{id}` is not yyyy-mm-dd", segment.day));
    }
    let mut names = HashSet::new();
    for part in &segment.parts {
        if !names.insert(part.name.as_str()) {
            return broken(format!("segment `{id}` has part `{}` twice", part.name));
        }
        if !part.name.bytes().all(|b| b.is_ascii_lowercase()) {
            return broken(format!("part `{}` of segment `{id}` is badly named", part.name));
        }
    }
    Ok(())
}

fn check_segment(segment: &SegmentMeta) -> Result<(), StorageError> {
    check_path(segment)?;
    let id = &segment.id;
    if segment.end_ns < segment.start_ns {
        return broken(format!("segment `{id}` ends before it starts"));
    }
    for part in &segment.parts {
        if part.tail_bytes == 0 || part.tail_bytes > part.bytes {
            return broken(format!("the end of part `{}` of segment `{id}` is not in the file", part.name));
        }
    }
    if segment.parts.is_empty() || segment.rows == 0 {
        return broken(format!("segment `{id}` has nothing in it"));
    }
    Ok(())
}

fn broken<T>(rule: String) -> Result<T, StorageError> {
    Err(StorageError::Invariant(rule))
}
