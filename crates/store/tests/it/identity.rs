//! Accounts, sessions, tokens, throttling, set-up links.
use domain::{ErrorKind, Role, Timestamp};
use store::{
    Account, AccountRepo, NewAccount, NewToken, SessionRepo, SessionRow, SetupLinkRepo, Store, StoreError,
    ThrottleRepo, ThrottleRow, TokenRepo,
};

on_both_databases!(
    an_account_is_found_by_name_and_by_id,
    a_taken_name_is_refused_and_the_first_account_stays,
    a_new_role_password_or_ban_ends_sessions_and_a_stronger_hash_does_not,
    disabled_administrators_do_not_count,
    a_rolled_back_account_is_not_there,
    a_session_is_kept_by_the_hash_of_its_id_and_ends_when_idle_or_too_old,
    saving_a_session_again_does_not_prolong_its_absolute_end,
    ended_sessions_are_removed_and_live_ones_stay,
    a_token_is_found_by_its_hash_and_revoked_once,
    the_throttle_counts_replaces_and_forgets,
    a_setup_link_works_once_and_only_the_newest,
    of_many_who_use_a_setup_link_at_once_one_wins,
);

fn new_account(name: &str, role: Role) -> NewAccount {
    NewAccount { name: name.into(), role, password_hash: "$argon2id$1".into(), at: Timestamp(1_000), tenant: None }
}

async fn get(store: &Store, id: i64) -> Account {
    AccountRepo(store.db()).get(id).await.unwrap().unwrap()
}

async fn an_account_is_found_by_name_and_by_id(store: Store) {
    let accounts = AccountRepo(store.db());
    let zoe = accounts.insert(new_account("zoe", Role::Viewer)).await.unwrap();
    let ada = accounts.insert(new_account("ada", Role::Admin)).await.unwrap();
    assert_eq!((ada.role, ada.disabled, ada.session_epoch, ada.last_login_at), (Role::Admin, false, 0, None));
    assert_eq!(accounts.find("ada").await.unwrap(), Some(ada.clone()));
    assert_eq!(accounts.find("Ada").await.unwrap(), None);
    accounts.set_last_login(ada.id, Timestamp(5)).await.unwrap();
    assert_eq!(get(&store, ada.id).await, Account { last_login_at: Some(Timestamp(5)), ..ada.clone() });
    assert_eq!(
        accounts.list().await.unwrap().iter().map(|account| account.id).collect::<Vec<_>>(),
        [ada.id, zoe.id],
        "by name"
    );
    assert_eq!(accounts.get(999_999).await.unwrap(), None);
}

async fn a_taken_name_is_refused_and_the_first_account_stays(store: Store) {
    let accounts = AccountRepo(store.db());
    let first = accounts.insert(new_account("ada", Role::Admin)).await.unwrap();
    let error = accounts.insert(new_account("ada", Role::Viewer)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Exists { what: "account", name } if name == "ada"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(accounts.list().await.unwrap(), [first]);
}

async fn a_new_role_password_or_ban_ends_sessions_and_a_stronger_hash_does_not(store: Store) {
    let accounts = AccountRepo(store.db());
    let id = accounts.insert(new_account("ada", Role::Viewer)).await.unwrap().id;
    let other = accounts.insert(new_account("bob", Role::Viewer)).await.unwrap();
    accounts.set_role(id, Role::Operator).await.unwrap();
    assert_eq!((get(&store, id).await.role, get(&store, id).await.session_epoch), (Role::Operator, 1));
    accounts.set_password(id, "$argon2id$2", Timestamp(2_000)).await.unwrap();
    assert_eq!((get(&store, id).await.password_hash.as_str(), get(&store, id).await.session_epoch), ("$argon2id$2", 2));
    accounts.set_disabled(id, Some(Timestamp(3_000))).await.unwrap();
    assert_eq!((get(&store, id).await.disabled, get(&store, id).await.session_epoch), (true, 3));
    accounts.set_disabled(id, None).await.unwrap();
    assert_eq!((get(&store, id).await.disabled, get(&store, id).await.session_epoch), (false, 4));
    accounts.set_password_hash(id, "$argon2id$3").await.unwrap();
    assert_eq!((get(&store, id).await.password_hash.as_str(), get(&store, id).await.session_epoch), ("$argon2id$3", 4));
    assert_eq!(get(&store, other.id).await, other, "somebody else is not touched");
}

async fn disabled_administrators_do_not_count(store: Store) {
    let accounts = AccountRepo(store.db());
    assert_eq!(accounts.count_admins().await.unwrap(), 0);
    let ada = accounts.insert(new_account("ada", Role::Admin)).await.unwrap();
    accounts.insert(new_account("bob", Role::Admin)).await.unwrap();
    accounts.insert(new_account("eve", Role::Operator)).await.unwrap();
    assert_eq!(accounts.count_admins().await.unwrap(), 2);
    accounts.set_disabled(ada.id, Some(Timestamp(1))).await.unwrap();
    assert_eq!(accounts.count_admins().await.unwrap(), 1);
}

async fn a_rolled_back_account_is_not_there(store: Store) {
    let transaction = store.begin().await.unwrap();
    AccountRepo(&transaction).insert(new_account("ada", Role::Admin)).await.unwrap();
    drop(transaction);
    assert_eq!(AccountRepo(store.db()).find("ada").await.unwrap(), None);
}

fn session(hash: &str, expires_at: i64, absolute_expires_at: i64) -> SessionRow {
    SessionRow {
        id_hash: hash.into(),
        account_id: None,
        data: "{}".into(),
        created_at: Timestamp(0),
        expires_at: Timestamp(expires_at),
        absolute_expires_at: Timestamp(absolute_expires_at),
    }
}

async fn a_session_is_kept_by_the_hash_of_its_id_and_ends_when_idle_or_too_old(store: Store) {
    let sessions = SessionRepo(store.db());
    assert!(sessions.insert(session("idle", 100, 1_000)).await.unwrap());
    assert!(sessions.insert(session("old", 5_000, 200)).await.unwrap());
    assert!(!sessions.insert(session("idle", 9_999, 9_999)).await.unwrap(), "a taken id is not replaced");
    let found = async |hash: &str, at| sessions.find(hash, Timestamp(at)).await.unwrap().is_some();
    assert!(found("idle", 99).await && !found("idle", 100).await);
    assert!(found("old", 199).await && !found("old", 200).await);
    assert!(!found("unknown", 0).await);
    sessions.delete("idle").await.unwrap();
    assert!(!found("idle", 0).await);
}

async fn saving_a_session_again_does_not_prolong_its_absolute_end(store: Store) {
    let sessions = SessionRepo(store.db());
    sessions.upsert(session("a", 100, 1_000)).await.unwrap();
    let later = SessionRow {
        account_id: Some(3),
        data: "{\"a\":1}".into(),
        created_at: Timestamp(50),
        ..session("a", 600, 99_000)
    };
    sessions.upsert(later).await.unwrap();
    let row = sessions.find("a", Timestamp(500)).await.unwrap().unwrap();
    assert_eq!((row.account_id, row.data.as_str(), row.expires_at), (Some(3), "{\"a\":1}", Timestamp(600)));
    assert_eq!((row.created_at, row.absolute_expires_at), (Timestamp(0), Timestamp(1_000)));
}

async fn ended_sessions_are_removed_and_live_ones_stay(store: Store) {
    let sessions = SessionRepo(store.db());
    for (hash, idle, end) in [("idle", 10, 100), ("old", 100, 10), ("live", 100, 100)] {
        sessions.upsert(session(hash, idle, end)).await.unwrap();
    }
    assert_eq!(sessions.delete_expired(Timestamp(10)).await.unwrap(), 2);
    assert_eq!(sessions.delete_expired(Timestamp(10)).await.unwrap(), 0);
    assert!(sessions.find("live", Timestamp(10)).await.unwrap().is_some());
}

async fn a_token_is_found_by_its_hash_and_revoked_once(store: Store) {
    let tokens = TokenRepo(store.db());
    let new = |hash: &str| NewToken {
        scopes: vec!["restore".into()],
        name: "ci".into(),
        token_hash: hash.into(),
        prefix: "hf_ab".into(),
        role: Role::Viewer,
        created_by: "ada".into(),
        at: Timestamp(1),
        expires_at: Some(Timestamp(99)),
        tenant: Some(4),
    };
    let first = tokens.insert(new("h1")).await.unwrap();
    let second = tokens.insert(new("h2")).await.unwrap();
    assert!(tokens.insert(new("h1")).await.is_err(), "two tokens of one hash");
    assert_eq!(tokens.list().await.unwrap(), [second.clone(), first.clone()], "the newest first");
    assert_eq!(tokens.find_by_hash("h1").await.unwrap(), Some(first.clone()));
    assert_eq!(tokens.find_by_hash("h3").await.unwrap(), None);
    tokens.set_last_used(first.id, Timestamp(7), Some("127.0.0.1")).await.unwrap();
    tokens.revoke(first.id, Timestamp(8)).await.unwrap();
    tokens.revoke(first.id, Timestamp(9)).await.unwrap();
    let row = tokens.get(first.id).await.unwrap().unwrap();
    assert_eq!((row.last_used_at, row.last_used_address.as_deref()), (Some(Timestamp(7)), Some("127.0.0.1")));
    assert_eq!(row.revoked_at, Some(Timestamp(8)), "the first moment of revocation counts");
    assert_eq!(tokens.get(second.id).await.unwrap(), Some(second));
}

async fn the_throttle_counts_replaces_and_forgets(store: Store) {
    let throttle = ThrottleRepo(store.db());
    let row = |subject: &str, failures, at| ThrottleRow {
        subject: subject.into(),
        failures,
        last_failure_at: Timestamp(at),
        blocked_until: Timestamp(at + 10),
    };
    throttle.upsert(&row("account:ada", 1, 100)).await.unwrap();
    throttle.upsert(&row("account:ada", 2, 200)).await.unwrap();
    throttle.upsert(&row("address:::1", 1, 50)).await.unwrap();
    assert_eq!(throttle.find("account:ada").await.unwrap(), Some(row("account:ada", 2, 200)));
    assert_eq!(throttle.delete_older(Timestamp(200)).await.unwrap(), 1);
    assert_eq!(throttle.find("address:::1").await.unwrap(), None);
    throttle.delete("account:ada").await.unwrap();
    assert_eq!(throttle.find("account:ada").await.unwrap(), None);
}

async fn a_setup_link_works_once_and_only_the_newest(store: Store) {
    let links = SetupLinkRepo(store.db());
    links.replace("first", Timestamp(0), Timestamp(100)).await.unwrap();
    links.replace("second", Timestamp(1), Timestamp(100)).await.unwrap();
    assert!(!links.consume("first", Timestamp(2)).await.unwrap(), "replaced");
    assert!(!links.consume("second", Timestamp(100)).await.unwrap(), "over");
    assert!(links.consume("second", Timestamp(99)).await.unwrap());
    assert!(!links.consume("second", Timestamp(99)).await.unwrap(), "used");
}

async fn of_many_who_use_a_setup_link_at_once_one_wins(store: Store) {
    SetupLinkRepo(store.db()).replace("link", Timestamp(0), Timestamp(100)).await.unwrap();
    let tasks = (0..12).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { SetupLinkRepo(store.db()).consume("link", Timestamp(1)).await.unwrap() })
    });
    let mut winners = 0;
    for task in tasks.collect::<Vec<_>>() {
        winners += u32::from(task.await.unwrap());
    }
    assert_eq!(winners, 1);
}
