//! When and how plugins are used: hours of the week, active users, cohorts that come again, plugins used together.
use crate::{
    Analytics, AnalyticsError, DAY_MS, HOUR_MS,
    buckets::monday,
    counts::{Count, Dimension, counted},
    error::said,
    filter::SeriesFilter,
    floor,
    plan::Plan,
    rollup::Kind,
    series::{finer_than_hours, known, range, snap, users_from},
    top::plugin_names,
    users::{Days, Sets, numbers},
    zone::Zone,
};
use catalog::Tenant;
use domain::{
    Timestamp,
    view::{ActiveUsers, Bucket, CoUse, Cohort, HourOfWeek, UsagePatterns},
};
use pool::{Reader, Work};
use sqlx::PgConnection;
use std::cmp::Reverse;

/// Plugins among which pairs are looked for: those with most users.
const CO_USE_PLUGINS: usize = 25;
/// Pairs told.
const CO_USE_PAIRS: usize = 12;
/// Days before the first whose users count into its month.
const LOOK_BACK_DAYS: i64 = 29;
/// Weeks of cohorts.
const COHORT_WEEKS: i64 = 12;
const WEEK_MS: i64 = 7 * DAY_MS;

impl Analytics {
    /// Patterns of use in a range, which is taken by whole days, as far back as users and hours are kept: `from` of the answer says
    /// it. The hours are those of the time zone; days of users are those of UTC, and count all types of events, whatever the
    /// filter says of these.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn usage_patterns(
        &self,
        tenant: Tenant,
        filter: &SeriesFilter,
        (from, to): (Timestamp, Timestamp),
        time_zone: Option<&str>,
    ) -> Result<UsagePatterns, AnalyticsError> {
        let (from, to) = range(from, to)?;
        filter.check()?;
        let (from, to) = (floor(from, DAY_MS).max(users_from()), floor(to + DAY_MS - 1, DAY_MS));
        if from >= to {
            return Err(AnalyticsError::invalid(
                "to",
                format!("who used what, and when, is kept from {} on; ask for a later range", Timestamp(from)),
            ));
        }
        self.pools
            .read(&tenant.asking(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move { patterns(reader.connection()?, tenant, filter, (from, to), time_zone).await })
            })
            .await
            .map_err(said)
    }
}

async fn patterns(
    connection: &mut PgConnection,
    tenant: Tenant,
    filter: &SeriesFilter,
    (from, to): (i64, i64),
    time_zone: Option<&str>,
) -> Result<UsagePatterns, AnalyticsError> {
    // Cohorts look further back than the range: who was seen before is not new.
    let earliest = (from - LOOK_BACK_DAYS * DAY_MS).min(to - (COHORT_WEEKS + 1) * WEEK_MS);
    let known = known(&mut *connection, Kind::Events, earliest, to).await?;
    let from = snap(from, &known);
    let zone = Zone::load(&mut *connection, time_zone, from, to).await?;
    finer_than_hours((from, to), Bucket::Hour, &known, &zone)?;
    let plan = Plan::of_zone(from, to, Bucket::Hour, &known, &zone);
    let hours = hours(&mut *connection, tenant, (filter, &zone), &plan).await?;
    let only = filter.of_users();
    let all =
        Sets::under(&mut *connection, tenant, (Dimension::All, Days::Apart), &only, (earliest, to), &known).await?;
    let active_users = active(&all, from, to);
    let first_shown = monday(to - 1) - (COHORT_WEEKS - 1) * WEEK_MS;
    let new = new_users(&mut *connection, tenant, first_shown).await?;
    let cohorts = cohorts(&all, &new, first_shown, to);
    // What one plugin is used together with is looked for among all of them.
    let others = SeriesFilter { plugin: None, ..filter.clone() }.of_users();
    let of = (Dimension::Plugin, Days::Together);
    let plugins = Sets::under(&mut *connection, tenant, of, &others, (from, to), &known).await?;
    let co_use = co_use(connection, tenant, filter.plugin, &plugins).await?;
    let time_zone = zone.name;
    Ok(UsagePatterns { from: Timestamp(from), to: Timestamp(to), time_zone, hours, active_users, cohorts, co_use })
}

async fn hours(
    connection: &mut PgConnection,
    tenant: Tenant,
    (filter, zone): (&SeriesFilter, &Zone),
    plan: &Plan,
) -> Result<Vec<HourOfWeek>, AnalyticsError> {
    let count = Count { bucket: Some(Bucket::Hour), by: Dimension::All, filter, zone, since: None };
    let mut events = [0; 168];
    for one in counted(connection, tenant, plan, &count).await? {
        let local = zone.local(one.at);
        let hour = (local - monday(local)) / HOUR_MS;
        if let Some(slot) = usize::try_from(hour).ok().and_then(|hour| events.get_mut(hour)) {
            *slot += one.events;
        }
    }
    Ok((0..).zip(events).map(|(hour, events)| HourOfWeek { weekday: hour / 24 + 1, hour: hour % 24, events }).collect())
}

/// Users of each day of the range, and of the 7 and 30 days that end with it. A user counts from a day on for 1, 7 or 30
/// days, or until the day on which they come again: so nobody is counted twice, and one pass over the sets is enough.
fn active(sets: &Sets, from: i64, to: i64) -> Vec<ActiveUsers> {
    const SPANS: [i64; 3] = [1, 7, LOOK_BACK_DAYS + 1];
    let begin = floor(from, DAY_MS) / DAY_MS - LOOK_BACK_DAYS;
    let end = to / DAY_MS;
    let days = usize::try_from(end - begin).unwrap_or_default();
    let mut by_day = vec![Vec::new(); days];
    for set in &sets.days {
        if let Some(slot) = usize::try_from(set.day / DAY_MS - begin).ok().and_then(|day| by_day.get_mut(day)) {
            slot.push(&set.users);
        }
    }
    // How many more there are on a day than on the day before, by span.
    let mut change = vec![[0_i64; 3]; days + 1];
    let mut last = vec![None; sets.width()];
    let ends = |seen: i64, span: i64, again: i64| usize::try_from((seen + span).min(again)).unwrap_or(days);
    for (day, users) in (0_i64..).zip(&by_day) {
        for number in users.iter().copied().flatten() {
            let before = last[sets.place(*number)].replace(day);
            if before == Some(day) {
                continue;
            }
            for (slot, span) in SPANS.into_iter().enumerate() {
                change[day as usize][slot] += 1;
                if let Some(seen) = before {
                    change[ends(seen, span, day)][slot] -= 1;
                }
            }
        }
    }
    for seen in last.into_iter().flatten() {
        for (slot, span) in SPANS.into_iter().enumerate() {
            change[ends(seen, span, days as i64)][slot] -= 1;
        }
    }
    let mut now = [0; 3];
    let mut active = Vec::new();
    for (day, change) in (begin..end).zip(change) {
        for (now, change) in now.iter_mut().zip(change) {
            *now += change;
        }
        if day * DAY_MS >= from {
            let [daily, weekly, monthly] = now;
            active.push(ActiveUsers { day: Timestamp(day * DAY_MS), daily, weekly, monthly });
        }
    }
    active
}

/// Numbers of users whose first day of all that are kept is not before a moment.
async fn new_users(connection: &mut PgConnection, tenant: Tenant, since: i64) -> Result<Vec<u32>, AnalyticsError> {
    let bytes: Option<Vec<u8>> = sqlx::query_scalar("SELECT string_agg(int4send(number), '') FROM analytics_users WHERE tenant_id = $1 AND first_day >= (to_timestamp($2::int8 / 1000.0) AT TIME ZONE 'UTC')::date")
        .bind(tenant.0)
        .bind(since)
        .fetch_one(connection)
        .await?;
    Ok(numbers(&bytes.unwrap_or_default()))
}

/// Weeks in which users came for the first time, and in which weeks they came again. Whoever has no number yet is new.
fn cohorts(sets: &Sets, new: &[u32], first_shown: i64, to: i64) -> Vec<Cohort> {
    let weeks = usize::try_from((monday(to - 1) - first_shown) / WEEK_MS + 1).unwrap_or(1);
    // A bit for each week that a new user was seen in.
    let mut seen = vec![0_u32; sets.width()];
    for set in sets.days.iter().filter(|it| it.day >= first_shown) {
        let week = 1_u32 << ((set.day - first_shown) / WEEK_MS).clamp(0, 31);
        for number in &set.users {
            seen[sets.place(*number)] |= week;
        }
    }
    let mut is_new = vec![false; sets.width()];
    for number in new {
        // Whoever did not come in the range has no place.
        if let Some(place) = number.checked_sub(sets.lowest()).and_then(|place| is_new.get_mut(place as usize)) {
            *place = true;
        }
    }
    let mut counted = vec![vec![0_i64; weeks]; weeks];
    // Rows that are late may tell of a user before the first day that is known: then the user is not new.
    let mut old = vec![false; sets.width()];
    for number in sets.days.iter().filter(|it| it.day < first_shown).flat_map(|it| &it.users) {
        old[sets.place(*number)] = true;
    }
    for (number, ((seen, old), is_new)) in (sets.lowest()..).zip(seen.into_iter().zip(old).zip(is_new)) {
        if seen == 0 || old || !(is_new || number >= sets.unknown_from) {
            continue;
        }
        let first = seen.trailing_zeros() as usize;
        for week in (first..weeks).filter(|week| seen & (1 << week) != 0) {
            counted[first][week] += 1;
        }
    }
    counted
        .into_iter()
        .enumerate()
        .filter(|(first, counted)| counted[*first] > 0)
        .map(|(first, counted)| Cohort {
            week: Timestamp(first_shown + first as i64 * WEEK_MS),
            users: counted[first],
            seen: counted[first..].to_vec(),
        })
        .collect()
}

/// Plugins that the same users use: pairs of those with most users, perhaps only pairs with one of them.
async fn co_use(
    connection: &mut PgConnection,
    tenant: Tenant,
    plugin: Option<i64>,
    sets: &Sets,
) -> Result<Vec<CoUse>, AnalyticsError> {
    let united = sets.united(|_, key| key.parse::<i64>().unwrap_or_default());
    let mut most = united.into_iter().map(|(plugin, users)| (users.count(), plugin, users)).collect::<Vec<_>>();
    most.sort_by_key(|(count, id, _)| (plugin != Some(*id), Reverse(*count), *id));
    most.truncate(CO_USE_PLUGINS);
    most.sort_by_key(|it| it.1);
    let mut pairs = Vec::new();
    for (n, (users, one, set)) in most.iter().enumerate() {
        for (others, other, with) in &most[n + 1..] {
            let common = set.common(with);
            if common > 1 && plugin.is_none_or(|plugin| plugin == *one || plugin == *other) {
                let overlap_percent = common as f64 * 100.0 / (users + others - common) as f64;
                pairs.push((*one, *other, common, overlap_percent));
            }
        }
    }
    pairs.sort_by(|a, b| b.3.total_cmp(&a.3).then(b.2.cmp(&a.2)).then((a.0, a.1).cmp(&(b.0, b.1))));
    pairs.truncate(CO_USE_PAIRS);
    let ids = pairs.iter().flat_map(|pair| [pair.0, pair.1]).collect::<Vec<_>>();
    let names = plugin_names(connection, tenant, &ids).await?;
    let name = |id: i64| names.get(&id).cloned().unwrap_or_else(|| format!("removed plugin {id}"));
    Ok(pairs
        .into_iter()
        .map(|(one, other, users, overlap_percent)| CoUse {
            plugin_id: one.to_string(),
            plugin: name(one),
            with_id: other.to_string(),
            with: name(other),
            users,
            overlap_percent,
        })
        .collect())
}
