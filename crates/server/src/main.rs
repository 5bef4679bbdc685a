//! The binary `stella`: reads the command line and calls the command.

use std::process::ExitCode;

use clap::Parser;
use server::commands::{Cli, Command};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    security::tls::install_provider();
    let result = match Cli::parse().command {
        Command::Up(up) => up.run(),
        Command::Serve(serve) => serve.run(),
        Command::Query(query) => query.run(),
        Command::Bench(bench) => bench.run(),
        Command::Segment(segment) => segment.run(),
        Command::Tls(tls) => tls.run(),
        Command::Authority(authority) => authority.run(),
        Command::Config(config) => config.run(),
        Command::Tenant(tenant) => tenant.run(),
        Command::Retention(retention) => retention.run(),
        Command::Incident(incident) => incident.run(),
        Command::Auth(auth) => auth.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the command failed, and this is where it says why")]
fn complain(error: &anyhow::Error) {
    eprintln!("stella: {error:#}");
}
