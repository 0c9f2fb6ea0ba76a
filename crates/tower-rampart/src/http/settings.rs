//! The sections `http` and `classify` of an operation as its calls use them; replaced as one on reload.

use http::HeaderName;
use tower_rampart_config::{OperationConfig, Profile};

use super::{GrpcClassifier, HttpClassifier, ReplayCloner};

/// What HTTP hosts need of an operation's configuration.
#[derive(Clone, Debug)]
pub(crate) struct HttpSettings {
    /// What answers are read as.
    pub(crate) profile: Profile,
    /// Judges by the lists of statuses, and reads the deadline headers.
    pub(crate) classifier: HttpClassifier,
    /// Judges by the status of gRPC under that profile.
    pub(crate) grpc: GrpcClassifier,
    /// Adds the attempt header.
    pub(crate) cloner: ReplayCloner,
    /// The request headers that carry the time left.
    pub(crate) deadline_headers: Vec<HeaderName>,
    /// The most of a request body that is kept for another attempt, in bytes.
    pub(crate) replay_max_bytes: usize,
}

impl From<&OperationConfig> for HttpSettings {
    fn from(config: &OperationConfig) -> Self {
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
            classifier,
            cloner: ReplayCloner::new().attempt_header(config.http.attempt_header.as_ref().and_then(header)),
            deadline_headers,
            replay_max_bytes: usize::try_from(config.http.replay_max_bytes).unwrap_or(usize::MAX),
        }
    }
}
