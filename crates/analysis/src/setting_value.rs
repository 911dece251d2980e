//! Values of settings: in bytes, and as `SHOW` writes them.
use domain::view::SettingRow;

const KIB: f64 = 1_024.0;
const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;

/// Bytes of one unit of `pg_settings`: `kB`, `8kB`, `MB`; `None` for what is no size.
fn factor(unit: &str) -> Option<f64> {
    let name = unit.trim_start_matches(|it: char| it.is_ascii_digit());
    let digits = &unit[..unit.len() - name.len()];
    let many = if digits.is_empty() { 1.0 } else { digits.parse::<f64>().ok()? };
    let one = match name {
        "B" => 1.0,
        "kB" => KIB,
        "MB" => MIB,
        "GB" => GIB,
        _ => return None,
    };
    Some(many * one)
}

/// A size in bytes; `None` for what is no size.
pub fn bytes(row: &SettingRow) -> Option<f64> {
    Some(row.value.parse::<f64>().ok()? * factor(row.unit.as_deref()?)?)
}

/// As `SHOW` has it: `128MB`, `5min`, `on`. What is below one (off, by itself) stays as it is.
pub fn written(value: &str, unit: Option<&str>) -> String {
    let Some(unit) = unit.filter(|unit| !unit.is_empty()) else { return value.to_owned() };
    let Some(number) = value.parse::<f64>().ok().filter(|number| *number > 0.0) else { return value.to_owned() };
    let milliseconds = match unit {
        "ms" => Some(1.0),
        "s" => Some(1_000.0),
        "min" => Some(60_000.0),
        _ => None,
    };
    if let Some(factor) = factor(unit) {
        whole(number * factor, &[(GIB, "GB"), (MIB, "MB"), (KIB, "kB"), (1.0, "B")])
    } else if let Some(factor) = milliseconds {
        let units = [(86_400_000.0, "d"), (3_600_000.0, "h"), (60_000.0, "min"), (1_000.0, "s"), (1.0, "ms")];
        whole(number * factor, &units)
    } else {
        format!("{value} {unit}")
    }
}

/// In the largest unit that it is a whole number of; a part of the smallest is written as a fraction.
fn whole(number: f64, units: &[(f64, &str)]) -> String {
    let fits = units.iter().find(|(size, _)| number >= *size && (number / size).fract() == 0.0);
    let (size, name) = fits.or_else(|| units.last()).copied().unwrap_or((1.0, ""));
    format!("{}{name}", number / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_show_writes_them() {
        for (value, unit, said) in [
            ("12288", Some("8kB"), "96MB"),
            ("65536", Some("kB"), "64MB"),
            ("2048", Some("MB"), "2GB"),
            ("4097", Some("kB"), "4097kB"),
            ("1000", Some("ms"), "1s"),
            ("200", Some("ms"), "200ms"),
            ("300", Some("s"), "5min"),
            ("1440", Some("min"), "1d"),
            ("0.5", Some("ms"), "0.5ms"),
            ("-1", Some("ms"), "-1"),
            ("0", Some("kB"), "0"),
            ("on", None, "on"),
            ("0.9", None, "0.9"),
        ] {
            assert_eq!(written(value, unit), said, "{value} {unit:?}");
        }
        let row = |value: &str, unit: &str| SettingRow {
            value: value.to_owned(),
            unit: Some(unit.to_owned()),
            ..SettingRow::default()
        };
        assert_eq!(bytes(&row("12288", "8kB")), Some(96.0 * MIB));
        assert_eq!(bytes(&row("3", "16kB")), Some(48.0 * KIB), "blocks of another size");
        assert_eq!(bytes(&row("300", "s")), None);
    }
}
