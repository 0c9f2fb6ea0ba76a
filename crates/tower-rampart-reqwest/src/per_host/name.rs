//! The name of a host's operation: one that documents can use as well. Which host a request is for is in `mod`.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The most bytes that a document lets a name have.
const MAX_LEN: usize = 64;

/// `host:port` where a document may say so, or else `host/` and what comes nearest to it.
///
/// A name begins with a letter and has letters, digits and `_ . : / -`, at most 64 in all. Addresses begin with a digit or a bracket: `host/` is put before
/// them, brackets are dropped. Other characters become `_`, and of what is too long the end is kept; then a number follows that tells it from others.
pub(super) fn operation(host: &str) -> String {
    if is_name(host) {
        return host.to_owned();
    }
    let plain: String = host.chars().filter(|it| !"[]".contains(*it)).collect();
    let name = format!("host/{plain}");
    if is_name(&name) {
        return name;
    }
    let mut hasher = DefaultHasher::new();
    host.hash(&mut hasher);
    let safe = plain.replace(|it: char| !is_safe(it), "_");
    let end = safe.get(safe.len().saturating_sub(40)..).unwrap_or(&safe);
    format!("host/{end}/{:016x}", hasher.finish())
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_LEN && text.starts_with(|it: char| it.is_ascii_alphabetic()) && text.chars().all(is_safe)
}

fn is_safe(it: char) -> bool {
    it.is_ascii_alphanumeric() || "_.:/-".contains(it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower_rampart::ResilienceConfig;

    #[test]
    fn host_names_its_operation_wherever_documents_let_it() {
        for (host, expected) in [
            ("api.example.com:443", "api.example.com:443"),
            ("127.0.0.1:8080", "host/127.0.0.1:8080"),
            ("3m.com:443", "host/3m.com:443"),
            ("[2001:db8::1]:443", "host/2001:db8::1:443"),
        ] {
            assert_eq!(operation(host), expected);
        }
    }

    #[test]
    fn every_name_is_one_that_documents_take_and_no_two_hosts_share_one() {
        let long = format!("{}.example.com:443", "a".repeat(200));
        let hosts = ["a:1", "127.0.0.1:1", "[::1]:1", "a*b:1", "a+b:1", "_a:1", &long, &format!("b{long}")];
        let names: std::collections::BTreeSet<_> = hosts.iter().map(|host| operation(host)).collect();
        assert_eq!(names.len(), hosts.len());
        for name in names {
            let document = format!(r#"{{"operation_overrides": {{"{name}": {{"retry_attempts": 2}}}}}}"#);
            assert!(ResilienceConfig::from_json(&document).is_ok(), "{name}");
        }
    }
}
