//! pgstat
