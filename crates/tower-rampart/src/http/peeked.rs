//! What came first in the body of an answer, in its extensions, for classifiers. Who looks there is `inspect`.

use http::HeaderMap;
use tower_rampart_core::Verdict;

/// The trailers that came as the first frame of an answer, in its extensions; empty if it ended without any frame.
#[derive(Clone, Debug)]
pub struct PeekedTrailers(pub HeaderMap);

/// What the error says that came as the first frame of an answer, in its extensions. The error itself is what the body fails with.
#[derive(Clone, Copy, Debug)]
pub struct PeekedError(pub Verdict);
