//! The sections `http` and `classify` of an operation as its calls use them; replaced as one on reload.

use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderName, StatusCode, header::CONTENT_TYPE};
use tower_rampart_config::{OperationConfig, Profile};
use tower_rampart_core::{TokenEstimate, priority::Priority, rate::RateLimiter};

use super::{
    GrpcClassifier, HttpClassifier, ModelApiClassifier, ReplayCloner,
    cache::Rules,
    is_grpc,
    keys::Keys,
    model::{Learner, estimate},
};

/// What HTTP hosts need of an operation's configuration.
#[derive(Clone, Debug)]
pub(crate) struct HttpSettings {
    /// What answers are read as.
    pub(crate) profile: Profile,
    /// Judges by the lists of statuses, and reads the deadline headers.
    pub(crate) classifier: HttpClassifier,
    /// Judges by the status of gRPC under that profile.
    pub(crate) grpc: GrpcClassifier,
    /// Judges by the thirteen classes of model APIs under that profile.
    pub(crate) model: ModelApiClassifier,
    /// The limits, where they follow the headers of answers.
    pub(super) learner: Option<Learner>,
    /// Whether tokens of a model API are limited.
    pub(super) limits_tokens: bool,
    /// Adds the attempt header.
    pub(crate) cloner: ReplayCloner,
    /// The request headers that carry the time left.
    pub(crate) deadline_headers: Vec<HeaderName>,
    /// What is kept of answers.
    pub(crate) cache: Rules,
    /// Whether calls are told apart by importance.
    pub(super) by_priority: bool,
    /// The header that states it.
    pub(super) priority_header: Option<HeaderName>,
    /// Whether handlers are told that their request is retried further out.
    pub(super) nested_retry: bool,
    /// By what the stages keep their state.
    pub(crate) keys: Keys,
    /// The most of a request body that is kept for another attempt, in bytes.
    pub(crate) replay_max_bytes: usize,
}

impl HttpSettings {
    /// Whether what has these headers is of gRPC. Its content type says so, which plain HTTP does not contradict.
    pub(crate) fn speaks_grpc(&self, headers: &HeaderMap) -> bool {
        matches!(self.profile, Profile::Http | Profile::Grpc) && is_grpc(headers)
    }

    /// Whether an answer with this head has its gRPC status at its end, unless the head has it. Under that profile one without a content type does: nothing says
    /// that it is something else, except for an HTTP status that decides.
    pub(crate) fn ends_with_a_status(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        self.speaks_grpc(headers)
            || (self.profile == Profile::Grpc && status == StatusCode::OK && !headers.contains_key(CONTENT_TYPE))
    }

    /// Whether what has these headers is judged by the status of gRPC; under that profile, all is.
    pub(crate) fn reads_grpc(&self, headers: &HeaderMap) -> bool {
        self.profile == Profile::Grpc || self.speaks_grpc(headers)
    }

    /// `requests` and `tokens` are the limits of the operation.
    pub(crate) fn new(config: &OperationConfig, requests: &Arc<RateLimiter>, tokens: &Arc<RateLimiter>) -> Self {
        let limits = config.rate_limit.enabled;
        // The document's own check has let no other names through.
        let header = |name: &String| HeaderName::try_from(name.as_str()).ok();
        let deadline_headers: Vec<_> = config.http.deadline_headers.iter().filter_map(header).collect();
        let classifier = HttpClassifier::default()
            .transient_status(config.classify.transient_status.iter().copied())
            .permanent_status(config.classify.permanent_status.iter().copied())
            .deadline_headers(deadline_headers.iter().cloned());
        Self {
            profile: config.classify.profile,
            grpc: GrpcClassifier::new(classifier.clone()),
            model: ModelApiClassifier::new(classifier.clone()),
            learner: (limits && config.model_limits.learn_from_headers).then(|| Learner::new(requests, tokens)),
            limits_tokens: limits && config.model_limits.tokens_per_minute.is_some(),
            classifier,
            cloner: ReplayCloner::new()
                .attempt_header(config.http.attempt_header.as_ref().and_then(header))
                .nested_retry_header(header(&config.nested_retry.header)),
            nested_retry: config.nested_retry.enabled,
            deadline_headers,
            cache: Rules::new(config),
            by_priority: config.priority.enabled,
            priority_header: config.http.priority_header.as_ref().and_then(header),
            keys: Keys::new(config),
            replay_max_bytes: usize::try_from(config.http.replay_max_bytes).unwrap_or(usize::MAX),
        }
    }

    /// How important a request is: as an extension of it says, which is of this process, else as the header that the configuration names. A value that is none
    /// of the four words, or not the only one, says nothing.
    pub(super) fn priority(&self, headers: &HeaderMap, extensions: Option<&Extensions>) -> Option<Priority> {
        if !self.by_priority {
            return None;
        }
        let own = extensions.and_then(|it| it.get::<Priority>().copied());
        own.or_else(|| {
            let mut values = headers.get_all(self.priority_header.as_ref()?).iter();
            let word = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
            Priority::parse(word.trim_ascii())
        })
    }

    /// The tokens of a model API that a request may use, where they are limited.
    pub(super) fn tokens(&self, headers: &HeaderMap, body_length: Option<u64>) -> Option<TokenEstimate> {
        self.limits_tokens.then(|| estimate(headers, body_length))
    }
}
