//! Building what the browser loads, without cargo-leptos: see docs/adr/0004-no-cargo-leptos.md.
//!
//! `cargo xtask site [--profile wasm-dev|wasm-release]` makes `target/site`: the compiled front end with its bindings,
//! the style sheet as one file, everything in `public/`, and each of them compressed.

mod site;

use anyhow::{Result, bail};
use std::{io::Write as _, process::ExitCode};

const USAGE: &str = "usage: cargo xtask site [--profile wasm-dev|wasm-release] [--limit KIB]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("site") => {
            let mut options = site::Options::default();
            while let Some(flag) = arguments.next() {
                let Some(value) = arguments.next() else { bail!("{flag} needs a value; {USAGE}") };
                match flag.as_str() {
                    "--profile" => options.profile = value,
                    "--limit" => options.limit_kib = Some(value.parse()?),
                    _ => bail!("unknown flag {flag}; {USAGE}"),
                }
            }
            site::build(&options)
        }
        _ => bail!(USAGE),
    }
}
