//! Partitions of a month each, made before they are needed.
use crate::{Analytics, AnalyticsError, error::said};
use catalog::platform_scope;
use domain::Timestamp;
use pool::{Reader, Session, Work, Writer};
use std::collections::BTreeSet;

/// Months made ahead of the current one.
const AHEAD: i32 = 3;

/// A calendar month (UTC), counted from year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Month(pub(crate) i32);

impl Month {
    pub(crate) fn of(at: Timestamp) -> Self {
        let text = at.to_rfc3339();
        // Years have four digits in all that PostgreSQL and we deal with.
        let number = |range: std::ops::Range<usize>| text.get(range).and_then(|it| it.parse::<i32>().ok()).unwrap_or(0);
        Self(number(0..4) * 12 + number(5..7) - 1)
    }

    /// `2026-07`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let (year, month) = (year.parse::<i32>().ok()?, month.parse::<i32>().ok()?);
        ((1..=12).contains(&month) && (1..=9999).contains(&year)).then_some(Self(year * 12 + month - 1))
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// `2026-07-01`.
    pub(crate) fn date(self) -> String {
        format!("{self}-01")
    }

    pub(crate) fn start(self) -> Timestamp {
        Timestamp::parse_rfc3339(&format!("{self}-01T00:00:00Z")).unwrap_or_default()
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

impl Analytics {
    /// Makes the current month's partitions and those of the next three, where they are missing, and those of rows that
    /// had none when they came. Gives how many it made.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn partitions_ahead(&self) -> Result<u32, AnalyticsError> {
        let this = Month::of(crate::now());
        let mut made = 0;
        for parent in ["plugin_analytics", "plugin_metrics"] {
            let mut months = (0..=AHEAD).map(|n| Month(this.0 + n)).collect::<BTreeSet<_>>();
            months.extend(self.strays(parent).await?);
            made += self.ensure(parent, &months).await?;
        }
        Ok(made)
    }

    async fn strays(&self, parent: &'static str) -> Result<Vec<Month>, AnalyticsError> {
        let dates: Vec<String> = self
            .pools
            .read_primary(&platform_scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let dates = sqlx::query_scalar("SELECT to_char(m, 'YYYY-MM') FROM analytics_strays($1) m")
                        .bind(parent)
                        .fetch_all(reader.connection()?)
                        .await?;
                    Ok::<_, AnalyticsError>(dates)
                })
            })
            .await
            .map_err(said)?;
        Ok(dates.iter().filter_map(|date| Month::parse(date)).collect())
    }

    /// Makes the partitions of these months where they are missing, each in a transaction of its own: a lock is held
    /// for one at a time.
    pub(crate) async fn ensure(&self, parent: &'static str, months: &BTreeSet<Month>) -> Result<u32, AnalyticsError> {
        let mut made = 0;
        for month in months {
            let date = month.date();
            let date = &date;
            let one: bool = self
                .pools
                .write(&platform_scope(), &Session::default(), |writer: &mut Writer, _: Work<'_, '_>| {
                    Box::pin(async move {
                        let made = sqlx::query_scalar("SELECT analytics_ensure_partition($1, $2::date)")
                            .bind(parent)
                            .bind(date)
                            .fetch_one(writer.connection()?)
                            .await?;
                        Ok::<_, AnalyticsError>(made)
                    })
                })
                .await
                .map_err(said)?;
            made += u32::from(one);
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_count_over_the_year() {
        let december = Month::parse("2026-12");
        assert_eq!(december.map(|it| it.next().to_string()), Some("2027-01".to_owned()));
        assert_eq!(december, Some(Month::of(Timestamp(1_798_700_000_000))));
        assert_eq!(december.map(|it| it.start().to_rfc3339()), Some("2026-12-01T00:00:00Z".to_owned()));
        assert_eq!(Month::parse("2026-13"), None);
    }
}
