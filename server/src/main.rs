//! `holdfast`: the one binary. It reads the command line and the configuration, puts the parts together and serves
//! them; what the product does stands in the libraries.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator;
mod analytics;
mod api;
mod cli;
mod config;
mod evidence;
mod http;
mod kit;
mod open_files;
mod openapi;
mod platform;
mod protection;
mod repository;
mod size;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    allocator::keep_little();
    let command = cli::Cli::parse();
    open_files::raise_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            cli::complain(&format!("the asynchronous runtime does not start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli::run(command));
    // Whatever still runs in a blocking thread must not hold back the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}
