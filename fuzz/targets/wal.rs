//! A file of the log: bytes behind its header, and the same bytes as the tables of a record whose frame and checksum
//! fit. Whatever they are, reading ends, and what is no record is reported.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::path::PathBuf;
use std::sync::Arc;

use object_store::memory::InMemory;
use storage::verify::Verification;

const TENANT: &[u8] = b"a";
const SIGNALS: u8 = 3;

fn file(sequence: u64, records: &[u8]) -> Vec<u8> {
    [b"STLAWAL1".as_slice(), &sequence.to_le_bytes(), records].concat()
}

/// A record of a batch, whole but for what its block holds.
fn record(signal: u8, block: &[u8]) -> Vec<u8> {
    let kinds = [1, signal, TENANT.len() as u8, 0];
    let labels_bytes = (1_u32 << 16).to_le_bytes();
    let body = [kinds.as_slice(), TENANT, &labels_bytes, block].concat();
    let length = (body.len() as u32).to_le_bytes();
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&length), &body);
    [b"SREC".as_slice(), &length, &checksum.to_le_bytes(), &body].concat()
}

stella_fuzz::target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let folder: PathBuf = std::env::temp_dir().join(format!("stella-fuzz-wal-{}", std::process::id()));
    let wal = folder.join("wal");
    std::fs::create_dir_all(&wal).expect("a folder is made");
    let block = snap::raw::Encoder::new().compress_vec(bytes).expect("bytes of this size are compressed");
    let framed: Vec<u8> = (0..SIGNALS).flat_map(|signal| record(signal, &block)).collect();
    for (sequence, records) in [(1, bytes), (2, framed.as_slice())] {
        std::fs::write(wal.join(format!("{sequence:020}.wal")), file(sequence, records))
            .expect("a file is written");
    }
    runtime.block_on(async {
        let store = Arc::new(InMemory::new());
        let verification = Verification { store, data_dir: Some(folder), tenant: None, signal: None };
        let report = verification.run().await.expect("memory and files answer");
        assert_eq!(report.log_files, 2);
    });
});
