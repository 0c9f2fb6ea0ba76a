//! What stands in for the settings of HTTP without the feature `http`: there are none.

use tower_rampart_config::OperationConfig;

/// Nothing; the twin of the one in `http`.
#[derive(Clone, Debug)]
pub(crate) struct HttpSettings;

impl From<&OperationConfig> for HttpSettings {
    fn from(_config: &OperationConfig) -> Self {
        Self
    }
}
