//! Rules that turn readings into rates, percentiles, findings and a score. Pure: no I/O, and no clock is read; time
//! is passed in. It compiles for the browser too.

pub mod activity;
pub mod advise;
pub mod alerts;
pub mod attention;
pub mod change;
pub mod columns;
pub mod conditions;
pub mod configuration;
pub mod connections;
pub mod csv;
pub mod delta;
pub mod durations;
pub mod fingerprint;
pub mod forecast;
pub mod health;
pub mod index_bloat;
pub mod indexes;
pub mod latency;
pub mod latency_classes;
pub mod locks;
pub mod log;
pub mod maintenance;
pub mod parse;
pub mod plan;
pub mod queries;
pub mod rates;
pub mod recovery;
pub mod replication;
pub mod sessions;
pub mod setup;
pub mod sqltext;
pub mod statements;
pub mod svg;
pub mod tables;
pub mod waits;
