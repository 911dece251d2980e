//! What the allocator of a running `holdfast` keeps: docs/adr/0074-what-the-allocator-keeps.md.

/// Of an arena that is not the first, and where it begins.
const ARENA_BYTES: u64 = 64 << 20;

/// Arenas of glibc beside the first: each begins at a multiple of its size, and what it does not use yet is closed.
fn arenas(process: u32) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let regions = maps.lines().map(|line| {
        let mut words = line.split_whitespace();
        let (from, to) = words.next().unwrap().split_once('-').unwrap();
        let number = |hex| u64::from_str_radix(hex, 16).unwrap();
        (number(from), number(to), words.next().unwrap())
    });
    let regions = regions.collect::<Vec<_>>();
    let is_arena = |pair: &&[(u64, u64, &str)]| {
        let [(from, to, open), (next, end, closed)] = **pair else { return false };
        from % ARENA_BYTES == 0
            && to == next
            && end >= from + ARENA_BYTES
            && open.starts_with("rw")
            && closed.starts_with("---")
    };
    regions.windows(2).filter(is_arena).count()
}

/// Every thread would have its own otherwise, up to eight a core, and what is freed in one is for its own threads only.
pub fn assert_few_arenas(process: u32) {
    let most = std::thread::available_parallelism().unwrap().get().clamp(2, 8);
    let arenas = arenas(process);
    assert!((1..most).contains(&arenas), "{arenas} beside the first, of at most {most}");
}
