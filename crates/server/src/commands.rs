//! The commands of the binary, one file each.

#[macro_use]
pub(crate) mod output;

pub mod serve;

pub mod query;

pub mod bench;

pub mod segment;

pub mod tls;

pub mod authority;

pub mod config;

pub mod tenant;

pub mod retention;

pub mod incident;

mod connect;

mod table;

use clap::{Parser, Subcommand};

/// Metrics, logs and traces of many tenants in one binary.
#[derive(Debug, Parser)]
#[command(name = "stella", version, about, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in one process on this machine, on a folder.
    Up(serve::Up),
    /// Run some or all roles with a configuration file.
    Serve(serve::Serve),
    /// Ask a running server.
    Query(query::Query),
    /// Measure a running server.
    Bench(bench::Bench),
    /// Look at what is kept on disk, compare checksums, and restore what was set aside.
    Segment(segment::Segment),
    /// Make certificates for development, and look at certificates.
    Tls(tls::Tls),
    /// Clients, tokens and keys of the Authority.
    Authority(authority::Authority),
    /// Look at configuration without starting anything.
    Config(config::ConfigCommand),
    /// The limits of tenants.
    Tenant(tenant::Tenant),
    /// What goes when: the plan, what may not go, and the proof that what is to go goes.
    Retention(retention::Retention),
    /// Incident mode of a tenant: while it lasts nothing goes.
    Incident(incident::Incident),
    /// Other words for `authority`.
    Auth(authority::Auth),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn flags_of_all_commands_fit_together() {
        Cli::command().debug_assert();
    }
}
