//! The binary `stella`: where the parts meet, and what a person starts.
//!
//! Not here: anything that another room could hold. [`assemble`] says in reading order how the parts are joined.

pub mod commands;

pub mod config;

pub mod overrides;

pub mod assemble;

mod cgroup;

pub mod memory;

mod pressure;

mod environment;

mod who;

mod doors;

pub mod keeping;

mod selector;

mod lifecycle;

mod collector_ports;

pub mod listeners;

mod certificates;

mod requests;

mod exposition;

mod process;

pub mod own;

mod audit;

mod status;

mod logging;

mod shutdown;

pub mod clock;
