//! How plugins are used: events with the shape that use has, and metrics with a day's rhythm.
//!
//! Use grows, rests at night and on weekends. A tenant's users join over time, use a few plugins that are theirs, come
//! from one country, and most of them come less often as time goes by; so there are cohorts, co-use and favourites to see.

use rand::{Rng as _, rngs::StdRng};
use std::fmt::Write as _;

/// Days of events. Some are past their time from the start, so that there is a month to archive.
const DAYS: u32 = 145;
/// Days of metrics.
const METRIC_DAYS: u64 = 30;
/// Plugins that were measured all the time.
const MEASURED: u32 = 100;
const DAY: u64 = 86_400;
/// How often all plugins were measured in the last day besides, so that the page of each has figures.
const ROUNDS: u32 = 3;
pub const METRICS: [&str; 6] = ["cpu_usage", "memory_usage", "request_rate", "error_rate", "latency_ms", "queue_depth"];
/// Of a hundred users.
const COUNTRIES: [(&str, u32); 16] = [
    ("US", 27),
    ("DE", 16),
    ("GB", 11),
    ("FR", 8),
    ("IN", 8),
    ("NL", 5),
    ("PL", 4),
    ("BR", 4),
    ("JP", 4),
    ("ES", 3),
    ("CA", 3),
    ("AU", 2),
    ("SE", 2),
    ("CH", 1),
    ("SG", 1),
    ("MX", 1),
];
/// Of a hundred events.
const EVENTS: [(&str, u32); 5] = [("view", 44), ("invoke", 36), ("configure", 10), ("install", 7), ("uninstall", 3)];
/// Of each hour (UTC), how busy it is.
const HOURS: [u32; 24] = [2, 2, 2, 2, 3, 5, 9, 16, 26, 33, 35, 33, 30, 34, 37, 36, 32, 27, 20, 14, 10, 7, 4, 3];
/// Monday first.
const WEEKDAYS: [u32; 7] = [94, 100, 99, 95, 84, 30, 26];

fn chosen<'a>(weights: &[(&'a str, u32)], at: u32) -> &'a str {
    let mut left = at % weights.iter().map(|it| it.1).sum::<u32>().max(1);
    for (value, weight) in weights {
        if left < *weight {
            return value;
        }
        left -= weight;
    }
    weights.first().map_or("", |it| it.0)
}

/// The same for the same numbers, and looks like none.
pub const fn mixed(a: u32, b: u32) -> u32 {
    let mut x = a.wrapping_mul(0x9E37_79B9) ^ b.wrapping_mul(0x85EB_CA6B);
    x ^= x >> 15;
    x = x.wrapping_mul(0x2C1B_3C6D);
    x ^= x >> 12;
    x = x.wrapping_mul(0x297A_2D39);
    x ^ (x >> 15)
}

/// Seconds before `now_seconds` (since 1970) at which an event happened, and its day back.
fn moment(rng: &mut StdRng, now_seconds: u64) -> (u32, u32) {
    loop {
        // Twice as much at the end as at the beginning.
        let share: f64 = rng.random();
        let day = (f64::from(DAYS) * (1.0 - (1.0 + 3.0 * share).sqrt() / 2.0) * 2.0) as u32;
        let ago = day.min(DAYS - 1) * 86_400 + rng.random_range(0..86_400);
        let at = now_seconds - u64::from(ago);
        let (hour, weekday) = ((at / 3_600 % 24) as usize, ((at / 86_400 + 3) % 7) as usize);
        if rng.random_range(0..3_700) < HOURS[hour] * WEEKDAYS[weekday] {
            return (ago, ago / 86_400);
        }
    }
}

/// Writes event `i` as a line of COPY: plugin, tenant, type, user, country, properties, moment. The first ones are one of each
/// plugin, all others as use goes.
pub fn event(
    rng: &mut StdRng,
    i: u32,
    (plugins, tenants): (u32, u32),
    now_seconds: u64,
    at: impl Fn(u32) -> String,
    row: &mut String,
) {
    // Two fifths are the first tenant's; the others have the less the later they come.
    let each = i < plugins;
    let tenant = if each {
        i % tenants + 1
    } else if rng.random_bool(0.4) {
        1
    } else {
        let x: f64 = rng.random();
        ((x * x * f64::from(tenants)) as u32).min(tenants - 1) + 1
    };
    let (ago, day) = moment(rng, now_seconds);
    // Users are numbered as they joined: who joined later than this day does not exist yet. Those that joined last come
    // most often, and every fifth stays for good.
    let users: u32 = if tenant == 1 { 420 } else { 30 + mixed(tenant, 7) % 50 };
    let joined = ((u64::from(users) * u64::from(DAYS + 30 - day)) / u64::from(DAYS + 30)).max(6) as u32;
    let user = if rng.random_bool(0.3) {
        let core = rng.random_range(0..joined.div_ceil(5)) * 5;
        core.min(joined - 1)
    } else {
        let x: f64 = rng.random();
        joined - 1 - ((x.powi(6) * f64::from(joined)) as u32).min(joined - 1)
    };
    // Their own few plugins, and now and then another.
    let of_tenant = (plugins / tenants).max(1);
    let k = if rng.random_bool(0.75) {
        mixed(user + tenant * 1_000, rng.random_range(0..3)) % 14
    } else {
        let x: f64 = rng.random();
        (x * x * 60.0) as u32
    } % of_tenant;
    let plugin = if each { i + 1 } else { (tenant + tenants * k).min(plugins) };
    let country = chosen(&COUNTRIES, mixed(user, tenant));
    // Writing to a String cannot fail.
    let _ = writeln!(
        row,
        "{plugin}\t{tenant}\t{}\tuser-{}\t{country}\t{{\"source\": \"{}\"}}\t{}",
        chosen(&EVENTS, rng.random()),
        tenant * 1_000 + user,
        ["portal", "portal", "cli", "api"][rng.random_range(0..4)],
        at(ago)
    );
}

/// Which plugin a sample is of: of the few that were always measured, or of all in the last day; with its number among those.
#[derive(Debug, PartialEq)]
pub enum Turn {
    Few(u32),
    All(u32),
}

impl Turn {
    /// The number of a metric, and a plugin.
    pub const fn series(&self, (plugins, tenants): (u32, u32)) -> (u32, u32) {
        let kinds = METRICS.len() as u32;
        match *self {
            Self::All(n) => (n % kinds, n / kinds % plugins + 1),
            Self::Few(n) => {
                let turn = n / kinds % MEASURED;
                // Three fifths are the first tenant's.
                let plugin = if turn % 5 < 3 { 1 + tenants * (turn / 5 * 3 + turn % 5) } else { 2 + turn };
                (n % kinds, if plugin > plugins { plugin % plugins + 1 } else { plugin })
            }
        }
    }
}

/// Whose turn sample `i` of `total` is, and how many seconds ago. In the order of time; in the last day the rounds of all
/// plugins come between the samples of the few, evenly.
fn turn(i: u32, total: u32, plugins: u32) -> (Turn, u32) {
    let span = METRIC_DAYS * DAY;
    let share = |of: u64, part: u64, whole: u64| (of * part / whole.max(1)) as u32;
    let all = (ROUNDS * METRICS.len() as u32).saturating_mul(plugins).min(total);
    let before = share(u64::from(total - all), METRIC_DAYS - 1, METRIC_DAYS);
    if i < before {
        return (Turn::Few(i), (span - u64::from(i) * (span - DAY) / u64::from(before)) as u32);
    }
    let (j, last) = (u64::from(i - before), u64::from(total - before));
    let ago = (DAY - j * DAY / last) as u32;
    let (done, next) = (share(j, u64::from(all), last), share(j + 1, u64::from(all), last));
    (if next > done { Turn::All(done) } else { Turn::Few(i - done) }, ago)
}

/// Writes sample `i` of `total` as a line of COPY: tenant, plugin, metric, value, moment. In the order of time, each plugin
/// at its turn, as a collector that runs round robin leaves them.
pub fn metric(
    rng: &mut StdRng,
    (i, total): (u32, u32),
    (plugins, tenants): (u32, u32),
    now_seconds: u64,
    at: impl Fn(u32) -> String,
    row: &mut String,
) {
    let (turn, ago) = turn(i, total, plugins);
    let (kind, plugin) = turn.series((plugins, tenants));
    let (name, value) = (METRICS[kind as usize], value(rng, (kind, plugin), now_seconds - u64::from(ago)));
    let tenant = (plugin - 1) % tenants + 1;
    let _ = writeln!(row, "{tenant}\t{plugin}\t{name}\t{value:.2}\t{}", at(ago));
}

/// What a plugin's metric shows at a moment, in seconds since 1970.
pub fn value(rng: &mut StdRng, (kind, plugin): (u32, u32), at_seconds: u64) -> f64 {
    let hour = at_seconds / 3_600 % 24;
    let busy = f64::from(HOURS[hour as usize]) / 37.0;
    let own = f64::from(mixed(plugin, kind) % 1_000) / 1_000.0;
    let noise: f64 = rng.random();
    match METRICS[kind as usize] {
        "cpu_usage" => 4.0 + own * 30.0 + busy * 45.0 + noise * 12.0,
        "memory_usage" => 80.0 + own * 700.0 + busy * 60.0 + noise * 20.0,
        "request_rate" => busy * (20.0 + own * 400.0) * (0.8 + noise * 0.4),
        "error_rate" => {
            if noise > 0.97 {
                own * 8.0 * noise
            } else {
                noise * 0.4
            }
        }
        // Most are quick, a few are not.
        "latency_ms" => {
            (6.0 + own * 40.0) * (1.0 + busy * 0.6) * (0.6 + noise + if noise > 0.98 { 14.0 * own } else { 0.0 })
        }
        _ => (busy * own * 60.0 * noise).floor(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn samples_are_in_the_order_of_time_and_none_is_left_out() {
        for (total, plugins) in [(60_000, 800), (300, 10), (10, 10), (7, 4_000)] {
            let turns = (0..total).map(|i| turn(i, total, plugins)).collect::<Vec<_>>();
            assert!(turns.is_sorted_by(|a, b| a.1 >= b.1), "{total}");
            assert!(turns.iter().all(|(_, ago)| (1..=30 * 86_400).contains(ago)), "{total}");
            let (few, all): (Vec<_>, Vec<_>) = turns.iter().partition(|(turn, _)| matches!(turn, Turn::Few(_)));
            for (n, (turn, _)) in (0_u32..).zip(few) {
                assert_eq!(*turn, Turn::Few(n), "{total}");
            }
            assert_eq!(all.len() as u32, (ROUNDS * 6 * plugins).min(total));
            for (n, (turn, ago)) in (0_u32..).zip(all) {
                assert_eq!((turn, *ago <= 86_400), (&Turn::All(n), true), "{total}");
            }
        }
    }

    #[test]
    fn every_plugin_is_measured_in_the_last_day() {
        let (total, plugins) = (60_000, 800);
        let mut kinds = HashMap::<u32, u32>::new();
        for i in 0..total {
            if let (Turn::All(n), _) = turn(i, total, plugins) {
                *kinds.entry(n / 6 % plugins).or_default() |= 1 << (n % 6);
            }
        }
        assert_eq!(kinds.len() as u32, plugins);
        assert!(kinds.values().all(|kinds| *kinds == 0b11_1111));
    }
}
