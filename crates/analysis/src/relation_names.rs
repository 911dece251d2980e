//! Names of relations in databases that we are not connected to: the views of the whole server tell those by oid only,
//! and the tables of every database are read from time to time anyway.
use domain::reading::{LockReading, Progress, TableCounters};

/// `schema.table`, where the tables that were read have it.
fn name(tables: &[TableCounters], database: &str, oid: u32) -> Option<String> {
    let found = tables.iter().find(|table| table.oid == oid && table.database == database)?;
    Some(format!("{}.{}", found.schema, found.name))
}

/// What is waited for in another database gets its name, or its number where that is all there is.
pub fn of_waits(reading: &mut LockReading, tables: &[TableCounters]) {
    for wait in reading.waits.iter_mut().filter(|wait| wait.relation.is_none()) {
        let Some(oid) = wait.relation_oid else { continue };
        let named = wait.database.as_deref().and_then(|database| name(tables, database, oid));
        wait.relation = Some(named.unwrap_or_else(|| format!("relation {oid}")));
    }
}

/// What a command works on in another database: its number is all that was read.
pub fn of_progress(progress: &mut [Progress], tables: &[TableCounters]) {
    for command in progress {
        let oid = command.relation.as_deref().and_then(|relation| relation.parse::<u32>().ok());
        let named = oid.zip(command.database.as_deref()).and_then(|(oid, database)| name(tables, database, oid));
        command.relation = named.or_else(|| command.relation.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::reading::LockWait;

    #[test]
    fn a_number_becomes_the_name_of_its_own_database() {
        let table = |database: &str, oid, name: &str| TableCounters {
            database: database.into(),
            schema: "public".into(),
            name: name.into(),
            oid,
            ..TableCounters::default()
        };
        // Databases made from one template share their numbers.
        let tables = [table("shop", 16_400, "orders"), table("stock", 16_400, "parts")];
        let wait = |database: Option<&str>, oid, relation: Option<&str>| LockWait {
            database: database.map(str::to_owned),
            relation_oid: oid,
            relation: relation.map(str::to_owned),
            ..LockWait::default()
        };
        let mut reading = LockReading {
            waits: vec![
                wait(Some("stock"), Some(16_400), None),
                wait(Some("postgres"), Some(7), Some("public.here")),
                wait(Some("shop"), Some(16_999), None),
                wait(None, None, None),
            ],
        };
        of_waits(&mut reading, &tables);
        let names = reading.waits.iter().map(|it| it.relation.as_deref()).collect::<Vec<_>>();
        assert_eq!(names, [Some("public.parts"), Some("public.here"), Some("relation 16999"), None]);

        let command = |database: &str, relation: Option<&str>| Progress {
            database: Some(database.into()),
            relation: relation.map(str::to_owned),
            ..Progress::default()
        };
        let mut progress = [
            command("shop", Some("16400")),
            command("postgres", Some("public.here")),
            command("shop", Some("5")),
            command("shop", None),
        ];
        of_progress(&mut progress, &tables);
        let names = progress.iter().map(|it| it.relation.as_deref()).collect::<Vec<_>>();
        assert_eq!(names, [Some("public.orders"), Some("public.here"), Some("5"), None]);
    }
}
