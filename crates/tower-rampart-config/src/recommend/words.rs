//! The words that speak for an environment, found as whole runs of letters: `delivery`, `domain` and `maintenance` hold none.

use crate::Context;

/// The words of each environment, in the order in which a name is asked for them.
const GROUPS: [(Context, &[&str]); 3] = [
    (Context::Staging, &["stag", "stage", "staging", "uat", "preprod", "preproduction", "integration"]),
    (
        Context::Development,
        &["dev", "develop", "development", "local", "localhost", "test", "tests", "testing", "sandbox", "demo"],
    ),
    (Context::Production, &["prod", "production", "live", "release", "stable", "main", "master"]),
];

/// The environments that words of `text` speak for, each with the first such word.
pub(super) fn groups(text: &str) -> Vec<(Context, String)> {
    let words = words(&text.to_lowercase());
    let first = |known: &[&str]| words.iter().find(|it| known.contains(&it.as_str())).cloned();
    GROUPS.into_iter().filter_map(|(context, known)| Some((context, first(known)?))).collect()
}

/// The maximal runs of letters; `pre-prod`, `pre_prod` and `pre prod` are one word, and so with `production`.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    // What stands between the last word and the next.
    let mut gap = "";
    while let Some(start) = rest.find(char::is_alphabetic) {
        gap = if words.is_empty() { gap } else { &rest[..start] };
        rest = &rest[start..];
        let end = rest.find(|it: char| !it.is_alphabetic()).unwrap_or(rest.len());
        let word = &rest[..end];
        rest = &rest[end..];
        match words.last_mut() {
            Some(last) if last == "pre" && ["-", "_", " "].contains(&gap) && ["prod", "production"].contains(&word) => {
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_runs_of_letters() {
        assert_eq!(words("us-prod-2"), ["us", "prod"]);
        assert_eq!(words("d3adb33f"), ["d", "adb", "f"]);
        assert_eq!(words("préproduction 生产"), ["préproduction", "生产"]);
        assert!(words("1_2").is_empty());
    }

    #[test]
    fn pre_and_prod_with_one_separator_are_one_word() {
        for text in ["pre-prod", "pre_prod", "pre prod", "eu-pre-prod-3"] {
            assert!(words(text).contains(&"preprod".to_owned()), "{text}");
        }
        assert_eq!(words("pre--prod"), ["pre", "prod"]);
        assert_eq!(words("pre.prod"), ["pre", "prod"]);
        assert_eq!(words("pre-produce"), ["pre", "produce"]);
        assert_eq!(words("spre-prod"), ["spre", "prod"]);
    }

    #[test]
    fn each_environment_is_named_by_its_first_word() {
        let found = groups("prod-TEST-dev-uat");
        assert_eq!(
            found,
            [
                (Context::Staging, "uat".to_owned()),
                (Context::Development, "test".to_owned()),
                (Context::Production, "prod".to_owned()),
            ]
        );
        for text in ["delivery", "domain", "device", "maintenance", "unstable", "olive", "mainland", "contest"] {
            assert_eq!(groups(text), [], "{text}");
        }
    }
}
