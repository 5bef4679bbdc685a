//! What the messages of each protocol mean in the nouns of `model`. Pure and synchronous: no network, no store.

pub(crate) mod size;

pub(crate) mod tenant;

pub(crate) mod attributes;

pub(crate) mod names;

pub(crate) mod resource;

pub(crate) mod series;

pub(crate) mod metrics;

pub(crate) mod histograms;

pub(crate) mod exemplars;

pub(crate) mod remote_write;

pub(crate) mod families;

pub(crate) mod logs;

pub(crate) mod streams;

pub(crate) mod push;

pub(crate) mod levels;

pub(crate) mod traces;
