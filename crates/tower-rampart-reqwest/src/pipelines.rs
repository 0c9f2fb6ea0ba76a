//! Which pipeline a request goes through: always the same, or that of its host.

use reqwest::Request;

use crate::ReqwestLayer;

/// Finds the pipeline of a request: [`ReqwestLayer`] is always the same one, [`PerHost`](crate::PerHost) one for each host.
pub trait Pipelines: sealed::Sealed + Clone {
    /// What answers in place of the service.
    type Answer;
    /// What judges answers.
    type Classifier;
    /// What takes the reports.
    type Report;

    /// The pipeline of this request.
    fn of(&self, request: &Request) -> ReqwestLayer<Self::Answer, Self::Classifier, Self::Report>;
}

impl<A, C, R> Pipelines for ReqwestLayer<A, C, R> {
    type Answer = A;
    type Classifier = C;
    type Report = R;

    fn of(&self, _request: &Request) -> Self {
        self.clone()
    }
}

pub(crate) mod sealed {
    #[expect(unnameable_types, reason = "it seals a trait")]
    pub trait Sealed {}

    impl<A, C, R> Sealed for crate::ReqwestLayer<A, C, R> {}
}
