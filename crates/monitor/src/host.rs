//! This machine: how much memory and how many processors there are for a server that runs on it.
use std::fs;

/// Memory of the machine, or of the container that we are in when that has less; `None` where it cannot be told.
pub(crate) fn memory_bytes() -> Option<i64> {
    let machine = of_meminfo(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse::<i64>().ok());
    Some(limit.map_or(machine, |limit| machine.min(limit)))
}

/// Processors that may be used here; `None` where it cannot be told.
pub(crate) fn cpus() -> Option<u32> {
    std::thread::available_parallelism().ok().and_then(|cpus| u32::try_from(cpus.get()).ok())
}

fn of_meminfo(text: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_is_read_from_the_kernel() {
        assert_eq!(super::of_meminfo("MemTotal:       24689152 kB\nMemFree: 1 kB\n"), Some(25_281_691_648));
        assert_eq!(super::of_meminfo("MemFree: 1 kB\n"), None);
    }
}
