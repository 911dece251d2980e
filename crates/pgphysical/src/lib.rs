//! pgphysical
