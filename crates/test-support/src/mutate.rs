//! Damage to samples, the same at each run: what a fuzzer would do, bounded, on a stable compiler.

/// Gives `each` of `count` mutations of the samples: cut, bits flipped, numbers replaced by extremes, parts doubled or taken
/// from another sample.
pub fn mutate(samples: &[Vec<u8>], count: usize, mut each: impl FnMut(&[u8])) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if below == 0 { 0 } else { usize::try_from(state % below as u64).unwrap() }
    };
    for sample in samples {
        each(sample);
    }
    for number in 0..count {
        let mut bytes = samples[number % samples.len()].clone();
        for _ in 0..=random(4) {
            match random(6) {
                0 => bytes.truncate(random(bytes.len() + 1)),
                1 if !bytes.is_empty() => {
                    let at = random(bytes.len());
                    bytes[at] ^= 1 << random(8);
                }
                2 if bytes.len() >= 4 => {
                    let at = random(bytes.len() - 3);
                    let extreme = [0, 1, 0x7F, 0x80, 0xFF][random(5)];
                    bytes[at..at + 4].fill(extreme);
                }
                3 => {
                    let other = &samples[random(samples.len())];
                    let (from, at) = (random(other.len()), random(bytes.len()));
                    let until = from + random(other.len() - from);
                    let part = other[from..until].iter().copied().take(4_096).collect::<Vec<_>>();
                    bytes.splice(at..at, part);
                }
                4 if !bytes.is_empty() => {
                    let (from, to) = (random(bytes.len()), random(bytes.len()));
                    bytes.drain(from.min(to)..from.max(to));
                }
                _ if !bytes.is_empty() => {
                    let at = random(bytes.len());
                    bytes[at] = b"0123456789{}[]\",:-\0\xFF/."[random(22)];
                }
                _ => {}
            }
        }
        each(&bytes);
    }
}

/// The most memory that this process has had, in bytes.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1_024
}
