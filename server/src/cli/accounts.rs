//! `holdfast user` and `holdfast token`: the same use cases as the API, asked by whoever may read the store.

use super::{Failure, TokenCommand, UserCommand, print, serve};
use crate::{config::Config, platform};
use control::Actor;
use domain::view::{AccountView, TokenView};
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// Manages accounts.
pub async fn user(command: UserCommand, json: bool) -> Result<(), Failure> {
    let config = Config::load()?;
    let control = serve::control(&config).await?;
    let actor = Actor::cli();
    if matches!(&command, UserCommand::Add { tenant: Some(_), .. } | UserCommand::Tenant { tenant: Some(_), .. }) {
        platform::connect_once(&control, config.platform.as_ref()).await;
    }
    let account = match command {
        UserCommand::List => {
            let accounts = control.users_list(&actor).await?;
            print(&if json { to_json(&accounts) } else { accounts.iter().map(line).collect::<Vec<_>>().join("\n") });
            return Ok(());
        }
        UserCommand::Password { name } => {
            control.user_password_set(&actor, &name, &password()?).await?;
            print(&if json {
                serde_json::json!({ "name": name }).to_string()
            } else {
                format!("the password of '{name}' is set; its sessions are ended")
            });
            return Ok(());
        }
        UserCommand::Add { name, role, tenant } => {
            control.user_add_in(&actor, &name, role, &password()?, tenant.as_deref()).await?
        }
        UserCommand::Tenant { name, tenant } => control.user_tenant_set(&actor, &name, tenant.as_deref()).await?,
        UserCommand::Role { name, role } => control.user_role_set(&actor, &name, role).await?,
        UserCommand::Disable { name } => control.user_disable(&actor, &name, true).await?,
        UserCommand::Enable { name } => control.user_disable(&actor, &name, false).await?,
    };
    print(&if json { to_json(&account) } else { line(&account) });
    Ok(())
}

/// Manages tokens.
pub async fn token(command: TokenCommand, json: bool) -> Result<(), Failure> {
    let config = Config::load()?;
    let control = serve::control(&config).await?;
    let actor = Actor::cli();
    if matches!(&command, TokenCommand::Create { tenant: Some(_), .. }) {
        platform::connect_once(&control, config.platform.as_ref()).await;
    }
    let text = match command {
        TokenCommand::Create { name, role, expires_in_days, scopes, tenant } => {
            let (token, secret) =
                control.token_create_scoped(&actor, &name, role, expires_in_days, scopes, tenant.as_deref()).await?;
            if json {
                serde_json::json!({ "token": secret, "id": token.id, "name": token.name, "role": token.role, "expires_at": token.expires_at, "tenant": token.tenant }).to_string()
            } else {
                secret
            }
        }
        TokenCommand::List => {
            let tokens = control.tokens_list(&actor).await?;
            if json { to_json(&tokens) } else { tokens.iter().map(token_line).collect::<Vec<_>>().join("\n") }
        }
        TokenCommand::Revoke { id } => {
            let token = control.token_revoke(&actor, &id).await?;
            if json { to_json(&token) } else { format!("token {id} ('{}') is revoked", token.name) }
        }
    };
    print(&text);
    Ok(())
}

/// From `HOLDFAST_PASSWORD`, or a line of the standard input.
fn password() -> Result<String, Failure> {
    if let Ok(password) = std::env::var("HOLDFAST_PASSWORD") {
        return Ok(password);
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let _ = write!(std::io::stderr(), "Password (it will be shown): ");
    }
    let mut line = String::new();
    stdin
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::failed(format!("the password cannot be read: {error}")))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::usage("no password was given; write it to the standard input or set HOLDFAST_PASSWORD"));
    }
    Ok(password.to_owned())
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn line(account: &AccountView) -> String {
    let last = account
        .last_login_at
        .map_or_else(|| "never signed in".to_owned(), |at| format!("last signed in {}", at.to_human()));
    let tenant = account.tenant.as_ref().map_or_else(String::new, |id| format!("tenant {id}, "));
    let disabled = if account.disabled { "disabled, " } else { "" };
    format!("{:<24} {:<9} {tenant}{disabled}{last}", account.name, account.role)
}

fn token_line(token: &TokenView) -> String {
    let state = match (token.revoked_at, token.expires_at) {
        (Some(at), _) => format!("revoked {}", at.to_human()),
        (None, Some(at)) => format!("ends {}", at.to_human()),
        (None, None) => "does not end".to_owned(),
    };
    let used = token.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {}", at.to_human()));
    let tenant = token.tenant.as_ref().map_or_else(String::new, |id| format!("tenant {id}, "));
    format!("{:>4} {:<24} {}… {:<9} {tenant}{state}, {used}", token.id, token.name, token.prefix, token.role)
}
