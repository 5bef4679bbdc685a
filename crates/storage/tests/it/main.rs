//! The engine through its real doors: a folder or memory as the store, a real log, a clock that stands still.

mod faulty;

mod fixture;

mod durability;

mod damage;

mod limits;

mod retention;

mod rig;

mod reads;
