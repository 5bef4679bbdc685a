//! Azurite as the Azure Blob server.

use std::process::Command;
use std::sync::OnceLock;

use crate::emulators::{BUCKET, Emulator, installed, root};

/// Azurite's well-known account.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";

/// Its key, which is no secret.
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The server.
pub(crate) fn azure() -> &'static Emulator {
    static SERVER: OnceLock<Emulator> = OnceLock::new();
    SERVER.get_or_init(|| {
        let mut command = Command::new("node");
        let modules = installed("STELLA_TEST_NODE_MODULES", "node/node_modules");
        command.arg(root().join("tests/node/blob_server.js")).arg(modules).arg(BUCKET);
        Emulator::start(command)
    })
}
