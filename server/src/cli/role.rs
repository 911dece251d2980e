//! The role that the platform's pools sign in as: nothing by itself, and a member of the two roles that each transaction
//! chooses from.
use super::Failure;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

/// As PostgreSQL's own default.
const ITERATIONS: u32 = 4_096;

/// Makes the role of `url` when it is not there, and lets it act for tenants; what was done, in words. `None` when the
/// pools sign in as whoever migrates.
pub async fn make(
    database: &DatabaseConnection,
    admin_url: &str,
    url: Option<&secrecy::SecretString>,
) -> Result<Option<String>, Failure> {
    let Some(parsed) = url.and_then(|url| url::Url::parse(url.expose_secret()).ok()) else { return Ok(None) };
    let name = decoded(parsed.username());
    let admin = url::Url::parse(admin_url).map(|url| decoded(url.username())).unwrap_or_default();
    if name.is_empty() || name == admin {
        return Ok(None);
    }
    let failed =
        |error: sea_orm::DbErr| Failure::failed(format!("the role '{name}' of the pools was not made: {error}"));
    let backend = database.get_database_backend();
    // Since PostgreSQL 16 a member may not always take a role on.
    let sql = "SELECT rolsuper OR rolbypassrls AS bypasses, pg_has_role(r.oid, 'holdfast_tenant', needed) AND pg_has_role(r.oid, 'holdfast_platform', needed) AS member FROM pg_roles r, (SELECT CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END AS needed) AS n WHERE rolname = $1";
    let found = database
        .query_one_raw(Statement::from_sql_and_values(backend, sql, [name.clone().into()]))
        .await
        .map_err(failed)?;
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    let grant = format!("GRANT holdfast_tenant, holdfast_platform TO {quoted}");
    match found {
        Some(row) if row.try_get::<bool>("", "bypasses").map_err(failed)? => Err(Failure::failed(format!(
            "the role '{name}' of HOLDFAST_PLATFORM_URL is a superuser or has BYPASSRLS; name another there, and 'holdfast init' makes it"
        ))),
        Some(row) if row.try_get::<bool>("", "member").map_err(failed)? => Ok(Some(format!("{name}: up to date"))),
        Some(_) => {
            database.execute_unprepared(&grant).await.map_err(failed)?;
            Ok(Some(format!("{name}: may act for tenants now")))
        }
        None => {
            let password = parsed.password().map(decoded).ok_or_else(|| {
                Failure::usage("HOLDFAST_PLATFORM_URL has no password; give one, the role is made with it")
            })?;
            // NOINHERIT: outside a transaction that has chosen a role it may do nothing.
            let create = format!(
                "CREATE ROLE {quoted} LOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD '{}'",
                verifier(&password, &salt()?)?
            );
            database.execute_unprepared(&create).await.map_err(failed)?;
            database.execute_unprepared(&grant).await.map_err(failed)?;
            Ok(Some(format!("{name}: made")))
        }
    }
}

fn decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn salt() -> Result<[u8; 16], Failure> {
    use rand::TryRngCore as _;
    let mut salt = [0; 16];
    rand::rngs::OsRng
        .try_fill_bytes(&mut salt)
        .map_err(|error| Failure::failed(format!("the system gives no random bytes: {error}")))?;
    Ok(salt)
}

/// What PostgreSQL keeps of a password (RFC 5803): sent in its place, so that no log and no statistics of statements
/// sees the password itself.
fn verifier(password: &str, salt: &[u8]) -> Result<String, Failure> {
    if !password.is_ascii() {
        return Err(Failure::usage(
            "the password in HOLDFAST_PLATFORM_URL must be ASCII for the role to be made with it",
        ));
    }
    let mac = |key: &[u8], parts: &[&[u8]]| {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(key)
            .map_err(|error| Failure::failed(format!("the password cannot be used: {error}")))?;
        parts.iter().for_each(|part| mac.update(part));
        Ok::<[u8; 32], Failure>(mac.finalize().into_bytes().into())
    };
    let mut block = mac(password.as_bytes(), &[salt, &1_u32.to_be_bytes()])?;
    let mut salted = block;
    for _ in 1..ITERATIONS {
        block = mac(password.as_bytes(), &[&block])?;
        salted.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    let stored = Sha256::digest(mac(&salted, &[b"Client Key"])?);
    let server = mac(&salted, &[b"Server Key"])?;
    Ok(format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored),
        STANDARD.encode(server)
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_is_the_one_of_rfc_7677() {
        // The example of the RFC, with the keys that follow from it.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        assert_eq!(
            verifier("pencil", &salt).unwrap(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert!(verifier("pässword", &salt).is_err());
    }

    #[test]
    fn names_in_addresses_are_decoded() {
        assert_eq!((decoded("idp%40api").as_str(), decoded("a+b").as_str()), ("idp@api", "a+b"));
    }
}
