//! What the actions of the audit log are called by people. An action is what was asked for: a row's outcome says whether it
//! was done, so that "Start a restore" may have been refused.

/// All actions that are written, by the name in the log.
pub const ACTIONS: &[(&str, &str)] = &[
    ("account_password_change", "Change one's own password"),
    ("advice_dismiss", "Put advice aside"),
    ("advice_restore", "Take advice up again"),
    ("alert_acknowledge", "Take an alert on"),
    ("alert_rule_reset", "Take a rule's setting back"),
    ("alert_rule_set", "Set an alert rule"),
    ("alert_silence", "Silence an alert"),
    ("alert_unacknowledge", "Give an alert back"),
    ("analytics_archive", "Archive usage data"),
    ("analytics_discard_restored", "Discard restored usage data"),
    ("analytics_ingest", "Take in usage data"),
    ("analytics_restore", "Restore archived usage data"),
    ("audit_export", "Export the audit log"),
    ("audit_list", "Read the audit log"),
    ("audit_verify", "Check the audit log"),
    ("backend_cancel", "Cancel a statement"),
    ("backend_terminate", "End a session"),
    ("backup_export", "Export a backup"),
    ("backup_finish", "End of a backup"),
    ("backup_hold", "Hold a backup"),
    ("backup_recall", "Recall an expired backup"),
    ("backup_release", "Release a held backup"),
    ("backup_remove", "Remove a backup"),
    ("backup_start", "Start a backup"),
    ("backup_test_restore", "Start a restore test"),
    ("backup_verify", "Start a verification"),
    ("backups_rebuild", "Rebuild the history of backups"),
    ("blackout_create", "Plan a blackout"),
    ("blackout_end", "End a blackout"),
    ("channel_create", "Add a channel"),
    ("channel_delete", "Remove a channel"),
    ("channel_enable", "Switch a channel on or off"),
    ("channel_retry", "Send undelivered messages again"),
    ("channel_set", "Change a channel"),
    ("channel_test", "Test a channel"),
    ("dr_abort", "Abort a recovery plan"),
    ("dr_approve", "Approve a step of a recovery plan"),
    ("dr_drill_start", "Start a drill"),
    ("dr_execute", "Carry out a recovery plan"),
    ("dr_plan_create", "Add a recovery plan"),
    ("dr_plan_remove", "Remove a recovery plan"),
    ("dr_plan_set", "Change a recovery plan"),
    ("dr_run_record", "Record a run of a recovery plan"),
    ("drill_finish", "End of a drill"),
    ("erasures_list", "List erasures"),
    ("event_note", "Note a change on the charts"),
    ("execution_finish", "End of a recovery plan"),
    ("expire", "Remove what retention gives up"),
    ("expire_finish", "End of a removal"),
    ("export_finish", "End of an export"),
    ("health_weights_reset", "Take the score's weights back"),
    ("health_weights_set", "Weigh the health score"),
    ("index_review", "Review the indexes"),
    ("job_cancel", "Stop a job"),
    ("job_schedule", "Start a job by schedule"),
    ("objectives_set", "Change recovery objectives"),
    ("plugin_bulk", "Change many plugins"),
    ("plugin_bulk_cancel", "Stop a change of many plugins"),
    ("plugin_bulk_plan", "Plan a change of many plugins"),
    ("plugin_change", "Change a plugin"),
    ("plugin_create", "Add a plugin"),
    ("plugin_delete", "Remove a plugin"),
    ("query_explain", "Explain a statement"),
    ("repository_init", "Make a repository"),
    ("repository_key_add", "Add a repository key"),
    ("repository_key_remove", "Remove a repository key"),
    ("repository_key_rotate", "Rotate the data key"),
    ("restore_copy_remove", "Remove a restored copy"),
    ("restore_finish", "End of a restore"),
    ("restore_start", "Start a restore"),
    ("restore_test_finish", "End of a restore test"),
    ("session_sign_in", "Sign in"),
    ("session_sign_out", "Sign out"),
    ("setup_complete", "Make the first account"),
    ("setup_link_create", "Make a setup link"),
    ("standby_forget", "Give up a standby"),
    ("subject_erase", "Erase a person's data"),
    ("subject_export", "Export a person's data"),
    ("subject_plan", "Look up a person's data"),
    ("token_authenticate", "Present a token"),
    ("token_create", "Make a token"),
    ("token_revoke", "Revoke a token"),
    ("tokens_list", "List tokens"),
    ("user_add", "Add a user"),
    ("user_disable", "Forbid or allow a user's sign-in"),
    ("user_password_set", "Set a user's password"),
    ("user_role_set", "Change a user's role"),
    ("user_tenant_set", "Change a user's tenant"),
    ("users_list", "List users"),
    ("verify_finish", "End of a verification"),
];

/// The row that is written before what cannot be undone unseen is done.
const ASKED: &str = "_asked";

/// An action for people; `None` for one of another version.
pub fn words(action: &str) -> Option<String> {
    let known = |name: &str| ACTIONS.iter().find(|one| one.0 == name).map(|one| one.1);
    match action.strip_suffix(ASKED) {
        Some(name) => Some(format!("{}: asked for", known(name)?)),
        None => known(action).map(str::to_owned),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::view::JobKind;
    use std::{collections::BTreeSet, fs, path::Path};

    /// What writes a row, or leads to one, and which of its arguments is the action.
    const WRITERS: [(&str, usize); 15] = [
        ("audit_in", 2),
        ("audit_outcome_in", 2),
        ("audit_change", 1),
        ("audit_outcome", 1),
        ("audit_refusal", 1),
        ("authorize_audited", 2),
        ("platform_to_change", 2),
        ("platform_may_change", 2),
        ("subjects_of", 2),
        ("job_ask", 1),
        ("job_insert", 1),
        ("begun", 1),
        ("ended", 1),
        ("allowed", 1),
        ("audited", 1),
    ];

    fn sources(folder: &Path, all: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, all);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.display().to_string().contains("_test") {
                all.push(fs::read_to_string(path).unwrap());
            }
        }
    }

    /// The arguments of a call, from the text after its opening bracket.
    fn arguments(text: &str) -> Vec<String> {
        let (mut depth, mut quoted, mut escaped) = (0, false, false);
        let mut all = vec![String::new()];
        for letter in text.chars() {
            if quoted {
                quoted = escaped || letter != '"';
                escaped = !escaped && letter == '\\';
            } else {
                match letter {
                    '"' => quoted = true,
                    '(' | '[' | '{' => depth += 1,
                    ')' | ']' | '}' if depth == 0 => break,
                    ')' | ']' | '}' => depth -= 1,
                    ',' if depth == 0 => {
                        all.push(String::new());
                        continue;
                    }
                    _ => {}
                }
            }
            all.last_mut().unwrap().push(letter);
        }
        all
    }

    /// The value of a constant of this file.
    fn constants(text: &str, name: &str) -> Vec<String> {
        let head = format!("const {name}: &str = \"");
        text.split(&head).skip(1).filter_map(|rest| rest.split_once('"').map(|it| it.0.to_owned())).collect()
    }

    #[test]
    fn every_action_that_is_written_anywhere_has_words() {
        // Cargo runs tests in their package's directory.
        let mut files = Vec::new();
        for folder in ["../control/src", "../recovery/src", "../monitor/src", "../../server/src"] {
            sources(Path::new(folder), &mut files);
        }
        let mut written = BTreeSet::new();
        for text in &files {
            for (writer, at) in WRITERS {
                let call = format!("{writer}(");
                for (begin, _) in text.match_indices(&call) {
                    let before = text.get(..begin).unwrap();
                    let another = before.ends_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
                    if another || before.ends_with("fn ") {
                        continue;
                    }
                    let all = arguments(text.get(begin + call.len()..).unwrap());
                    let Some(action) = all.get(at).map(|it| it.trim()) else { continue };
                    match action.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
                        Some(name) => _ = written.insert(name.to_owned()),
                        None => written.extend(constants(text, action)),
                    }
                }
            }
        }
        assert!(written.len() > 80, "the code was not read: {written:?}");
        // Those that are put together or chosen.
        written.extend(JobKind::ALL.map(|kind| format!("{}_finish", kind.as_str())));
        for name in ["backend_cancel", "backend_terminate", "backend_cancel_asked", "dr_approve", "dr_abort"] {
            written.insert(name.to_owned());
        }
        let mute = written.iter().filter(|name| words(name).is_none()).collect::<Vec<_>>();
        assert!(mute.is_empty(), "give them words: {mute:?}");
        let unknown = |name: &str| !written.contains(name) && !written.contains(&format!("{name}{ASKED}"));
        let never = ACTIONS.iter().map(|one| one.0).filter(|name| unknown(name)).collect::<Vec<_>>();
        assert!(never.is_empty(), "nothing writes them any more: {never:?}");
    }

    #[test]
    fn words_say_what_was_asked_for_and_each_action_has_its_own() {
        assert_eq!(words("restore_start").as_deref(), Some("Start a restore"));
        assert_eq!(words("query_explain_asked").as_deref(), Some("Explain a statement: asked for"));
        assert_eq!(words("of_another_version"), None);
        let names = ACTIONS.iter().map(|one| one.0).collect::<BTreeSet<_>>();
        let words = ACTIONS.iter().map(|one| one.1).collect::<BTreeSet<_>>();
        assert_eq!((names.len(), words.len()), (ACTIONS.len(), ACTIONS.len()));
        assert!(ACTIONS.is_sorted_by_key(|one| one.0), "in order, so that one finds them");
    }
}
