//! Paths of small charts, for the server's picture of a chart and for sparklines. Gaps stay gaps.

/// The path of a line through `values` in a box of `width` by `height`, from zero to `top`; empty without values. At the
/// places in `breaks` the line is broken on both sides, though there is a value.
pub fn line(values: &[Option<f64>], breaks: &[usize], top: f64, width: f64, height: f64) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for (i, value) in values.iter().enumerate() {
        match value {
            Some(value) => {
                let (x, y) = place(i, values.len(), *value, top, width, height);
                let broken = breaks.contains(&i);
                let joined = pen_down && !broken;
                path.push_str(&format!("{}{x:.1} {y:.1}", if joined { "L" } else { "M" }));
                // A point alone between gaps would be invisible.
                let ends = broken || breaks.contains(&(i + 1)) || values.get(i + 1).is_none_or(Option::is_none);
                if !joined && ends {
                    path.push_str(&format!("L{:.1} {y:.1}", x + 0.5));
                }
                pen_down = !broken;
            }
            None => pen_down = false,
        }
    }
    path
}

/// The path of the area between two lines, the upper being `base + values`; parts with gaps, and those around the places in
/// `breaks`, are left out.
pub fn area(values: &[Option<f64>], breaks: &[usize], base: &[f64], top: f64, width: f64, height: f64) -> String {
    let mut path = String::new();
    let mut start = 0;
    while start < values.len() {
        let Some(length) = (start..values.len())
            .position(|i| values[i].is_none() || breaks.contains(&i))
            .or(Some(values.len() - start))
            .filter(|length| *length > 0)
        else {
            start += 1;
            continue;
        };
        let upper =
            (start..start + length).map(|i| (i, base.get(i).copied().unwrap_or(0.0) + values[i].unwrap_or(0.0)));
        let lower = (start..start + length).rev().map(|i| (i, base.get(i).copied().unwrap_or(0.0)));
        for (n, (i, value)) in upper.chain(lower).enumerate() {
            let (x, y) = place(i, values.len(), value, top, width, height);
            path.push_str(&format!("{}{x:.1} {y:.1}", if n == 0 { "M" } else { "L" }));
        }
        path.push('Z');
        start += length;
    }
    path
}

fn place(i: usize, count: usize, value: f64, top: f64, width: f64, height: f64) -> (f64, f64) {
    let x = if count > 1 { width * i as f64 / (count - 1) as f64 } else { 0.0 };
    let y = if top > 0.0 { height - height * (value / top).clamp(0.0, 1.0) } else { height };
    (x, y)
}

/// The next "round" number (1, 2, 2.5, 5 times a power of ten) at or above `value`, for the top of an axis.
pub fn nice_top(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    steps.iter().map(|step| step * power).find(|top| *top >= value * 0.999_999).unwrap_or(10.0 * power)
}

/// As [`nice_top`], for bytes: a fourth of it is a round number of bytes, KiB, MiB and so on too, which the lines of an
/// axis stand at.
pub fn nice_top_of_bytes(value: f64) -> f64 {
    if !value.is_finite() || value <= 4.0 {
        return 4.0;
    }
    let mut unit = 1.0;
    while value > 1_024.0 * unit {
        unit *= 1_024.0;
    }
    let steps = [1.0, 2.0, 4.0, 8.0, 10.0, 20.0, 40.0, 80.0, 100.0, 200.0, 400.0, 800.0, 1_024.0];
    steps.iter().map(|step| step * unit).find(|top| *top >= value * 0.999_999).unwrap_or(1_024.0 * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_lifts_the_pen() {
        assert_eq!(
            line(&[Some(0.0), Some(1.0), None, Some(1.0)], &[], 1.0, 30.0, 10.0),
            "M0.0 10.0L10.0 0.0M30.0 0.0L30.5 0.0"
        );
        assert_eq!(line(&[None, None], &[], 1.0, 30.0, 10.0), "");
        assert_eq!(area(&[Some(1.0), None], &[], &[0.0, 0.0], 1.0, 10.0, 10.0), "M0.0 0.0L0.0 10.0Z");
    }

    #[test]
    fn a_break_lifts_the_pen_on_both_sides_of_a_point_that_is_drawn() {
        let values = [Some(0.0), Some(1.0), Some(0.0), Some(1.0), Some(0.0)];
        assert_eq!(line(&values, &[2], 1.0, 40.0, 10.0), "M0.0 10.0L10.0 0.0M20.0 10.0L20.5 10.0M30.0 0.0L40.0 10.0");
        assert_eq!(line(&values[..2], &[1], 1.0, 10.0, 10.0), "M0.0 10.0L0.5 10.0M10.0 0.0L10.5 0.0");
        assert_eq!(
            area(&values, &[2], &[0.0; 5], 1.0, 40.0, 10.0),
            "M0.0 10.0L10.0 0.0L10.0 10.0L0.0 10.0ZM30.0 0.0L40.0 10.0L40.0 10.0L30.0 10.0Z"
        );
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        assert_eq!(
            [nice_top(0.0), nice_top(0.3), nice_top(7.0), nice_top(1_000.0), nice_top(2_400.0)],
            [1.0, 0.5, 10.0, 1_000.0, 2_500.0]
        );
    }

    #[test]
    fn an_axis_of_bytes_ends_at_a_round_number_of_their_units() {
        const KIB: f64 = 1_024.0;
        const MIB: f64 = KIB * KIB;
        for (value, top) in [
            (f64::NAN, 4.0),
            (0.0, 4.0),
            (700.0, 800.0),
            (1_000.0, KIB),
            (KIB, KIB),
            (1_500.0, 2.0 * KIB),
            (90_000.0, 100.0 * KIB),
            (900.0 * KIB, MIB),
            (MIB, MIB),
            (3.2 * MIB, 4.0 * MIB),
            (900.0 * MIB, KIB * MIB),
            (3e15, 4.0 * KIB * KIB * KIB * MIB),
        ] {
            assert_eq!(nice_top_of_bytes(value), top, "{value}");
        }
    }
}
