//! How a builder knows whether a classifier was given before it knows the error's type.

use super::DefaultClassifier;

/// The default classifier, for whatever error type the service will turn out to have.
#[derive(Debug, Clone, Copy, Default)]
pub struct Auto;

/// A classifier that was given.
#[derive(Debug, Clone)]
pub struct Given<C>(pub(crate) C);

impl<C> Given<C> {
    /// The classifier.
    pub fn into_inner(self) -> C {
        self.0
    }
}

/// What a builder makes its classifier of.
pub trait IntoClassifier<C> {
    /// The classifier.
    fn into_classifier(self) -> C;
}

impl<M> IntoClassifier<DefaultClassifier<M>> for Auto {
    fn into_classifier(self) -> DefaultClassifier<M> {
        DefaultClassifier::new()
    }
}

impl<C> IntoClassifier<C> for Given<C> {
    fn into_classifier(self) -> C {
        self.0
    }
}
