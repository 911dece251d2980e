//! The steps of a recovery kit: what somebody types who has the storage, a recovery code and an empty machine. Every kit
//! prints these; `server/tests/cli_backup.rs` runs them.

use crate::repository::sh_word;

/// Who types them: a key slot that root writes into a directory could not be read by the restored server.
pub const WHO: &str = "As the user postgres, on any machine with the program holdfast, PostgreSQL of the same major \
                       version in its PATH, and storage that this user may read and write";
/// The new key file: the restored server fetches WAL with it, and a code must not stand in its configuration.
const KEY_FILE: &str = "/var/lib/postgresql/holdfast.key";
/// The new data directory.
const DATA: &str = "/var/lib/postgresql/restored";

/// Where the backups are, as another machine finds them.
#[derive(Debug)]
pub struct Found<'a> {
    /// Variables to set: `NAME=value`.
    pub variables: &'a [String],
    /// The value of `--repo`.
    pub place: &'a str,
    /// Which cluster of the repository; the only one when `None`.
    pub system: Option<u64>,
}

/// Command lines, by [`WHO`].
pub fn steps(found: &Found<'_>, code: &str) -> Vec<String> {
    let holdfast = format!("holdfast --repo {}", sh_word(found.place));
    let with_key = format!("{holdfast} --key-file {KEY_FILE}");
    let which = found.system.map_or_else(String::new, |system| format!(" --cluster {system}"));
    let mut lines = found.variables.iter().map(|it| format!("export {it}")).collect::<Vec<_>>();
    lines.extend([
        format!("export HOLDFAST_RECOVERY_CODE='{code}'"),
        format!("{holdfast} backup list"),
        format!("{holdfast} repo key add --file {KEY_FILE}"),
        format!("{with_key} restore{which} --to {DATA} --plan"),
        format!("{with_key} restore{which} --to {DATA}"),
        format!("pg_ctl -D {DATA} -l {DATA}/startup.log start"),
    ]);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_restore_by_a_new_key_and_not_by_the_code() {
        let variables = ["BACKUP_STORAGE_REGION=eu".to_owned()];
        let found = Found { variables: &variables, place: "s3://bucket/a b", system: Some(7) };
        let lines = steps(&found, "HFR1-A");
        assert_eq!(lines.first().map(String::as_str), Some("export BACKUP_STORAGE_REGION=eu"));
        assert!(lines.iter().all(|line| !line.contains("--no-restore-command")));
        let restore =
            format!("holdfast --repo 's3://bucket/a b' --key-file {KEY_FILE} restore --cluster 7 --to {DATA}");
        assert!(lines.contains(&restore), "{lines:?}");
    }
}
