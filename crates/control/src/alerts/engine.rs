//! One tick of one cluster: what was seen goes in, what changed comes out. Nothing here waits: the store may be down.
use super::book::{AlertBook, Inner, Notice};
use analysis::alerts::{Observed, Phase, RULES, Reading, Rule, Seen, Tracked};
use domain::{
    Timestamp,
    alert::{RuleKind, RuleSettings, Severity},
    view::{Event, EventKind},
};
use notify::MessageKind;
use std::collections::{BTreeMap, BTreeSet};
use store::{AlertEventRow, AlertPhase, AlertRow};

/// An open alert with the state of its machine.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) row: AlertRow,
    tracked: Tracked,
    /// When it was last given to be written.
    put_at: Timestamp,
}

impl Entry {
    pub(super) fn new(row: AlertRow, tracked: Tracked) -> Self {
        Self { row, tracked, put_at: Timestamp(0) }
    }
}

/// People are to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Tell {
    /// Why.
    pub kind: MessageKind,
    /// Of what, as it was then.
    pub alert: AlertRow,
    /// When.
    pub at: Timestamp,
}

/// What a tick changed, to be written in one transaction. Applying it twice is the same as once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Alerts as they are now, by id.
    pub puts: BTreeMap<i64, AlertRow>,
    /// Pending ones that came to nothing.
    pub deletes: BTreeSet<i64>,
    /// What happened.
    pub events: Vec<AlertEventRow>,
    /// Acknowledgements and silences that ended by themselves, by alert, and when.
    pub expired: Vec<(i64, Timestamp)>,
    /// Who is to be told what.
    pub tells: Vec<Tell>,
    /// For the markers in charts, by cluster.
    pub timeline: Vec<(String, Event)>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what came later.
    pub fn extend(&mut self, later: Self) {
        for id in &later.deletes {
            self.puts.remove(id);
        }
        self.puts.extend(later.puts);
        self.deletes.extend(later.deletes);
        self.events.extend(later.events);
        self.expired.extend(later.expired);
        self.tells.extend(later.tells);
        self.timeline.extend(later.timeline);
    }
}

/// Where and when a tick is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick<'a> {
    cluster: &'a str,
    at: Timestamp,
    sequence: u64,
    max_gap_ms: u64,
}

/// The value of one that goes on is written this often, so that the store does not hold one of yesterday.
const PUT_EVERY_MS: i64 = 60_000;

impl AlertBook {
    /// Takes a tick of a cluster into account. `readings` is what the cluster itself showed; what others observe and
    /// give notice of is added. `interval_ms` is the time between two ticks: more than two and a half of it between
    /// two looks counts as a gap, not as evidence.
    pub fn step(
        &self,
        cluster: &str,
        readings: &BTreeMap<&'static str, Reading>,
        at: Timestamp,
        sequence: u64,
        interval_ms: u64,
    ) -> Changes {
        let tick = Tick { cluster, at, sequence, max_gap_ms: interval_ms.saturating_mul(5) / 2 };
        let mut changes = Changes::default();
        if !self.is_loaded() {
            return changes;
        }
        {
            let mut inner = self.lock();
            inner.looked.insert(cluster.to_owned());
            for rule in RULES {
                let settings = inner.settings(cluster, rule);
                if !settings.enabled {
                    withdraw(&mut inner, &tick, rule, &mut changes);
                } else if rule.kind == RuleKind::Notice {
                    expire(&mut inner, &tick, rule, &mut changes);
                } else {
                    let reading = match readings.get(rule.key) {
                        Some(reading) => Some(reading.clone()),
                        None => Self::fed(&inner, cluster, rule.key),
                    };
                    // Of what nobody has looked at since the start nothing is known.
                    let reading = reading.unwrap_or(Reading::Unknown);
                    judge(&mut inner, &tick, rule, &settings, &reading, &mut changes);
                }
            }
            for notice in inner.notices.remove(cluster).unwrap_or_default() {
                note(&mut inner, &tick, notice, &mut changes);
            }
            tell(&mut inner, &tick, &mut changes);
        }
        if !changes.events.is_empty() || !changes.deletes.is_empty() || !changes.expired.is_empty() {
            self.changed(cluster, at);
        }
        changes
    }
}

impl AlertBook {
    /// Ends the alerts of clusters that are not configured any more: nobody would ever look at them again.
    pub fn withdraw_unknown(&self, known: &[String], at: Timestamp) -> Changes {
        let mut changes = Changes::default();
        let mut inner = self.lock();
        take_out(
            &mut inner,
            |row| !known.contains(&row.cluster_id),
            |inner, entry| {
                let id = inner.next_id(at);
                let note = "the cluster is not configured any more";
                changes.events.push(event(id, entry.row.id, at, "withdrawn", entry.row.severity, note));
                let cluster = entry.row.cluster_id.clone();
                let tick = Tick { cluster: &cluster, at, sequence: 0, max_gap_ms: 0 };
                end(entry, &tick, "withdrawn", &mut changes);
            },
        );
        changes
    }
}

fn judge(
    inner: &mut Inner,
    tick: &Tick<'_>,
    rule: &'static Rule,
    settings: &RuleSettings,
    reading: &Reading,
    changes: &mut Changes,
) {
    let known = match reading {
        Reading::Known(observed) => observed.as_slice(),
        Reading::Unknown => &[],
    };
    let unnamed = if *reading == Reading::Unknown { Seen::NoData } else { Seen::Gone };
    for observed in known {
        let seen = observed.value.map_or(Seen::NoData, Seen::Value);
        look(inner, tick, rule, settings, &observed.object, seen, Some(observed), changes);
    }
    let named = |object: &str| known.iter().any(|observed| observed.object == object);
    let others = inner
        .open
        .values()
        .filter(|entry| entry.row.cluster_id == tick.cluster && entry.row.rule == rule.key && !named(&entry.row.object))
        .map(|entry| entry.row.object.clone())
        .collect::<Vec<_>>();
    for object in others {
        look(inner, tick, rule, settings, &object, unnamed, None, changes);
    }
}

#[allow(clippy::too_many_arguments)] // one look at one object of one rule in one tick
fn look(
    inner: &mut Inner,
    tick: &Tick<'_>,
    rule: &'static Rule,
    settings: &RuleSettings,
    object: &str,
    seen: Seen,
    observed: Option<&Observed>,
    changes: &mut Changes,
) {
    let key = (tick.cluster.to_owned(), rule.key.to_owned(), object.to_owned());
    let (mut entry, is_new) = match inner.open.remove(&key) {
        Some(entry) => (entry, false),
        None => (Entry::new(blank(tick, rule, object), Tracked::default()), true),
    };
    let step = entry.tracked.step(settings, rule.comparison, seen, tick.at, tick.max_gap_ms);
    if step.after == Phase::Idle && is_new {
        return;
    }
    if is_new {
        entry.row.id = inner.next_id(tick.at);
    }
    if let Some(observed) = observed {
        entry.row.value = observed.value.or(entry.row.value);
        if observed.value.is_some() {
            entry.row.measured = match (observed.measured.is_empty(), observed.value) {
                (true, Some(value)) if rule.kind == RuleKind::Figure => rule.show(value),
                _ => observed.measured.clone(),
            };
            entry.row.detail = observed.detail.clone().or(entry.row.detail.take());
        }
    }
    let shown = |severity: Severity| {
        settings.levels.iter().find(|level| level.severity == severity).map(|level| rule.show_threshold(level))
    };
    match (step.before.severity(), step.after) {
        (None, Phase::Idle) => {
            changes.puts.remove(&entry.row.id);
            changes.deletes.insert(entry.row.id);
            return;
        }
        (None, Phase::Pending) => {
            let mildest = settings.levels.first().map_or(Severity::Warning, |level| level.severity);
            entry.row.severity = mildest;
            entry.row.threshold = shown(mildest).unwrap_or_default();
        }
        (None, Phase::Firing(severity)) => {
            entry.row.phase = AlertPhase::Firing;
            entry.row.fired_at = Some(tick.at);
            entry.row.severity = severity;
            entry.row.threshold = shown(severity).unwrap_or_default();
            entry.row.sequence = tick.sequence;
            happened(inner, tick, &entry.row, "fired", severity, changes);
            changes.timeline.push((tick.cluster.to_owned(), marker(&entry.row, tick.at, severity.as_str())));
        }
        (Some(before), Phase::Firing(severity)) => {
            entry.row.threshold = shown(severity).unwrap_or_default();
            if severity != before {
                entry.row.severity = severity;
                let kind = if severity > before { "raised" } else { "lowered" };
                happened(inner, tick, &entry.row, kind, severity, changes);
            }
        }
        (Some(severity), Phase::Idle | Phase::Pending) => {
            happened(inner, tick, &entry.row, "resolved", severity, changes);
            end(entry, tick, "resolved", changes);
            return;
        }
    }
    entry.row.no_data_since = entry.tracked.no_data_since;
    if let (Some(missing), Phase::Firing(severity)) = (step.no_data, step.after) {
        happened(inner, tick, &entry.row, if missing { "no_data" } else { "data_back" }, severity, changes);
    }
    let settled = matches!(step.after, Phase::Firing(_)) && step.before == step.after && step.no_data.is_none();
    if !settled || entry.tracked.is_counting() || tick.at.0.saturating_sub(entry.put_at.0).abs() >= PUT_EVERY_MS {
        put(&mut entry, tick.at, changes);
    }
    inner.open.insert(key, entry);
}

fn happened(inner: &mut Inner, tick: &Tick<'_>, row: &AlertRow, kind: &str, severity: Severity, changes: &mut Changes) {
    let id = inner.next_id(tick.at);
    changes.events.push(event(id, row.id, tick.at, kind, severity, &row.measured));
}

fn blank(tick: &Tick<'_>, rule: &'static Rule, object: &str) -> AlertRow {
    AlertRow {
        id: 0,
        cluster_id: tick.cluster.to_owned(),
        rule: rule.key.to_owned(),
        object: object.to_owned(),
        title: rule.title.to_owned(),
        detail: None,
        severity: Severity::Warning,
        phase: AlertPhase::Pending,
        value: None,
        measured: String::new(),
        threshold: String::new(),
        started_at: tick.at,
        fired_at: None,
        resolved_at: None,
        expires_at: None,
        no_data_since: None,
        sequence: tick.sequence,
        page: rule.page.to_owned(),
        machine: String::new(),
        notified: None,
        suppressed_by: None,
        ack: None,
        silence: None,
    }
}

fn put(entry: &mut Entry, at: Timestamp, changes: &mut Changes) {
    entry.row.machine = serde_json::to_string(&entry.tracked).unwrap_or_default();
    entry.put_at = at;
    changes.puts.insert(entry.row.id, entry.row.clone());
}

fn event(id: i64, alert_id: i64, at: Timestamp, kind: &str, severity: Severity, note: &str) -> AlertEventRow {
    AlertEventRow { id, alert_id, at, kind: kind.to_owned(), severity, actor: None, note: note.to_owned() }
}

fn marker(row: &AlertRow, at: Timestamp, what: &str) -> Event {
    let object = if row.object.is_empty() { String::new() } else { format!(" {}", row.object) };
    Event::new(at, EventKind::Alert, format!("{what}: {}{object}", row.title))
}

/// Writes the end down; whoever was told of the begin is told of it too, muted or not.
fn end(mut entry: Entry, tick: &Tick<'_>, what: &str, changes: &mut Changes) {
    entry.row.phase = AlertPhase::Resolved;
    entry.row.resolved_at = Some(tick.at);
    entry.row.no_data_since = None;
    entry.row.suppressed_by = None;
    put(&mut entry, tick.at, changes);
    if entry.row.expires_at.is_none() {
        changes.timeline.push((tick.cluster.to_owned(), marker(&entry.row, tick.at, what)));
        if entry.row.notified.is_some() {
            changes.tells.push(Tell { kind: MessageKind::Resolved, alert: entry.row, at: tick.at });
        }
    }
}

/// A rule that was switched off has no alerts.
fn withdraw(inner: &mut Inner, tick: &Tick<'_>, rule: &Rule, changes: &mut Changes) {
    take_out(
        inner,
        |row| row.cluster_id == tick.cluster && row.rule == rule.key,
        |inner, entry| {
            if entry.row.phase == AlertPhase::Pending {
                changes.deletes.insert(entry.row.id);
                return;
            }
            let id = inner.next_id(tick.at);
            changes.events.push(event(
                id,
                entry.row.id,
                tick.at,
                "withdrawn",
                entry.row.severity,
                "the rule was switched off",
            ));
            end(entry, tick, "withdrawn", changes);
        },
    );
}

/// Notices end by themselves.
fn expire(inner: &mut Inner, tick: &Tick<'_>, rule: &Rule, changes: &mut Changes) {
    let over = |row: &AlertRow| {
        row.cluster_id == tick.cluster && row.rule == rule.key && row.expires_at.is_some_and(|end| end <= tick.at)
    };
    take_out(inner, over, |inner, entry| {
        let id = inner.next_id(tick.at);
        changes.events.push(event(id, entry.row.id, tick.at, "resolved", entry.row.severity, "its time is over"));
        end(entry, tick, "resolved", changes);
    });
}

fn take_out(inner: &mut Inner, which: impl Fn(&AlertRow) -> bool, mut then: impl FnMut(&mut Inner, Entry)) {
    let keys = inner.open.iter().filter(|(_, entry)| which(&entry.row)).map(|(key, _)| key.clone()).collect::<Vec<_>>();
    for key in keys {
        if let Some(entry) = inner.open.remove(&key) {
            then(inner, entry);
        }
    }
}

/// Something happened: it is open at once, and for as long as its rule says.
fn note(inner: &mut Inner, tick: &Tick<'_>, notice: Notice, changes: &mut Changes) {
    let Some(rule) = analysis::alerts::rule(notice.rule) else { return };
    let settings = inner.settings(tick.cluster, rule);
    let key = (tick.cluster.to_owned(), rule.key.to_owned(), notice.object.clone());
    if !settings.enabled || inner.open.contains_key(&key) {
        return;
    }
    let severity = settings.levels.first().map_or(Severity::Info, |level| level.severity);
    let row = AlertRow {
        id: inner.next_id(tick.at),
        detail: notice.detail,
        severity,
        phase: AlertPhase::Firing,
        measured: notice.measured,
        fired_at: Some(tick.at),
        expires_at: Some(tick.at.plus_ms(i64::from(rule.lasts_seconds) * 1_000)),
        ..blank(tick, rule, &notice.object)
    };
    let id = inner.next_id(tick.at);
    changes.events.push(event(id, row.id, tick.at, "fired", severity, &row.measured));
    let mut entry = Entry::new(row, Tracked::default());
    put(&mut entry, tick.at, changes);
    inner.open.insert(key, entry);
}

/// Who must be told now. Quiet is whoever is silenced, taken on at this severity, or within a blackout; when that ends
/// and the alert goes on, it is told then.
fn tell(inner: &mut Inner, tick: &Tick<'_>, changes: &mut Changes) {
    let keys = inner.open.keys().filter(|key| key.0 == tick.cluster).cloned().collect::<Vec<_>>();
    for key in keys {
        let suppressed_by = inner.blackout(tick.cluster, &key.1, tick.at).map(|row| row.reason.clone());
        let Some(mut entry) = inner.open.remove(&key) else { continue };
        if entry.row.phase == AlertPhase::Firing {
            let mut dirty = entry.row.suppressed_by != suppressed_by;
            entry.row.suppressed_by = suppressed_by;
            let mut again = false;
            if entry.row.ack.as_ref().is_some_and(|ack| ack.until.is_some_and(|until| until <= tick.at)) {
                entry.row.ack = None;
                again = true;
                changes.expired.push((entry.row.id, tick.at));
                let id = inner.next_id(tick.at);
                let note = "the acknowledgement ended";
                changes.events.push(event(id, entry.row.id, tick.at, "unacknowledged", entry.row.severity, note));
            }
            if entry.row.silence.as_ref().is_some_and(|silence| silence.until <= tick.at) {
                entry.row.silence = None;
                changes.expired.push((entry.row.id, tick.at));
                let id = inner.next_id(tick.at);
                changes.events.push(event(
                    id,
                    entry.row.id,
                    tick.at,
                    "unsilenced",
                    entry.row.severity,
                    "the silence ended",
                ));
            }
            let taken_on = entry.row.ack.as_ref().is_some_and(|ack| ack.severity >= entry.row.severity);
            let quiet = entry.row.silence.is_some() || entry.row.suppressed_by.is_some() || taken_on;
            let worse = entry.row.notified.is_none_or(|told| told < entry.row.severity);
            if !quiet && (worse || again) {
                let kind = match entry.row.notified {
                    _ if entry.row.expires_at.is_some() => MessageKind::Notice,
                    Some(told) if told < entry.row.severity => MessageKind::Raised,
                    _ => MessageKind::Firing,
                };
                entry.row.notified = Some(entry.row.severity);
                dirty = true;
                changes.tells.push(Tell { kind, alert: entry.row.clone(), at: tick.at });
            }
            if dirty {
                put(&mut entry, tick.at, changes);
            }
        }
        inner.open.insert(key, entry);
    }
}

#[cfg(test)]
mod tests;
