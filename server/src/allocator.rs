//! What glibc keeps of what was freed: docs/adr/0074-what-the-allocator-keeps.md.
use nix::libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, c_int, mallopt};

/// A piece as large as this is mapped for itself and given back when it is freed: a password's hash, a buffer of a backup.
const MAPPED_BYTES: c_int = 1 << 20;
/// So much may stay free at the end of an arena.
const KEPT_BYTES: c_int = 2 << 20;

/// Has glibc keep less: an arena for each core, and no threshold that grows with the largest piece that was ever freed.
/// What whoever starts us says in the environment, as `MALLOC_ARENA_MAX`, stays. For the moment before the first thread.
pub fn keep_little() {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let arenas = c_int::try_from(cores.clamp(2, 8)).unwrap_or(2);
    let tunables = std::env::var("GLIBC_TUNABLES").unwrap_or_default();
    for (variable, tunable, parameter, value) in [
        ("MALLOC_ARENA_MAX", "glibc.malloc.arena_max", M_ARENA_MAX, arenas),
        ("MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold", M_MMAP_THRESHOLD, MAPPED_BYTES),
        ("MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold", M_TRIM_THRESHOLD, KEPT_BYTES),
    ] {
        if std::env::var_os(variable).is_none() && !tunables.contains(tunable) {
            set(parameter, value);
        }
    }
}

/// What glibc does not take it leaves as it is.
#[expect(unsafe_code, reason = "glibc can be told in no other way")]
fn set(parameter: c_int, value: c_int) {
    // SAFETY: two numbers go in, and glibc takes its own lock.
    unsafe { mallopt(parameter, value) };
}
