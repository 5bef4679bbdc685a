//! The engine through its real doors: a folder or memory as the store, a real log, a clock that stands still.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod faulty;

mod fixture;

mod durability;

mod damage;
mod deletes;

mod limits;

mod full_disk;

mod retention;

mod rig;

mod reads;

mod merging;

mod extremes;

mod formats;

mod rich;

mod corruption;

mod golden;

mod compaction;

mod steady;

mod store_contract;

mod requests;

mod buckets;

#[path = "../../../../tests/emulators.rs"]
mod emulators;

mod sim;
