//! What is left out is said.
use std::io::Write as _;

/// Says that the test that runs, or a part of it, is left out, and why. Not by `eprintln!`: of a test that passes nobody would
/// see it, and `script/test` names at its end what was left out.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // In one piece: others write too.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {test}: {why}\n").as_bytes());
}
