//! Whatever happens to the bytes of a log file, every record that is whole is found.

use std::io::Write;

use model::log::{Entry, LogBatchBuilder};
use model::{Batch, Labels, TenantId};
use proptest::prelude::*;

use super::*;
use crate::wal::record::encode;

fn record(line: &str) -> Vec<u8> {
    let mut builder = LogBatchBuilder::default();
    let stream = builder.stream(&Labels::from_pairs([("app", "x")]));
    builder.entry(stream, Entry { timestamp_ns: 1, line, ..Entry::default() });
    encode(&TenantId::parse("t").unwrap(), &Batch::Logs(builder.finish()), usize::MAX).unwrap()
}

fn read(bytes: &[u8]) -> Vec<Step> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let mut log = LogFile::open(&crate::disk::SystemDisk, file.path(), 3).unwrap();
    let mut steps = Vec::new();
    while steps.len() < 1_000 {
        match log.step().unwrap() {
            Step::End => return steps,
            step => steps.push(step),
        }
    }
    panic!("reading does not end");
}

fn whole(records: &[&[u8]]) -> Vec<u8> {
    let mut bytes = file_header(3).to_vec();
    records.iter().for_each(|record| bytes.extend_from_slice(record));
    bytes
}

#[test]
fn damage_is_named_and_the_rest_is_read() {
    let (one, two, three) = (record("one"), record("two"), record("three"));
    let file = whole(&[&one, &two, &three]);
    let start = |n: usize| FILE_HEADER_BYTES + [0, one.len(), one.len() + two.len()][n] as u64;
    let at = |n: usize, bytes: &Vec<u8>| Step::Record { offset: start(n), bytes: bytes.clone() };
    let all = vec![at(0, &one), at(1, &two), at(2, &three)];
    assert_eq!(read(&file), all);

    let mut flipped = file.clone();
    flipped[usize::try_from(start(1)).unwrap() + 40] ^= 1;
    let set_aside = Step::Damaged { start: start(1), end: start(2) };
    assert_eq!(read(&flipped), vec![at(0, &one), set_aside, at(2, &three)]);

    let cut = Step::Tail { start: start(2), is_torn: true };
    assert_eq!(read(&file[..file.len() - 1]), vec![at(0, &one), at(1, &two), cut]);

    let mut zeros = whole(&[&one]);
    zeros.extend_from_slice(&[0; 4_096]);
    assert_eq!(read(&zeros), vec![at(0, &one), Step::Tail { start: start(1), is_torn: true }]);

    let mut rotten = file.clone();
    *rotten.last_mut().unwrap() ^= 1;
    let rot = Step::Tail { start: start(2), is_torn: false };
    assert_eq!(read(&rotten), vec![at(0, &one), at(1, &two), rot]);

    let mut headless = file;
    headless[0] ^= 1;
    let damaged = Step::Damaged { start: 0, end: FILE_HEADER_BYTES };
    let mut expected = vec![damaged];
    expected.extend(all);
    assert_eq!(read(&headless), expected);
    assert_eq!(read(&[]), vec![]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn garbage_between_records_hides_none(garbage in prop::collection::vec(any::<u8>(), 1..200)) {
        let (one, two) = (record("one"), record("two"));
        let found = read(&whole(&[&garbage, &one, &garbage, &two]));
        let lens: Vec<usize> = found
            .iter()
            .filter_map(|step| match step {
                Step::Record { bytes, .. } => Some(bytes.len()),
                _ => None,
            })
            .collect();
        prop_assert_eq!(lens, vec![one.len(), two.len()]);
    }
}
