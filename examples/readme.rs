//! The README's code, compiled and run as doctests. The examples themselves are the files beside this one.

/// The README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

#[cfg(test)]
mod tests {
    use tower_rampart::Resilience;

    #[test]
    fn document_of_the_readme_is_valid() {
        let readme = include_str!("../README.md");
        let (_, rest) = readme.split_once("```json\n").expect("the README shows a document");
        let (document, _) = rest.split_once("```").expect("the block ends");
        let resilience = Resilience::from_json(document).expect("it is valid, and plain functions can serve it");
        assert_eq!(resilience.operation("search").handle().config().retry.max_attempts, 2);
        assert_eq!(resilience.operation("anything").handle().config().retry.max_attempts, 4);
    }
}
