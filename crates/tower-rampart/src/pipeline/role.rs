//! Which side of a call a pipeline stands on, and what that changes of its configuration.

use tower_rampart_config::{Capabilities, Capability, ConfigError, ResilienceConfig, Source};

/// Which side of a call a pipeline stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The configuration is taken as it is.
    Any,
    /// Behind it are this program's own handlers: none is called twice, and their failures open no circuit unless somebody asked for one.
    Server,
}

impl Role {
    /// Lays over the configuration of an operation what its role asks for.
    pub(crate) fn over(self, config: ResilienceConfig, operation: &str) -> Result<ResilienceConfig, ConfigError> {
        match self {
            Self::Any => Ok(config),
            Self::Server if wants_circuit(&config, operation) => config
                .with_operation_overrides(operation, r#"{"retry": {"enabled": false}, "hedge": {"enabled": false}}"#),
            Self::Server => config.with_operation_overrides(
                operation,
                r#"{"retry": {"enabled": false}, "hedge": {"enabled": false}, "circuit_breaker": {"enabled": false}}"#,
            ),
        }
    }

    /// Checks that a pipeline that stands alone can serve what is enabled.
    pub(super) fn check(
        self,
        config: &ResilienceConfig,
        operation: &str,
        capabilities: Capabilities,
    ) -> Result<(), ConfigError> {
        match self {
            Self::Any => config.check(&capabilities),
            Self::Server => {
                // Of the retries and hedges that the rest of the document has, this operation has none.
                config.check(&capabilities.with(Capability::CloneRequest))?;
                config.check_operation(operation, &capabilities)
            }
        }
    }
}

/// Whether anybody said anything of the circuit: presets and strategies do for every operation.
fn wants_circuit(config: &ResilienceConfig, operation: &str) -> bool {
    config.provenance(operation).iter().any(|(path, source)| {
        path.starts_with("circuit_breaker.")
            && !matches!(source, Source::Default | Source::Preset(_) | Source::Strategy(_))
    })
}
