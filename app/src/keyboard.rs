//! Keys that lead to pages: the list of keys says them, and `keys.js` reads them there.

/// Letters after `g`, where they lead, and what it is called.
pub const PAGES: [(&str, &str, &str); 18] = [
    ("h", "/estate", "Estate"),
    ("o", "/database", "Overview"),
    ("q", "/database/performance#queries", "Queries"),
    ("i", "/database/performance#indexes", "Indexes"),
    ("a", "/database/activity", "Activity"),
    ("l", "/database/locks", "Locks"),
    ("t", "/database/tables", "Tables"),
    ("c", "/database/connections", "Connections"),
    ("r", "/database/replication", "Replication"),
    ("m", "/database/maintenance", "Maintenance"),
    ("s", "/database/settings", "Settings"),
    ("w", "/database/cost", "Own cost"),
    ("e", "/alerts", "Alerts"),
    ("b", "/backups", "Backups"),
    ("y", "/recovery", "Recovery"),
    ("p", "/plugins", "Plugins"),
    ("n", "/analytics", "Analytics"),
    ("u", "/account", "Account"),
];

/// Whether somebody who belongs to a tenant has the page.
pub fn is_of_tenants(path: &str) -> bool {
    matches!(path, "/plugins" | "/analytics" | "/account")
}
