//! The cluster that telemetry comes from: namespaces, services, nodes and pods with names like real ones.

use rand::Rng;
use rand::rngs::StdRng;

/// Services with the namespace that each is in.
pub(in super::super) const SERVICES: [(&str, &str); 24] = [
    ("gateway", "edge"),
    ("frontend", "edge"),
    ("ads", "shop"),
    ("cart", "shop"),
    ("catalog", "shop"),
    ("checkout", "shop"),
    ("inventory", "shop"),
    ("orders", "shop"),
    ("pricing", "shop"),
    ("recommendation", "shop"),
    ("reviews", "shop"),
    ("search", "shop"),
    ("billing", "payments"),
    ("fraud", "payments"),
    ("ledger", "payments"),
    ("payment", "payments"),
    ("auth", "identity"),
    ("sessions", "identity"),
    ("users", "identity"),
    ("email", "platform"),
    ("geo", "platform"),
    ("media", "platform"),
    ("notifications", "platform"),
    ("shipping", "platform"),
];

/// Nodes that pods run on.
pub(super) const NODES: usize = 24;

/// A pod of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    /// The number of its service in [`SERVICES`].
    pub(super) service: usize,
    /// Its name: service, replica set and a suffix of its own.
    pub(super) name: String,
    /// The node that it runs on.
    pub(super) node: String,
    /// Its address.
    pub(super) ip: String,
}

impl Pod {
    /// A new pod of a service.
    pub(super) fn new(service: usize, random: &mut StdRng) -> Self {
        // The letters of Kubernetes' suffixes: no vowels, and none that look like digits.
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let suffix: String =
            (0..5).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect();
        let (name, _) = SERVICES[service];
        let replica_set = (service as u32).wrapping_mul(0x9e37_79b9) ^ 0x5bd1_e995;
        let node = random.random_range(0..NODES);
        Self {
            service,
            name: format!("{name}-{replica_set:08x}-{suffix}"),
            node: format!("node-{node:02}.cluster.example"),
            ip: format!("10.42.{node}.{}", random.random_range(2..250)),
        }
    }

    /// Its service's name.
    pub(super) fn service_name(&self) -> &'static str {
        SERVICES[self.service].0
    }

    /// The namespace that it is in.
    pub(super) fn namespace(&self) -> &'static str {
        SERVICES[self.service].1
    }
}
