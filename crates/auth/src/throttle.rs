//! Slowing down guesses: a growing delay for each account and each address, kept in the store, so that neither a
//! restart of ours nor a change of address clears it.
use crate::AuthError;
use domain::Timestamp;
use store::{Store, ThrottleRepo, ThrottleRow};

/// Failures that cost nothing: people mistype.
const FREE_FAILURES: i64 = 4;
/// An address may belong to a whole office.
const FREE_FAILURES_OF_ADDRESS: i64 = 19;
const FIRST_DELAY_MS: i64 = 2_000;
const LONGEST_DELAY_MS: i64 = 15 * 60_000;
/// After this long without a failure counting begins anew.
const FORGET_MS: i64 = 60 * 60_000;

/// The throttle over the store.
#[derive(Clone, Debug)]
pub struct Throttle {
    store: Store,
}

impl Throttle {
    /// Over `store`.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Seconds until another attempt may be made; `None` when it may be made now.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn retry_after(
        &self,
        account: &str,
        address: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<u64>, AuthError> {
        let mut longest = 0;
        for (subject, _) in subjects(account, address) {
            if let Some(row) = ThrottleRepo(self.store.db()).find(&subject).await? {
                longest = longest.max(row.blocked_until.0 - now.0);
            }
        }
        Ok((longest > 0).then(|| u64::try_from(longest).unwrap_or(0).div_ceil(1_000)))
    }

    /// Counts a failure.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn failed(&self, account: &str, address: Option<&str>, now: Timestamp) -> Result<(), AuthError> {
        let transaction = self.store.begin().await?;
        for (subject, free) in subjects(account, address) {
            let repo = ThrottleRepo(&transaction);
            let before = repo.find(&subject).await?.filter(|row| now.0 - row.last_failure_at.0 < FORGET_MS);
            let failures = before.map_or(0, |row| row.failures) + 1;
            let blocked_until = Timestamp(now.0 + delay_ms(failures - free));
            repo.upsert(&ThrottleRow { subject, failures, last_failure_at: now, blocked_until }).await?;
        }
        Ok(self.store.commit(transaction).await?)
    }

    /// Forgets an account's failures after a success; the address keeps its own, or one good account would free it.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn succeeded(&self, account: &str) -> Result<(), AuthError> {
        Ok(ThrottleRepo(self.store.db()).delete(&format!("account:{account}")).await?)
    }

    /// Removes what has been forgotten.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn prune(&self, now: Timestamp) -> Result<u64, AuthError> {
        Ok(ThrottleRepo(self.store.db()).delete_older(now.plus_ms(-FORGET_MS)).await?)
    }
}

fn subjects(account: &str, address: Option<&str>) -> Vec<(String, i64)> {
    // Bounded: the name comes from the form.
    let account = account.chars().take(80).collect::<String>();
    let mut subjects = vec![(format!("account:{account}"), FREE_FAILURES)];
    subjects.extend(address.map(|address| (format!("address:{address}"), FREE_FAILURES_OF_ADDRESS)));
    subjects
}

/// Doubles with each failure that is not free.
fn delay_ms(over: i64) -> i64 {
    if over <= 0 { 0 } else { (FIRST_DELAY_MS << (over - 1).min(20)).min(LONGEST_DELAY_MS) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_a_quarter_of_an_hour() {
        assert_eq!(
            [delay_ms(0), delay_ms(1), delay_ms(2), delay_ms(5), delay_ms(60)],
            [0, 2_000, 4_000, 32_000, 900_000]
        );
    }

    #[tokio::test]
    async fn guesses_are_slowed_by_account_and_by_address_and_over_a_restart() {
        let (url, _directory) = test_support::sqlite_url();
        let store = Store::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        let throttle = Throttle::new(store);
        let at = |ms| Timestamp(1_000_000 + ms);
        for _ in 0..4 {
            throttle.failed("ada", Some("10.0.0.1"), at(0)).await.unwrap();
        }
        assert_eq!(throttle.retry_after("ada", Some("10.0.0.1"), at(0)).await.unwrap(), None);
        throttle.failed("ada", Some("10.0.0.1"), at(0)).await.unwrap();
        // Another server on the same store, another address: still slowed, until the delay is over.
        let again = Throttle::new(Store::connect(&url).await.unwrap());
        assert_eq!(again.retry_after("ada", Some("10.0.0.2"), at(500)).await.unwrap(), Some(2));
        assert_eq!(again.retry_after("ada", None, at(2_000)).await.unwrap(), None);
        // Many accounts from one address.
        for i in 0..20 {
            again.failed(&format!("user{i}"), Some("10.0.0.3"), at(0)).await.unwrap();
        }
        assert_eq!(again.retry_after("somebody", Some("10.0.0.3"), at(0)).await.unwrap(), Some(2));
        again.succeeded("ada").await.unwrap();
        assert_eq!(again.retry_after("ada", None, at(0)).await.unwrap(), None);
        // An hour without a failure: counting begins anew.
        again.failed("user1", None, at(FORGET_MS)).await.unwrap();
        assert_eq!(again.retry_after("user1", None, at(FORGET_MS)).await.unwrap(), None);
    }
}
