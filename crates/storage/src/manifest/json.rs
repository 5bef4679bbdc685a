//! A manifest's bytes: JSON that people can read, whose last field is the checksum of everything before it.

use serde::Deserialize;

use super::{FORMAT, Manifest};
use crate::error::StorageError;
use crate::segment::blocks::Checksum;

/// What stands between the last field and the digits of the checksum. The checksum covers it too.
const BEFORE: &[u8] = b",\n  \"xxh3\": \"";
/// What follows the digits.
const AFTER: &[u8] = b"\"\n}\n";
/// How the JSON of the other fields ends.
const BRACE: &[u8] = b"\n}";
const DIGITS: usize = 16;

/// Why bytes are no manifest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// They are not what was written; the reason in words.
    Damaged(String),
    /// They are whole, and of a format that this version does not know.
    Newer(u32),
}

/// The one field that every format has; the checksum stands in the same place in every format.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A manifest as bytes.
///
/// # Errors
/// When it does not become JSON.
pub(crate) fn encode(manifest: &Manifest) -> Result<Vec<u8>, StorageError> {
    let json = serde_json::to_vec_pretty(manifest);
    let mut bytes =
        json.map_err(|error| StorageError::Internal(format!("a manifest does not become JSON: {error}")))?;
    bytes.truncate(bytes.len() - BRACE.len());
    bytes.extend_from_slice(BEFORE);
    let checksum = Checksum::of(&bytes);
    bytes.extend_from_slice(checksum.to_string().as_bytes());
    bytes.extend_from_slice(AFTER);
    Ok(bytes)
}

/// Reads a manifest, once its checksum fits.
pub(crate) fn decode(bytes: &[u8]) -> Result<Manifest, Refusal> {
    let damaged = |reason: &str| Refusal::Damaged(reason.to_owned());
    let fields = fields(bytes).ok_or_else(|| damaged("the checksum does not fit"))?;
    let parsed = |error: serde_json::Error| Refusal::Damaged(error.to_string());
    let Format { format } = serde_json::from_slice(&fields).map_err(parsed)?;
    if format > FORMAT {
        return Err(Refusal::Newer(format));
    }
    serde_json::from_slice(&fields).map_err(parsed)
}

/// The JSON of all fields but the checksum; none where the checksum is another.
fn fields(bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes.strip_suffix(AFTER)?;
    let (covered, digits) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    let checksum = Checksum::parse(std::str::from_utf8(digits).ok()?)?;
    if Checksum::of(covered) != checksum {
        return None;
    }
    let mut fields = covered.strip_suffix(BEFORE)?.to_vec();
    fields.extend_from_slice(BRACE);
    Some(fields)
}

#[cfg(test)]
mod tests {
    use model::{Signal, TenantId};

    use super::super::keeping::{
        Condition, Deletion, Hold, HoldKind, LineOp, LineTest, NextPolicy, Policy, Retained,
    };
    use super::*;

    fn manifest() -> Manifest {
        Manifest { version: 3, ..Manifest::empty(&TenantId::parse("acme").unwrap(), Signal::Logs) }
    }

    #[test]
    fn a_manifest_is_json_with_its_checksum_at_the_end() {
        let bytes = encode(&manifest()).unwrap();
        assert_eq!(decode(&bytes), Ok(manifest()));
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((json["version"].as_u64(), json["xxh3"].as_str().map(str::len)), (Some(3), Some(16)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = encode(&manifest()).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(matches!(decode(&damaged), Err(Refusal::Damaged(_))), "byte {at}, bit {bit}");
            }
            assert!(matches!(decode(&bytes[..at]), Err(Refusal::Damaged(_))), "{at}");
        }
    }

    #[test]
    fn what_is_deleted_held_and_kept_is_left_out_where_there_is_nothing_and_comes_back_where_there_is() {
        let plain = String::from_utf8(encode(&manifest()).unwrap()).unwrap();
        for field in ["deletions", "cut", "holds", "retention", "cleared", "cleared_also"] {
            assert!(!plain.contains(field), "{plain}");
        }
        let condition = Condition { name: "app".into(), op: "=".into(), value: "web".into() };
        let policy = Policy { kept_ns: Some(5), rules: Vec::new() };
        let full = Manifest {
            deletions: vec![Deletion {
                number: 1,
                id: "01J9Z3W6E8R4T2Y0V7X5A1B3C9".into(),
                query: "{app=\"web\"} |= \"x\"".into(),
                conditions: vec![condition.clone()],
                lines: vec![LineTest { op: LineOp::Contains, texts: vec!["x".into()] }],
                labels: vec![condition.clone()],
                start_ns: i64::MIN,
                end_ns: i64::MAX,
                actor: "ann".into(),
                requested_ns: 1,
                due_ns: 2,
                processed_ns: Some(3),
            }],
            deletions_made: 1,
            cut: [("01J9Z3W6E8R4T2Y0V7X5A1B3C7".into(), 1)].into(),
            holds: vec![Hold {
                id: "01J9Z3W6E8R4T2Y0V7X5A1B3C8".into(),
                kind: HoldKind::Incident,
                conditions: vec![condition],
                start_ns: 0,
                end_ns: 9,
                reason: "r".into(),
                actor: "ann".into(),
                since_ns: 1,
                until_ns: Some(2),
                notes: [("severity".into(), "high".into())].into(),
            }],
            retention: Some(Retained {
                policy: policy.clone(),
                next: Some(NextPolicy { policy, from_ns: 7 }),
            }),
            ..manifest()
        };
        assert_eq!(decode(&encode(&full).unwrap()), Ok(full));
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let newer = encode(&Manifest { format: FORMAT + 1, ..manifest() }).unwrap();
        assert_eq!(decode(&newer), Err(Refusal::Newer(FORMAT + 1)));
    }
}
