//! What a rule is and what its settings may be; [`RULES`] are shipped.
//!
//! A rule's key is the same word in the store, in the API, on the pages and in the lines of the health score.
mod shipped;

pub use shipped::RULES;

use domain::{
    alert::{Comparison, Level, RuleKind, RuleSettings, Severity},
    format,
    view::Metric,
};

/// One rule as shipped.
#[derive(Debug)]
pub struct Rule {
    /// Stable key.
    pub key: &'static str,
    /// A short sentence without figures.
    pub title: &'static str,
    /// What it looks at and why that matters.
    pub about: &'static str,
    /// What kind.
    pub kind: RuleKind,
    /// Which side is bad.
    pub comparison: Comparison,
    /// `%`, `s`, `B`, or empty for plain counts.
    pub unit: &'static str,
    /// What each alert of it is about; `None` for the whole cluster.
    pub object: Option<&'static str>,
    /// The recorded figure that holds the same value.
    pub metric: Option<Metric>,
    /// Where to look.
    pub page: &'static str,
    levels: &'static [(Severity, f64, f64)],
    for_seconds: u32,
    clear_for_seconds: u32,
    /// Notices: how long one stays open when nobody closes it.
    pub lasts_seconds: u32,
}

impl Rule {
    /// As shipped.
    pub fn default_settings(&self) -> RuleSettings {
        RuleSettings {
            enabled: true,
            levels: self
                .levels
                .iter()
                .map(|(severity, threshold, clear)| Level { severity: *severity, threshold: *threshold, clear: *clear })
                .collect(),
            for_seconds: self.for_seconds,
            clear_for_seconds: self.clear_for_seconds,
        }
    }

    /// A value of it for people.
    pub fn show(&self, value: f64) -> String {
        format::with_unit(value, self.unit)
    }

    /// `> 90 %`; empty for what has no figure.
    pub fn show_threshold(&self, level: &Level) -> String {
        match self.kind {
            RuleKind::Figure => format!("{} {}", self.comparison.sign(), self.show(level.threshold)),
            RuleKind::Condition | RuleKind::Notice => String::new(),
        }
    }

    /// Settings that somebody wrote: what is wrong with them, by field, in words for that person.
    ///
    /// # Errors
    /// The field and what is allowed.
    pub fn check(&self, settings: &RuleSettings) -> Result<(), (&'static str, String)> {
        const DAY: u32 = 86_400;
        if settings.levels.is_empty() {
            return Err((
                "levels",
                "a rule needs at least one severity; to switch it off set enabled to false".to_owned(),
            ));
        }
        if !settings.levels.windows(2).all(|pair| pair[0].severity < pair[1].severity) {
            return Err(("levels", "each severity may stand once, the mildest first".to_owned()));
        }
        for level in &settings.levels {
            if !level.threshold.is_finite() || !level.clear.is_finite() {
                return Err(("levels", "a threshold is a number".to_owned()));
            }
            let better = match self.comparison {
                Comparison::Above => level.clear <= level.threshold,
                Comparison::Below => level.clear >= level.threshold,
            };
            if !better {
                let side = if self.comparison == Comparison::Above { "at most" } else { "at least" };
                let threshold = self.show(level.threshold);
                return Err(("clear", format!("{}: the clear threshold must be {side} {threshold}", level.severity)));
            }
            if self.unit == "%" && !(0.0..=100.0).contains(&level.threshold) {
                return Err(("levels", "a percentage is from 0 to 100".to_owned()));
            }
        }
        let worse = |pair: &[Level]| match self.comparison {
            Comparison::Above => pair[1].threshold >= pair[0].threshold,
            Comparison::Below => pair[1].threshold <= pair[0].threshold,
        };
        if self.kind == RuleKind::Figure && !settings.levels.windows(2).all(worse) {
            return Err(("levels", "a worse severity needs a worse threshold".to_owned()));
        }
        if self.kind != RuleKind::Figure && settings.levels.len() > 1 && self.levels.len() == 1 {
            return Err(("levels", "this rule has one severity".to_owned()));
        }
        if settings.for_seconds > DAY || settings.clear_for_seconds > DAY {
            return Err(("for_seconds", "a rule waits for 0 to 86400 seconds".to_owned()));
        }
        Ok(())
    }
}

/// The rule of that key.
pub fn rule(key: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.key == key)
}

#[cfg(test)]
mod tests;
