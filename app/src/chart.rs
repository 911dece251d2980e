//! Charts: an option built by charming on the server and drawn by ECharts in the browser; and before that, or
//! without JavaScript, a picture as SVG and a table of the numbers.

use serde::{Deserialize, Serialize};

/// A chart, ready to be shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChartData {
    /// The ECharts option as JSON.
    pub option: String,
    /// Unit of the values, for axis and tooltip.
    pub unit: String,
    /// Lines or areas, the lowest first: colour slot, name, path.
    pub paths: Vec<ChartPath>,
    /// Horizontal lines: distance from the top, text.
    pub grid: Vec<(f64, String)>,
    /// Times on the axis: distance from the left, text.
    pub ticks: Vec<(f64, String)>,
    /// Events: distance from the left, title.
    pub marks: Vec<(f64, String)>,
    /// The same as a table: head and rows, thinned to what a person reads.
    pub table: (Vec<String>, Vec<Vec<String>>),
    /// There is not one value.
    pub empty: bool,
}

/// One line or area of the picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChartPath {
    /// Its name in the legend.
    pub name: String,
    /// Colour slot: `cpu`, `io`, `lock`, … or `s1` to `s6`; behind it ` again`, ` again2` or ` again3` for the lines that have
    /// one of the six once more, and ` earlier` for the time compared with.
    pub slot: String,
    /// SVG path.
    pub path: String,
    /// Filled.
    pub area: bool,
}

/// Width of the picture's plot, in its own units.
pub const WIDTH: f64 = 600.0;
/// Height of the picture's plot.
pub const HEIGHT: f64 = 150.0;

#[cfg(feature = "ssr")]
pub mod build {
    //! From a series to a chart.
    use super::{ChartData, ChartPath, HEIGHT, WIDTH};
    use crate::zone::Local as _;
    use charming::{
        Chart,
        component::{Axis, Grid},
        datatype::{CompositeValue, DataPoint},
        element::{AreaStyle, AxisType, LineStyle, LineStyleType, MarkLine, MarkLineData, MarkLineVariant, Symbol},
        series::Line,
    };
    use domain::{
        format,
        view::{EventKind, TimeSeries, TimeSeriesLine},
    };
    use std::collections::BTreeSet;

    /// A name, and how high its line is over the whole chart.
    type Level = Option<(&'static str, f64)>;

    /// Areas on top of each other with a line for the processors.
    pub fn load(series: &TimeSeries, cpus: Option<u32>) -> ChartData {
        stacked_below(series, cpus.map(|cpus| ("Processors", f64::from(cpus))))
    }

    /// Areas on top of each other with a line for the slots that ordinary roles can use.
    pub fn sessions(series: &TimeSeries, usable: Option<i64>) -> ChartData {
        stacked_below(series, usable.map(|usable| ("Usable slots", usable as f64)))
    }

    /// With the line, unless the areas are so far below it that it would only press them flat.
    fn stacked_below(series: &TimeSeries, level: Level) -> ChartData {
        chart(series, true, level.filter(|(_, level)| highest(series, true) * 4.0 >= *level), true)
    }

    /// Areas on top of each other.
    pub fn stacked(series: &TimeSeries) -> ChartData {
        chart(series, true, None, true)
    }

    /// Lines.
    pub fn lines(series: &TimeSeries) -> ChartData {
        chart(series, false, None, true)
    }

    /// Lines in a plot as wide as each other of this kind, whatever is written beside it: one below the other they share
    /// their axis of time.
    pub fn aligned(series: &TimeSeries) -> ChartData {
        chart(series, false, None, false)
    }

    /// With `fitted` the plot takes the room that the text beside it leaves.
    fn chart(series: &TimeSeries, stacked: bool, level: Level, fitted: bool) -> ChartData {
        let most = highest(series, stacked).max(level.map_or(0.0, |level| level.1));
        let top = match series.unit.as_str() {
            "B" | "B/s" => analysis::svg::nice_top_of_bytes(most),
            _ => analysis::svg::nice_top(most),
        };
        let span = (series.to.0 - series.from.0).max(1) as f64;
        let x = |at: domain::Timestamp| (at.0 - series.from.0) as f64 / span * WIDTH;
        let (resets, events) = resets_and_others(series);
        let mut paths = paths(series, stacked, top, level);
        if !resets.is_empty() {
            let path = resets.iter().map(|at| format!("M{:.1} 0V{HEIGHT}", x(*at))).collect::<String>();
            paths.push(ChartPath { name: RESETS.to_owned(), slot: "reset".to_owned(), path, area: false });
        }
        ChartData {
            option: option(series, stacked, level, fitted),
            unit: series.unit.clone(),
            paths,
            grid: (0..=4)
                .map(|i| (HEIGHT - HEIGHT * f64::from(i) / 4.0, value(top * f64::from(i) / 4.0, &series.unit)))
                .collect(),
            ticks: (1..6).map(|i| (WIDTH * f64::from(i) / 6.0, clock(series, f64::from(i) / 6.0))).collect(),
            marks: events.iter().map(|event| (x(event.at), event.title.clone())).collect(),
            table: table(series),
            empty: series.series.iter().all(|line| line.values.iter().all(Option::is_none)),
        }
    }

    /// In the legend, and the title of each dotted line.
    const RESETS: &str = "Counters were reset";

    /// Moments from which counters began anew, which are dotted, and what else happened. Roll-ups know of a reset also where
    /// its event is not among the newest that come along: then its step is all that is known of when.
    fn resets_and_others(series: &TimeSeries) -> (Vec<domain::Timestamp>, Vec<&domain::view::Event>) {
        let (resets, others): (Vec<_>, Vec<_>) =
            series.events.iter().partition(|event| event.kind == EventKind::StatsReset);
        let half = (series.step_seconds * 500.0) as i64;
        let begins = series.events.iter().filter(|event| EventKind::COUNTERS_BEGIN.contains(&event.kind));
        let begins = begins.map(|event| event.at.0).collect::<Vec<_>>();
        let untold = |at: &domain::Timestamp| begins.iter().all(|begin| (begin - at.0).abs() > half);
        let rolled = series.resets.iter().filter_map(|place| series.times.get(*place).copied()).filter(untold);
        let mut moments = resets.into_iter().map(|event| event.at).chain(rolled).collect::<Vec<_>>();
        moments.sort_unstable();
        (moments, others)
    }

    /// Where lines that are drawn as one are broken: areas stand on each other.
    fn breaks(lines: &[TimeSeriesLine]) -> Vec<usize> {
        lines.iter().flat_map(|line| line.gaps.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn highest(series: &TimeSeries, stacked: bool) -> f64 {
        let points = series.times.len();
        let highest = |lines: &[TimeSeriesLine]| {
            let at = |i: usize| lines.iter().filter_map(move |line| line.values.get(i).copied().flatten());
            (0..points).map(|i| if stacked { at(i).sum() } else { at(i).fold(0.0, f64::max) }).fold(0.0, f64::max)
        };
        highest(&series.series).max(highest(&series.earlier))
    }

    /// The lines of the time compared with, each with its colour slot. Of stacked areas it is their sum: a second stack
    /// would hide the first.
    fn earlier(series: &TimeSeries, stacked: bool) -> Vec<(String, TimeSeriesLine)> {
        let named = |name: &str| format!("{name}, earlier");
        if stacked && !series.earlier.is_empty() {
            let sum = |i: usize| {
                let values = series.earlier.iter().filter_map(|line| line.values.get(i).copied().flatten());
                values.fold(None, |sum: Option<f64>, value| Some(sum.unwrap_or(0.0) + value))
            };
            let values = (0..series.times.len()).map(sum).collect();
            let gaps = breaks(&series.earlier);
            return vec![("client".to_owned(), TimeSeriesLine { name: named("All"), values, gaps })];
        }
        let slotted = |line: &TimeSeriesLine| {
            let i = series.series.iter().position(|own| own.name == line.name)?;
            Some((slot(&line.name, i), TimeSeriesLine { name: named(&line.name), ..line.clone() }))
        };
        series.earlier.iter().filter_map(slotted).collect()
    }

    fn clock(series: &TimeSeries, part: f64) -> String {
        let span = series.to.0 - series.from.0;
        let at = series.from.plus_ms((span as f64 * part) as i64);
        if span > 2 * 86_400_000 {
            at.local().get(5..10).unwrap_or_default().to_owned()
        } else {
            at.local_clock().get(..5).unwrap_or_default().to_owned()
        }
    }

    /// A value with its unit, as a DBA reads it.
    pub fn value(value: f64, unit: &str) -> String {
        match unit {
            "ms" => format::duration_ms(value),
            "s" => format::duration_s(value),
            "B" => format::bytes(value),
            "B/s" => format!("{}/s", format::bytes(value)),
            "%" => format!("{} %", format::percent(value)),
            "/s" => format::rate(value),
            _ => format::count(value),
        }
    }

    const COLOURS: usize = 6;

    /// Wait classes and session states keep one colour each in the whole product.
    fn slot(name: &str, i: usize) -> String {
        match name {
            "CPU" | "active" => "cpu".to_owned(),
            "IO" => "io".to_owned(),
            "Lock" => "lock".to_owned(),
            "LWLock" | "idle in transaction" => "lwlock".to_owned(),
            "Client" | "idle" => "client".to_owned(),
            "IPC" | "starting" => "ipc".to_owned(),
            "Other" => "other".to_owned(),
            "idle in transaction (aborted)" => "lock".to_owned(),
            "Rollbacks" => "lwlock".to_owned(),
            // Six colours can be told apart; from the seventh line on the dashes differ (chart.css, charts.js).
            _ => format!("s{}{}", i % COLOURS + 1, ["", " again", " again2", " again3"][i / COLOURS % 4]),
        }
    }

    /// As the id of a line starts: charts.js reads the slot from it.
    fn id(slot: &str) -> String {
        slot.replace(' ', "-")
    }

    /// The same all along.
    fn level_line(series: &TimeSeries, (name, level): (&str, f64)) -> TimeSeriesLine {
        let values = vec![Some(level); series.times.len()];
        TimeSeriesLine { name: name.to_owned(), values, gaps: Vec::new() }
    }

    fn paths(series: &TimeSeries, stacked: bool, top: f64, level: Level) -> Vec<ChartPath> {
        let mut base = vec![0.0; series.times.len()];
        let broken = breaks(&series.series);
        let drawn = |line: &TimeSeriesLine| analysis::svg::line(&line.values, &line.gaps, top, WIDTH, HEIGHT);
        let path = |(i, line): (usize, &TimeSeriesLine)| {
            let path = if stacked {
                let path = analysis::svg::area(&line.values, &broken, &base, top, WIDTH, HEIGHT);
                for (sum, value) in base.iter_mut().zip(&line.values) {
                    *sum += value.unwrap_or(0.0);
                }
                path
            } else {
                drawn(line)
            };
            ChartPath { name: line.name.clone(), slot: slot(&line.name, i), path, area: stacked }
        };
        let mut paths = series.series.iter().enumerate().map(path).collect::<Vec<_>>();
        paths.extend(earlier(series, stacked).into_iter().map(|(slot, line)| ChartPath {
            path: drawn(&line),
            name: line.name,
            slot: format!("{slot} earlier"),
            area: false,
        }));
        paths.extend(level.map(|level| level_line(series, level)).map(|line| ChartPath {
            path: drawn(&line),
            name: line.name,
            slot: "level".to_owned(),
            area: false,
        }));
        paths
    }

    fn option(series: &TimeSeries, stacked: bool, level: Level, fitted: bool) -> String {
        // Colours, fonts and formats are the page's business: charts.js adds them from the style sheet.
        let (left, bottom) = if fitted { (8, 4) } else { (72, 24) };
        let mut chart = Chart::new()
            .grid(Grid::new().left(left).right(12).top(14).bottom(bottom).contain_label(fitted))
            .x_axis(Axis::new().type_(AxisType::Time).min(series.from.0).max(series.to.0))
            .y_axis(Axis::new().type_(AxisType::Value).min(0));
        let point = |at: domain::Timestamp, value: Option<f64>| {
            // ECharts' own word for "no value": the line has a gap.
            let value = value.map_or_else(
                || CompositeValue::from("-"),
                |value| CompositeValue::from((value * 1_000.0).round() / 1_000.0),
            );
            DataPoint::from(CompositeValue::Array(vec![CompositeValue::from(at.0), value]))
        };
        let points = |line: &TimeSeriesLine, broken: &[usize]| {
            let mut points = Vec::with_capacity(line.values.len());
            for (i, (at, value)) in series.times.iter().zip(&line.values).enumerate() {
                points.push(point(*at, *value));
                // A point without a value at the same moment breaks the line behind it; the tooltip leaves it out.
                if broken.contains(&i) || broken.contains(&(i + 1)) {
                    points.push(point(*at, None));
                }
            }
            points
        };
        let all_broken = breaks(&series.series);
        let (resets, others) = resets_and_others(series);
        for (i, line) in series.series.iter().enumerate() {
            let mut drawn = Line::new()
                .id(format!("{}-{i}", id(&slot(&line.name, i))))
                .name(line.name.as_str())
                .show_symbol(false)
                .data(points(line, if stacked { &all_broken } else { &line.gaps }));
            if stacked {
                drawn = drawn.stack("all").area_style(AreaStyle::new()).line_style(LineStyle::new().width(0));
            }
            if i == 0 && !others.is_empty() {
                drawn = drawn.mark_line(marks(others.iter().map(|event| (event.at, event.title.as_str()))));
            }
            chart = chart.series(drawn);
        }
        for (i, (slot, line)) in earlier(series, stacked).into_iter().enumerate() {
            let dashed = LineStyle::new().type_(LineStyleType::Dashed).width(1).opacity(0.75);
            let drawn = Line::new().id(format!("{}-earlier{i}", id(&slot))).name(line.name.as_str()).show_symbol(false);
            chart = chart.series(drawn.line_style(dashed).data(points(&line, &line.gaps)));
        }
        if let Some(line) = level.map(|level| level_line(series, level)) {
            let style = LineStyle::new().type_(LineStyleType::Dashed).width(1);
            let drawn = Line::new().id("level-0").name(line.name.as_str()).show_symbol(false);
            chart = chart.series(drawn.line_style(style).data(points(&line, &[])));
        }
        if !resets.is_empty() {
            // A line of its own without a point: charts.js dots the marks of this one.
            let drawn = Line::new().id("reset-0").name(RESETS).show_symbol(false).data(Vec::<DataPoint>::new());
            chart = chart.series(drawn.mark_line(marks(resets.iter().map(|at| (*at, RESETS)))));
        }
        serde_json::to_string(&chart).unwrap_or_default()
    }

    /// Upright lines with what the tooltip says of them.
    fn marks<'a>(moments: impl Iterator<Item = (domain::Timestamp, &'a str)>) -> MarkLine {
        let marks = moments.map(|(at, name)| MarkLineVariant::Simple(MarkLineData::new().name(name).x_axis(at.0)));
        MarkLine::new().silent(true).symbol(vec![Symbol::None, Symbol::None]).data(marks.collect())
    }

    fn table(series: &TimeSeries) -> (Vec<String>, Vec<Vec<String>>) {
        const ROWS: usize = 12;
        let mut head = vec![format!("Time ({})", crate::zone::name())];
        let lines = series.series.iter().cloned().chain(earlier(series, false).into_iter().map(|it| it.1));
        let lines = lines.collect::<Vec<_>>();
        head.extend(lines.iter().map(|line| line.name.clone()));
        let step = series.times.len().div_ceil(ROWS).max(1);
        let rows = series.times.iter().enumerate().rev().step_by(step).map(|(i, at)| {
            // A row stands for the steps before it too, which are left out.
            let within = |places: &[usize]| places.iter().any(|place| *place <= i && *place + step > i);
            let mut time = at.local_clock();
            if within(&series.resets) {
                time.push_str(", counters were reset");
            }
            if lines.iter().any(|line| within(&line.gaps)) {
                time.push_str(", samples are missing");
            }
            let mut row = vec![time];
            row.extend(lines.iter().map(|line| {
                line.values
                    .get(i)
                    .copied()
                    .flatten()
                    .map_or_else(|| "—".to_owned(), |number| value(number, &series.unit))
            }));
            row
        });
        (head, rows.collect())
    }

    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    mod tests {
        use super::*;
        use domain::Timestamp;

        fn series(value: f64) -> TimeSeries {
            TimeSeries {
                from: Timestamp(0),
                to: Timestamp(2_000),
                times: vec![Timestamp(500), Timestamp(1_500)],
                series: vec![TimeSeriesLine {
                    name: "CPU".to_owned(),
                    values: vec![Some(value), None],
                    gaps: Vec::new(),
                }],
                ..TimeSeries::default()
            }
        }

        #[test]
        fn processors_are_a_line_of_their_own_above_the_areas() {
            let drawn = load(&series(3.0), Some(4));
            let line = drawn.paths.last().unwrap();
            assert_eq!((line.name.as_str(), line.slot.as_str(), line.area), ("Processors", "level", false));
            assert!(drawn.option.contains("\"id\":\"level-0\""), "{}", drawn.option);
            // The axis reaches it.
            assert!(drawn.grid.last().unwrap().1.parse::<f64>().unwrap() >= 4.0, "{:?}", drawn.grid);
            // So is what sessions may take.
            assert_eq!(sessions(&series(30.0), Some(97)).paths.last().unwrap().name, "Usable slots");
            assert_eq!(sessions(&series(3.0), Some(97)), stacked(&series(3.0)), "far below it");
        }

        #[test]
        fn a_reset_is_a_dotted_line_of_its_own_and_other_events_stay_marks() {
            let event = |at, kind, title: &str| domain::view::Event::new(Timestamp(at), kind, title.to_owned());
            let mut series = series(3.0);
            series.events = vec![
                event(1_000, EventKind::StatsReset, "pg_stat_statements was reset"),
                event(1_200, EventKind::Restart, "restarted"),
            ];
            let drawn = lines(&series);
            let reset = drawn.paths.last().unwrap();
            assert_eq!((reset.name.as_str(), reset.slot.as_str()), ("Counters were reset", "reset"));
            assert_eq!(reset.path, "M300.0 0V150", "in the middle of the picture, over all its height");
            assert_eq!(drawn.marks.iter().map(|mark| mark.1.as_str()).collect::<Vec<_>>(), ["restarted"]);
            let option: serde_json::Value = serde_json::from_str(&drawn.option).unwrap();
            let marked = |id: &str| {
                let all = option["series"].as_array().unwrap();
                let one = all.iter().find(|one| one["id"] == id).unwrap();
                one["markLine"]["data"][0]["xAxis"].as_i64().unwrap()
            };
            assert_eq!((marked("reset-0"), marked("cpu-0")), (1_000, 1_200));
            assert!(lines(&TimeSeries { events: Vec::new(), ..series }).paths.iter().all(|path| path.slot != "reset"));
        }

        #[test]
        fn lines_that_have_a_colour_again_are_told_apart_by_their_dashes() {
            let line = |i: usize| TimeSeriesLine {
                name: format!("collector {i}"),
                values: vec![Some(i as f64), Some(1.0)],
                gaps: Vec::new(),
            };
            let mut series = TimeSeries { series: (0..20).map(line).collect(), ..series(0.0) };
            series.earlier = vec![line(7)];
            let drawn = lines(&series);
            let slots = drawn.paths.iter().map(|path| path.slot.as_str()).collect::<Vec<_>>();
            assert_eq!([slots[0], slots[5], slots[6], slots[12]], ["s1", "s6", "s1 again", "s1 again2"]);
            assert_eq!((slots[18], slots[20]), ("s1 again3", "s2 again earlier"));
            let different = slots.iter().collect::<BTreeSet<_>>();
            assert_eq!(different.len(), slots.len(), "each has a look of its own");
            for id in ["s1-0", "s1-again-6", "s1-again2-12", "s2-again-earlier0"] {
                assert!(drawn.option.contains(&format!("\"id\":\"{id}\"")), "{id}: {}", drawn.option);
            }
        }

        #[test]
        fn charts_one_below_the_other_have_one_axis_of_time() {
            let grid = |drawn: &ChartData| {
                let option: serde_json::Value = serde_json::from_str(&drawn.option).unwrap();
                [option["grid"].clone(), option["xAxis"].clone()]
            };
            let (few, many) = (aligned(&series(0.2)), aligned(&series(123_456.0)));
            assert_eq!(grid(&few), grid(&many));
            assert_eq!(grid(&few)[0].to_string().matches("\"left\":72").count(), 1, "{}", few.option);
            assert_eq!(few.ticks, many.ticks, "of the server's picture too");
        }

        #[test]
        fn a_line_is_broken_where_samples_are_missing_and_a_reset_without_its_event_is_dotted_too() {
            let value = |i: i64| (Timestamp(i * 1_000 + 500), Some(i as f64));
            let (times, values): (Vec<_>, Vec<_>) = (0..5).map(value).unzip();
            let line = |name: &str, gaps| TimeSeriesLine { name: name.to_owned(), values: values.clone(), gaps };
            let mut series = TimeSeries {
                to: Timestamp(5_000),
                step_seconds: 1.0,
                times,
                series: vec![line("CPU", vec![2]), line("IO", Vec::new())],
                resets: vec![1, 3],
                ..TimeSeries::default()
            };
            let restart = domain::view::Event::new(Timestamp(3_100), EventKind::Restart, "restarted".to_owned());
            series.events = vec![restart];
            let option = |drawn: &ChartData| serde_json::from_str::<serde_json::Value>(&drawn.option).unwrap();
            let data = |option: &serde_json::Value, place: usize| option["series"][place]["data"].to_string();
            let drawn = lines(&series);
            // The pen is lifted on both sides of the third step, in its own line alone.
            assert_eq!(drawn.paths[0].path.matches('M').count(), 3, "{:?}", drawn.paths);
            assert_eq!(drawn.paths[1].path.matches('M').count(), 1, "{:?}", drawn.paths);
            let read = option(&drawn);
            assert_eq!(data(&read, 0).matches("\"-\"").count(), 2, "{read}");
            let pair = read["series"][0]["data"].as_array().unwrap()[2..4].iter();
            let pair = pair.map(|point| point[1].as_f64()).collect::<Vec<_>>();
            assert_eq!(pair, [None, Some(2.0)], "behind the second step and before the third");
            assert!(!data(&read, 1).contains("\"-\""), "{read}");
            // The restart says when; of the other reset its step is known.
            let resets = drawn.paths.last().unwrap();
            assert_eq!((resets.slot.as_str(), resets.path.as_str()), ("reset", "M180.0 0V150"));
            let told = drawn.table.1.iter().rev().map(|row| row[0].split_once(", ").map_or("", |it| it.1));
            let expected = ["", "counters were reset", "samples are missing", "counters were reset", ""];
            assert_eq!(told.collect::<Vec<_>>(), expected);
            // Areas stand on each other: all are broken together, and stay one beside the other.
            let areas = stacked(&series);
            assert!(areas.paths.iter().take(2).all(|path| path.path.matches('M').count() == 2), "{:?}", areas.paths);
            let read = option(&areas);
            assert!((0..2).all(|place| data(&read, place).matches("\"-\"").count() == 2), "{read}");
        }

        #[test]
        fn numbers_and_their_ticks_are_written_as_people_read_them() {
            let of = |values: &[f64], unit: &str| {
                let mut series = series(0.0);
                series.unit = unit.to_owned();
                series.series[0].values = values.iter().copied().map(Some).collect();
                lines(&series)
            };
            let ticks =
                |values: &[f64], unit: &str| of(values, unit).grid.into_iter().map(|tick| tick.1).collect::<Vec<_>>();
            // Five ticks from nothing on, bytes at round numbers of their units, rates as such.
            assert_eq!(
                ticks(&[3.2 * 1_048_576.0, 1_048_576.0], "B"),
                ["0 B", "1.0 MiB", "2.0 MiB", "3.0 MiB", "4.0 MiB"]
            );
            assert_eq!(
                ticks(&[700.0, 90_000.0], "B/s"),
                ["0 B/s", "25.0 KiB/s", "50.0 KiB/s", "75.0 KiB/s", "100 KiB/s"]
            );
            assert_eq!(ticks(&[0.0, 1e9], "B"), ["0 B", "256 MiB", "512 MiB", "768 MiB", "1.0 GiB"]);
            assert_eq!(ticks(&[0.0, 1_900.0], ""), ["0", "500", "1.00 k", "1.50 k", "2.00 k"]);
            assert_eq!(
                [value(38.0, "ms"), value(1_240.0, "ms"), value(12_400.0, "/s")],
                ["38 ms", "1.24 s", "12.4 k/s"]
            );
            // The table beside it has the same figures, the newest first; a gap is a dash and no zero.
            let mut gapped = series(1_536.0);
            gapped.unit = "B".to_owned();
            let (head, rows) = lines(&gapped).table;
            assert_eq!(head.len(), 2);
            assert_eq!(rows.iter().map(|row| row[1].as_str()).collect::<Vec<_>>(), ["—", "1.5 KiB"]);
        }

        #[test]
        fn the_line_stays_away_where_it_would_press_the_load_flat_or_is_not_known() {
            assert_eq!(load(&series(3.0), Some(64)), stacked(&series(3.0)));
            assert_eq!(load(&series(3.0), None), stacked(&series(3.0)));
        }
    }
}
