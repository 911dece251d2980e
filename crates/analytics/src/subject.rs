//! What is held on a person, and its erasure: in the live tables at once, in the archive by writing the months anew, and
//! recorded as pending until that is done. See docs/adr/0058-erasure.md.
use crate::{
    Analytics, AnalyticsError,
    archive::{Sets, exclusive, give_back, listed},
    error::said,
    rollup::{Kind, forget, wait_for},
};
use backup::{
    BackupError, Repository,
    format::{ObjectId, layout},
};
use catalog::{CHANNEL, Tenant, platform_scope};
use domain::{
    Timestamp,
    view::{ErasureArchives, ErasureReport, SubjectPlan},
};
use pool::{Session, Work, Writer};
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};
use std::collections::BTreeSet;

/// What stands where a name stood.
const ERASED: &str = "erased";

/// Counting, by field of [`SubjectPlan`]. $1 is the subject, $2 the tenant or NULL.
const COUNTS: &str = "SELECT
    (SELECT count(*) FROM tenants t JOIN plugin_analytics a ON a.tenant_id = t.id WHERE a.user_id = $1 AND ($2::int8 IS NULL OR t.id = $2)),
    (SELECT count(*) FROM analytics_user_days WHERE user_id = $1 AND ($2::int8 IS NULL OR tenant_id = $2)),
    (SELECT count(*) FROM plugin_operations WHERE started_by = $1 AND ($2::int8 IS NULL OR tenant_id = $2)),
    (SELECT count(*) FROM plugin_bulks WHERE (started_by = $1 OR cancel_asked_by = $1) AND ($2::int8 IS NULL OR tenant_id = $2)),
    (SELECT count(*) FROM audit_logs WHERE (actor = $1 OR object_kind IN ('user', 'subject') AND object_id = $1) AND ($2::int8 IS NULL OR tenant_id = $2)),
    (SELECT count(*) FROM analytics_restored.plugin_analytics WHERE user_id = $1 AND ($2::int8 IS NULL OR tenant_id = $2)),
    (SELECT count(*) FROM plugins WHERE owner = $1 AND ($2::int8 IS NULL OR tenant_id = $2))";

pub(crate) fn check(subject: &str) -> Result<(), AnalyticsError> {
    if subject.is_empty() || subject.chars().count() > 200 || subject.chars().any(char::is_control) || subject == ERASED
    {
        return Err(AnalyticsError::invalid(
            "subject",
            "a subject is the id of a user as it stands in the events: 1 to 200 characters, none of them a control character",
        ));
    }
    Ok(())
}

impl Analytics {
    /// How many rows hold a subject; nothing is changed. Without a tenant over all of them.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn subject_plan(
        &self,
        tenant: Option<Tenant>,
        subject: &str,
        repository: Option<&Repository>,
    ) -> Result<SubjectPlan, AnalyticsError> {
        check(subject)?;
        let archived_months = match repository {
            Some(repository) => {
                let sets = listed(repository, &self.home().await?).await?;
                Some(u32::try_from(candidates(&sets, tenant).len()).unwrap_or(u32::MAX))
            }
            None => None,
        };
        let plan = self
            .pools
            .read_primary(&platform_scope(), |reader: &mut pool::Reader, _: Work<'_, '_>| {
                Box::pin(async move { counts(reader.connection()?, tenant, subject).await })
            })
            .await
            .map_err(said)?;
        Ok(SubjectPlan { archived_months, ..plan })
    }

    /// Erases a subject: rows of use are deleted, where a row must stay (operations, plugins, the audit log) it loses the name.
    /// What was done in Holdfast's own records, `own`, is written down with it. The live tables are done when this returns; the archive too when there is a repository that answers, else the
    /// erasure is pending and [`Self::erasures_finish`] goes on with it.
    ///
    /// # Errors
    /// [`AnalyticsError`]; nothing was changed then, unless it says that a commit's outcome is unknown. What fails after
    /// the live tables are done is no error: the report says what is pending.
    pub async fn subject_erase(
        &self,
        tenant: Option<Tenant>,
        subject: &str,
        requested_by: &str,
        repository: Option<&Repository>,
        own: &SubjectPlan,
    ) -> Result<ErasureReport, AnalyticsError> {
        check(subject)?;
        let hash = Sha256::digest(subject.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let hash = &hash;
        let (id, live) = self
            .pools
            .write(&platform_scope(), &Session::default(), |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(
                    async move { erase_live(writer.connection()?, tenant, (subject, hash), requested_by, own).await },
                )
            })
            .await
            .map_err(said)?;
        // What the roll-ups still say of it goes now, not with the next round.
        if let Err(error) = self.roll_up_all().await {
            tracing::warn!(%error, id, "the roll-ups after an erasure are left to the next round");
        }
        if let Some(repository) = repository
            && let Err(error) = self.erase_archived(repository, id, tenant, subject).await
        {
            tracing::warn!(%error, id, "the archive still holds an erased subject; it is tried again");
            if let Err(error) = self.note_pending(id, &error.to_string()).await {
                tracing::warn!(%error, id, "why an erasure is pending could not be noted");
            }
        }
        // The rows are gone, whether the record can be read now or not.
        Ok(self.erasure(id).await.unwrap_or_else(|error| ErasureReport {
            id: id.to_string(),
            subject_hash: hash.clone(),
            state: "pending".to_owned(),
            requested_by: requested_by.to_owned(),
            requested_at: crate::now(),
            finished_at: None,
            live,
            archives: ErasureArchives::default(),
            pending_reason: Some(format!("the record of the erasure could not be read: {error}")),
            remarks: vec!["The live tables are done; the list of erasures has the certificate.".to_owned()],
        }))
    }

    /// Goes on with erasures that have not reached the archive. Gives how many are done now.
    ///
    /// # Errors
    /// [`AnalyticsError`] of the database; what the repository says is noted at the erasure.
    pub async fn erasures_finish(&self, repository: &Repository) -> Result<u32, AnalyticsError> {
        let mut done = 0;
        for (id, tenant, subject) in self.pending_erasures().await? {
            match self.erase_archived(repository, id, tenant, &subject).await {
                Ok(()) => done += 1,
                Err(error) => self.note_pending(id, &error.to_string()).await?,
            }
        }
        Ok(done)
    }

    /// The erasures, the newest first, at most a hundred.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn erasures(&self, tenant: Option<Tenant>) -> Result<Vec<ErasureReport>, AnalyticsError> {
        self.reports("($1::int8 IS NULL OR tenant_id = $1)", tenant.map(|it| it.0)).await
    }

    async fn erasure(&self, id: i64) -> Result<ErasureReport, AnalyticsError> {
        self.reports("id = $1", Some(id))
            .await?
            .pop()
            .ok_or_else(|| AnalyticsError::NotFound(format!("there is no erasure '{id}'")))
    }

    async fn reports(
        &self,
        condition: &'static str,
        argument: Option<i64>,
    ) -> Result<Vec<ErasureReport>, AnalyticsError> {
        self.pools
            .read_primary(&platform_scope(), |reader: &mut pool::Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let sql = format!("SELECT id, subject_hash, state, requested_by, (extract(epoch FROM requested_at) * 1000)::int8, (extract(epoch FROM finished_at) * 1000)::int8, live::text, archives::text, error FROM analytics_erasures WHERE {condition} ORDER BY id DESC LIMIT 100");
                    let rows = sqlx::query(AssertSqlSafe(sql)).bind(argument).fetch_all(reader.connection()?).await?;
                    rows.iter().map(report).collect::<Result<Vec<_>, AnalyticsError>>()
                })
            })
            .await
            .map_err(said)
    }

    async fn pending_erasures(&self) -> Result<Vec<(i64, Option<Tenant>, String)>, AnalyticsError> {
        self.pools
            .read_primary(&platform_scope(), |reader: &mut pool::Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let rows = sqlx::query("SELECT id, tenant_id, subject FROM analytics_erasures WHERE state = 'pending' AND subject IS NOT NULL ORDER BY id")
                        .fetch_all(reader.connection()?)
                        .await?;
                    rows.iter()
                        .map(|row| Ok((row.try_get(0)?, row.try_get::<Option<i64>, _>(1)?.map(Tenant), row.try_get(2)?)))
                        .collect::<Result<Vec<_>, AnalyticsError>>()
                })
            })
            .await
            .map_err(said)
    }

    async fn note_pending(&self, id: i64, reason: &str) -> Result<(), AnalyticsError> {
        self.update(
            "UPDATE analytics_erasures SET error = $2 WHERE id = $1 AND state = 'pending'",
            id,
            reason.to_owned(),
        )
        .await
    }

    async fn update(&self, sql: &'static str, id: i64, text: String) -> Result<(), AnalyticsError> {
        let text = &text;
        self.pools
            .write(&platform_scope(), &Session::default(), |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move {
                    sqlx::query(sql).bind(id).bind(text).execute(writer.connection()?).await?;
                    Ok::<_, AnalyticsError>(())
                })
            })
            .await
            .map_err(said)
    }

    /// Writes every month that holds the subject anew, without it. The new manifest comes before the old one goes, so
    /// that a kill leaves the month whole; what it leaves over is removed here or by the next run.
    async fn erase_archived(
        &self,
        repository: &Repository,
        id: i64,
        tenant: Option<Tenant>,
        subject: &str,
    ) -> Result<(), AnalyticsError> {
        let home = self.home().await?;
        let mut connection = self.long_connection().await?;
        if !exclusive(&mut connection).await? {
            return Err(AnalyticsError::Conflict(
                "another process works on the archive; the erasure goes on when that is done".to_owned(),
            ));
        }
        let done = self.erase_held(repository, &home, &mut connection, id, tenant, subject).await;
        give_back(connection).await;
        done
    }

    async fn erase_held(
        &self,
        repository: &Repository,
        home: &str,
        connection: &mut PgConnection,
        id: i64,
        tenant: Option<Tenant>,
        subject: &str,
    ) -> Result<(), AnalyticsError> {
        // Another process may have done it while we waited for our turn; its figures stand.
        let so_far: Option<String> =
            sqlx::query_scalar("SELECT archives::text FROM analytics_erasures WHERE id = $1 AND state = 'pending'")
                .bind(id)
                .fetch_optional(&mut *connection)
                .await?;
        let Some(so_far) = so_far else { return Ok(()) };
        // A restore that had begun before the erasure was recorded may have brought rows back since. None runs now.
        sqlx::query("DELETE FROM analytics_restored.plugin_analytics WHERE user_id = $1 AND ($2::int8 IS NULL OR tenant_id = $2)")
            .bind(subject)
            .bind(tenant.map(|it| it.0))
            .execute(&mut *connection)
            .await?;
        let sets = listed(repository, home).await?;
        // What a try before this one wrote anew is in the certificate too; it holds the subject no more.
        let mut done = ErasureArchives { searched: 0, ..serde_json::from_str(&so_far).unwrap_or_default() };
        for (set, objects) in candidates(&sets, tenant) {
            done.searched += 1;
            let mut anew = set.clone();
            let mut gone = 0;
            for object in objects {
                let mut table = crate::archive::read_object(repository, home, Kind::Events, set, object).await?;
                let keep = (0..table.rows())
                    .map(|row| !(table.is_of(row, subject) && tenant.is_none_or(|it| table.tenant(row) == Some(it.0))))
                    .collect::<Vec<_>>();
                let found = keep.iter().filter(|it| !**it).count() as u64;
                if found == 0 {
                    continue;
                }
                gone += found;
                table.retain(&keep);
                let place = anew.objects.iter().position(|it| it.id == object.id);
                let written = if table.rows() > 0 {
                    Some(crate::archive::write_object(repository, home, Kind::Events, &set.month, &table).await?)
                } else {
                    None
                };
                if let Some(place) = place {
                    anew.objects.splice(place..=place, written);
                }
            }
            if gone == 0 {
                continue;
            }
            done.rewritten += 1;
            done.rows += gone;
            anew.id = ObjectId::random();
            // Later than what it replaces, whatever our clock says.
            anew.created_at = crate::now().max(set.created_at.plus_ms(1));
            anew.rows = anew.objects.iter().map(|it| it.rows).sum();
            crate::archive::commit(repository, home, &anew).await?;
            recorded(&mut *connection, set, &anew).await?;
            let key = layout::archive_manifest(home, &set.kind, &set.month, set.id);
            repository.store().delete(&key).await.map_err(BackupError::from)?;
            let text = serde_json::to_string(&done).unwrap_or_default();
            self.update(
                "UPDATE analytics_erasures SET archives = $2::jsonb WHERE id = $1 AND state = 'pending'",
                id,
                text,
            )
            .await?;
        }
        // Objects that held the subject, also those that a run before left.
        listed(repository, home).await?.sweep(repository, home).await?;
        // A month that was archived while another repository was configured may hold the subject as well.
        let elsewhere = sets.elsewhere(&mut *connection, Kind::Events).await?;
        if !elsewhere.is_empty() {
            let months = elsewhere.iter().map(|(month, place)| format!("{month} in {place}")).collect::<Vec<_>>();
            return Err(AnalyticsError::Conflict(format!(
                "archived months that may hold the subject are not in this repository: {}; configure the one that has them and erase again. Where it is gone for good, remove their rows from the table analytics_archives",
                months.join(", ")
            )));
        }
        let text = serde_json::to_string(&done).unwrap_or_default();
        self.update("UPDATE analytics_erasures SET state = 'done', finished_at = now(), archives = $2::jsonb, error = NULL, subject = NULL WHERE id = $1 AND state = 'pending'", id, text).await
    }
}

/// Months of events, and their objects that may hold rows of the tenant.
pub(crate) fn candidates(
    sets: &Sets,
    tenant: Option<Tenant>,
) -> Vec<(&crate::archive::Set, Vec<&crate::archive::DataObject>)> {
    let may_hold = |object: &&crate::archive::DataObject| match (tenant, object.tenants) {
        (Some(tenant), Some((lo, hi))) => lo <= tenant.0 && tenant.0 <= hi,
        (Some(_), None) => false,
        (None, _) => true,
    };
    sets.newest
        .values()
        .filter(|set| set.kind == Kind::Events.as_str())
        .map(|set| (set, set.objects.iter().filter(may_hold).collect::<Vec<_>>()))
        .filter(|(_, objects)| !objects.is_empty())
        .collect()
}

async fn recorded(
    connection: &mut PgConnection,
    old: &crate::archive::Set,
    new: &crate::archive::Set,
) -> Result<(), AnalyticsError> {
    sqlx::query("UPDATE analytics_archives SET id = $2, row_count = $3, stored_bytes = $4 WHERE id = $1")
        .bind(old.id.to_string())
        .bind(new.id.to_string())
        .bind(i64::try_from(new.rows).unwrap_or(i64::MAX))
        .bind(i64::try_from(new.stored_bytes()).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    Ok(())
}

async fn counts(
    connection: &mut PgConnection,
    tenant: Option<Tenant>,
    subject: &str,
) -> Result<SubjectPlan, AnalyticsError> {
    let row = sqlx::query(COUNTS).bind(subject).bind(tenant.map(|it| it.0)).fetch_one(connection).await?;
    Ok(SubjectPlan {
        events: row.try_get(0)?,
        user_days: row.try_get(1)?,
        operations: row.try_get(2)?,
        bulk_operations: row.try_get(3)?,
        audit_rows: row.try_get(4)?,
        restored_events: row.try_get(5)?,
        plugins: row.try_get(6)?,
        ..SubjectPlan::default()
    })
}

async fn erase_live(
    connection: &mut PgConnection,
    tenant: Option<Tenant>,
    (subject, hash): (&str, &str),
    requested_by: &str,
    own: &SubjectPlan,
) -> Result<(i64, SubjectPlan), AnalyticsError> {
    // A roll-up that runs read rows that are about to go; it would write them into the sets after us.
    wait_for(&mut *connection, Kind::Events).await?;
    let user_days = forget(&mut *connection, subject, tenant.map(|it| it.0)).await?;
    let mut plan = SubjectPlan { user_days: i64::try_from(user_days).unwrap_or(i64::MAX), ..own.clone() };
    for (field, sql) in [
        (
            &mut plan.events,
            "DELETE FROM plugin_analytics a USING tenants t WHERE a.tenant_id = t.id AND a.user_id = $1 AND ($2::int8 IS NULL OR t.id = $2) AND $3 <> ''",
        ),
        (
            &mut plan.bulk_operations,
            "UPDATE plugin_bulks SET started_by = CASE WHEN started_by = $1 THEN $3 ELSE started_by END, cancel_asked_by = CASE WHEN cancel_asked_by = $1 THEN $3 ELSE cancel_asked_by END WHERE (started_by = $1 OR cancel_asked_by = $1) AND ($2::int8 IS NULL OR tenant_id = $2)",
        ),
        (
            &mut plan.audit_rows,
            "UPDATE audit_logs SET actor = CASE WHEN actor = $1 THEN $3 ELSE actor END, object_id = CASE WHEN object_kind IN ('user', 'subject') AND object_id = $1 THEN $3 ELSE object_id END, detail = '{}' WHERE (actor = $1 OR object_kind IN ('user', 'subject') AND object_id = $1) AND ($2::int8 IS NULL OR tenant_id = $2)",
        ),
        (
            &mut plan.restored_events,
            "DELETE FROM analytics_restored.plugin_analytics WHERE user_id = $1 AND ($2::int8 IS NULL OR tenant_id = $2) AND $3 <> ''",
        ),
    ] {
        let done =
            sqlx::query(sql).bind(subject).bind(tenant.map(|it| it.0)).bind(ERASED).execute(&mut *connection).await?;
        *field = i64::try_from(done.rows_affected()).unwrap_or(i64::MAX);
    }
    let mut shown_to = BTreeSet::new();
    for (field, sql) in [
        (
            &mut plan.operations,
            "UPDATE plugin_operations SET started_by = $3 WHERE started_by = $1 AND ($2::int8 IS NULL OR tenant_id = $2) RETURNING tenant_id",
        ),
        (
            &mut plan.plugins,
            "UPDATE plugins SET owner = $3, updated_at = clock_timestamp() WHERE owner = $1 AND ($2::int8 IS NULL OR tenant_id = $2) RETURNING tenant_id",
        ),
    ] {
        let tenants = sqlx::query_scalar::<_, Option<i64>>(sql)
            .bind(subject)
            .bind(tenant.map(|it| it.0))
            .bind(ERASED)
            .fetch_all(&mut *connection)
            .await?;
        *field = i64::try_from(tenants.len()).unwrap_or(i64::MAX);
        shown_to.extend(tenants.into_iter().flatten());
    }
    // Answers about plugins that hold the name are remembered no longer.
    for tenant in shown_to {
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(tenant.to_string())
            .execute(&mut *connection)
            .await?;
    }
    let live = serde_json::to_string(&plan).unwrap_or_default();
    let id = sqlx::query_scalar("INSERT INTO analytics_erasures (tenant_id, subject, subject_hash, state, requested_by, live) VALUES ($1, $2, $3, 'pending', $4, $5::jsonb) RETURNING id")
        .bind(tenant.map(|it| it.0))
        .bind(subject)
        .bind(hash)
        .bind(requested_by)
        .bind(live)
        .fetch_one(connection)
        .await?;
    Ok((id, plan))
}

fn report(row: &PgRow) -> Result<ErasureReport, AnalyticsError> {
    let state: String = row.try_get(2)?;
    let requested_at = Timestamp(row.try_get(4)?);
    let mut remarks = vec![format!(
        "Physical backups that were taken before {requested_at} still hold the rows until retention removes them; after a restore of one, run the erasure again."
    )];
    if state == "pending" {
        remarks.push(
            "The archive may still hold the subject. It is tried again every hour, and by 'holdfast gdpr erase --subject ID' again; a restore of archived rows leaves the subject out meanwhile.".to_owned(),
        );
    }
    let live: SubjectPlan = serde_json::from_str(&row.try_get::<String, _>(6)?).unwrap_or_default();
    if live.own_kept > 0 {
        remarks.push(format!(
            "{} records of Holdfast itself keep the name: rows of its audit log, each of which holds the hash of the one before, and decisions of a failover. They prove what was done with the data of others and are kept for that (Art. 17 (3) b and e GDPR).",
            live.own_kept
        ));
    }
    if live.account {
        remarks.push("An account of that name may still sign in to Holdfast: disable it where the person is to have no access any more.".to_owned());
    }
    Ok(ErasureReport {
        id: row.try_get::<i64, _>(0)?.to_string(),
        subject_hash: row.try_get(1)?,
        state,
        requested_by: row.try_get(3)?,
        requested_at,
        finished_at: row.try_get::<Option<i64>, _>(5)?.map(Timestamp),
        live,
        archives: serde_json::from_str(&row.try_get::<String, _>(7)?).unwrap_or_default(),
        pending_reason: row.try_get(8)?,
        remarks,
    })
}
