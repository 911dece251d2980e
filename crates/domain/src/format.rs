//! Numbers as DBAs read them. The same text on the server and in the browser, so that hydration finds what was sent.

/// `0.04 ms`, `38 ms`, `1.24 s`, `4 min 05 s`, `3 h 12 min`, `9 d 4 h`.
pub fn duration_ms(ms: f64) -> String {
    if !ms.is_finite() {
        return "-".to_owned();
    }
    let (sign, ms) = if ms < 0.0 { ("-", -ms) } else { ("", ms) };
    let text = if ms < 1.0 {
        format!("{ms:.2} ms")
    } else if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else if ms < 9_995.0 {
        format!("{:.2} s", ms / 1e3)
    } else if ms < 59_950.0 {
        format!("{:.1} s", ms / 1e3)
    } else {
        let s = (ms / 1e3).round() as u64;
        match s {
            0..3_600 => format!("{} min {:02} s", s / 60, s % 60),
            3_600..86_400 => format!("{} h {:02} min", s / 3_600, s / 60 % 60),
            _ => format!("{} d {} h", s / 86_400, s / 3_600 % 24),
        }
    };
    format!("{sign}{text}")
}

/// How old something is, or how often it happens: whole seconds, `4 s`, `2 min 30 s`.
pub fn age_s(seconds: f64) -> String {
    if seconds < 60.0 { format!("{} s", seconds.round().max(0.0)) } else { duration_s(seconds.round()) }
}

/// [`duration_ms`] for seconds.
pub fn duration_s(seconds: f64) -> String {
    duration_ms(seconds * 1_000.0)
}

/// What was lost, or how far behind: `0 s` where there is nothing, otherwise [`duration_s`].
pub fn lag_s(seconds: f64) -> String {
    if seconds > 0.0 { duration_s(seconds) } else { "0 s".to_owned() }
}

/// A limit, which people set in round figures: `30 s`, `15 min`, `4 h`.
pub fn limit_s(seconds: f64) -> String {
    with_unit(seconds, "s")
}

/// IEC units: `512 B`, `18.0 KiB`, `3.1 GiB`.
pub fn bytes(bytes: f64) -> String {
    if !bytes.is_finite() {
        return "-".to_owned();
    }
    let (sign, mut value) = if bytes < 0.0 { ("-", -bytes) } else { ("", bytes) };
    if value < 1_024.0 {
        return format!("{sign}{value:.0} B");
    }
    let mut unit = "";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        value /= 1_024.0;
        unit = next;
        if value < 1_023.95 {
            break;
        }
    }
    if value < 100.0 { format!("{sign}{value:.1} {unit}") } else { format!("{sign}{value:.0} {unit}") }
}

/// `812`, `12.4 k`, `3.10 M`; fractions of small numbers are kept: `0.3`.
pub fn count(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let (sign, v) = if value < 0.0 { ("-", -value) } else { ("", value) };
    let text = if v < 10.0 {
        let text = format!("{v:.1}");
        text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
    } else if v < 999.5 {
        format!("{v:.0}")
    } else if v < 9_995.0 {
        format!("{:.2} k", v / 1e3)
    } else if v < 999_500.0 {
        format!("{:.1} k", v / 1e3)
    } else if v < 999_500_000.0 {
        format!("{:.2} M", v / 1e6)
    } else {
        format!("{:.2} G", v / 1e9)
    };
    format!("{sign}{text}")
}

/// [`count`] per second: `1.24 k/s`.
pub fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 0.05 {
        format!("{per_second:.3}/s")
    } else {
        format!("{}/s", count(per_second))
    }
}

/// One decimal and no sign of its own: `84.1`.
pub fn percent(value: f64) -> String {
    if value.is_finite() { format!("{value:.1}") } else { "-".to_owned() }
}

/// A change in percent with its sign: `+12.5`, `−3.0`.
pub fn signed_percent(value: f64) -> String {
    if value < 0.0 { format!("−{}", percent(-value)) } else { format!("+{}", percent(value)) }
}

/// A value or threshold with its unit, as short as it can be said: `90 %`, `30 s`, `5 min`, `1.0 GiB`, `1,000`.
pub fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "%" => {
            let text = percent(value);
            format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
        }
        "s" if value.fract() == 0.0 && (0.0..1e9).contains(&value) => match value as u64 {
            seconds @ 0..60 => format!("{seconds} s"),
            seconds if seconds % 86_400 == 0 => format!("{} d", seconds / 86_400),
            seconds if seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
            seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
            _ => duration_s(value),
        },
        "s" => duration_s(value),
        "ms" => duration_ms(value),
        "B" => bytes(value),
        "" if value.fract() == 0.0 && value.abs() < 1e6 => thousands(value as i64),
        "" => count(value),
        other => format!("{} {other}", count(value)),
    }
}

/// `1,850`: whole numbers where every digit counts.
pub fn thousands(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = String::new();
    if value < 0 {
        out.push('-');
    }
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 table`, `2,130 tables`: how many of them, in the words for one and for any other number.
pub fn counted<N>(number: N, one: &str, many: &str) -> String
where
    i64: TryFrom<N>,
{
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_one_or_many() {
        let tables = |number: usize| counted(number, "table", "tables");
        assert_eq!([0, 1, 2, 2_130].map(tables), ["0 tables", "1 table", "2 tables", "2,130 tables"]);
        assert_eq!(counted(1_u64, "index is", "indexes are"), "1 index is");
        assert_eq!(counted(u64::MAX, "", "rows"), format!("{} rows", thousands(i64::MAX)));
    }

    #[test]
    fn durations_keep_three_digits_or_fewer() {
        for (ms, text) in [
            (0.0, "0.00 ms"),
            (0.04, "0.04 ms"),
            (9.94, "9.9 ms"),
            (38.4, "38 ms"),
            (1_240.0, "1.24 s"),
            (47_000.0, "47.0 s"),
            (59_960.0, "1 min 00 s"),
            (245_000.0, "4 min 05 s"),
            (11_520_000.0, "3 h 12 min"),
            (792_000_000.0, "9 d 4 h"),
        ] {
            assert_eq!(duration_ms(ms), text);
        }
    }

    #[test]
    fn sizes_are_iec_and_counts_are_decimal() {
        assert_eq!(
            [bytes(0.0), bytes(1023.0), bytes(1024.0), bytes(1048575.0), bytes(3.1 * 1073741824.0)],
            ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "3.1 GiB"]
        );
        assert_eq!(
            [count(0.0), count(0.3), count(812.0), count(1_240.0), count(12_400.0), count(3.1e6)],
            ["0", "0.3", "812", "1.24 k", "12.4 k", "3.10 M"]
        );
        assert_eq!(
            [thousands(0), thousands(999), thousands(1850), thousands(-1234567)],
            ["0", "999", "1,850", "-1,234,567"]
        );
    }

    #[test]
    fn nothing_lost_is_no_fraction_of_a_millisecond_and_a_limit_is_said_as_it_was_set() {
        for (seconds, text) in [(0.0, "0 s"), (0.25, "250 ms"), (75.0, "1 min 15 s")] {
            assert_eq!(lag_s(seconds), text);
        }
        for (seconds, text) in
            [(0.5, "500 ms"), (30.0, "30 s"), (90.0, "1 min 30 s"), (900.0, "15 min"), (14_400.0, "4 h")]
        {
            assert_eq!(limit_s(seconds), text);
        }
    }
}
