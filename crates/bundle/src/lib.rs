//! The room of signed bundles for sites without a network. It holds no code yet.
