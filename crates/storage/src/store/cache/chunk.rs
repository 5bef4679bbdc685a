//! A piece of a segment in the cache, and the file that holds one: a head that names the object, the bytes, and a checksum
//! of both. A file that is torn, damaged or another object's is no chunk.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::bounds::CHUNK_BYTES;

/// What every file begins with.
const MAGIC: &[u8; 16] = b"stella chunk 1\n\0";
/// Length of the head, as four bytes after the magic.
const LENGTH_BYTES: usize = 4;
/// The checksum at the end.
const SUM_BYTES: usize = 16;
/// A head; a path has at most some hundreds of bytes.
const MAX_HEAD_BYTES: usize = 8 << 10;

/// The longest file.
pub(crate) const MAX_FILE_BYTES: u64 =
    CHUNK_BYTES + (MAGIC.len() + LENGTH_BYTES + MAX_HEAD_BYTES + SUM_BYTES) as u64;

/// Which piece of which object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChunkKey {
    path: Path,
    number: u32,
}

impl ChunkKey {
    pub(crate) fn new(path: &Path, number: u32) -> Self {
        Self { path: path.clone(), number }
    }
}

/// A piece of an object.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// What the store says of the object.
    pub(crate) object: Arc<ObjectMeta>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    path: String,
    number: u32,
    bytes: u64,
    object_bytes: u64,
    modified_ms: i64,
    e_tag: Option<String>,
    version: Option<String>,
}

/// A moment as object stores have it; the epoch for what lies before it.
pub(crate) fn moment<T: From<SystemTime>>(unix_ms: i64) -> T {
    (UNIX_EPOCH + Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0))).into()
}

/// The bytes of the file that holds the chunk; none where the object's name is too long for one.
pub(crate) fn encode(path: &Path, number: u32, chunk: &Chunk) -> Option<Vec<u8>> {
    let head = Head {
        path: path.to_string(),
        number,
        bytes: chunk.bytes.len() as u64,
        object_bytes: chunk.object.size,
        modified_ms: chunk.object.last_modified.timestamp_millis(),
        e_tag: chunk.object.e_tag.clone(),
        version: chunk.object.version.clone(),
    };
    let head = serde_json::to_vec(&head).ok().filter(|head| head.len() <= MAX_HEAD_BYTES)?;
    let mut file =
        Vec::with_capacity(MAGIC.len() + LENGTH_BYTES + head.len() + chunk.bytes.len() + SUM_BYTES);
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&u32::try_from(head.len()).ok()?.to_le_bytes());
    file.extend_from_slice(&head);
    file.extend_from_slice(&chunk.bytes);
    file.extend_from_slice(&xxh3_128(&file).to_le_bytes());
    Some(file)
}

/// The chunk in a file's bytes; none where they are not whole, or another chunk's.
pub(crate) fn decode(path: &Path, number: u32, file: &Bytes) -> Option<Chunk> {
    let body = file.len().checked_sub(SUM_BYTES)?;
    let sum = u128::from_le_bytes(file[body..].try_into().ok()?);
    if xxh3_128(&file[..body]) != sum {
        return None;
    }
    let rest = file[..body].strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
    let head_bytes = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let head: Head = serde_json::from_slice(rest.get(..head_bytes)?).ok()?;
    let start = MAGIC.len() + LENGTH_BYTES + head_bytes;
    if head.path != path.as_ref() || head.number != number || head.bytes != (body - start) as u64 {
        return None;
    }
    let object = ObjectMeta {
        location: path.clone(),
        last_modified: moment(head.modified_ms),
        size: head.object_bytes,
        e_tag: head.e_tag,
        version: head.version,
    };
    Some(Chunk { bytes: file.slice(start..body), object: Arc::new(object) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(bytes: &[u8]) -> Chunk {
        let object = ObjectMeta {
            location: Path::from("tenants/a/x"),
            last_modified: moment(1_769_860_800_123),
            size: 5_000_000,
            e_tag: Some("\"e\"".to_owned()),
            version: None,
        };
        Chunk { bytes: Bytes::copy_from_slice(bytes), object: Arc::new(object) }
    }

    #[test]
    fn a_chunk_reads_back_as_itself_alone() {
        let path = Path::from("tenants/a/x");
        let file = Bytes::from(encode(&path, 3, &chunk(b"some bytes")).unwrap());
        let read = decode(&path, 3, &file).unwrap();
        assert_eq!(read.bytes, "some bytes");
        assert_eq!(*read.object, *chunk(b"").object);
        assert!(decode(&path, 4, &file).is_none(), "another chunk");
        assert!(decode(&Path::from("tenants/b/x"), 3, &file).is_none(), "another tenant's");
    }

    proptest! {
        #[test]
        fn a_torn_or_damaged_file_is_no_chunk(cut in 0..200_usize, at in 0..200_usize, flip in 1..=255_u8) {
            let path = Path::from("tenants/a/x");
            let file = encode(&path, 0, &chunk(&[7; 100])).unwrap();
            let torn = file[..cut.min(file.len() - 1)].to_vec();
            prop_assert!(decode(&path, 0, &torn.into()).is_none());
            let mut damaged = file.clone();
            let at = at % file.len();
            damaged[at] ^= flip;
            prop_assert!(decode(&path, 0, &damaged.into()).is_none());
        }

        #[test]
        fn arbitrary_bytes_are_no_chunk(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&Path::from("x"), 0, &bytes.into()).is_none());
        }
    }
}
