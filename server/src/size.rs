//! Sizes as PostgreSQL writes them.

/// Bytes: a number and a unit of PostgreSQL's (kB, MB, GB, TB), or none.
pub fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let factor = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1_u64 << 40,
        _ => return Err(format!("'{text}' is not a size; write it like 512MB or 20GB")),
    };
    let number = text[..digits].parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| format!("'{text}' is not a size; write it like 512MB or 20GB"))
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_postgresqls() {
        assert_eq!(size("512MB"), Ok(512 << 20));
        assert_eq!(size("20 GB"), Ok(20 << 30));
        assert_eq!(size("7"), Ok(7));
        for bad in ["", "MB", "-1", "1.5GB", "99999999TB", "1XB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
