//! Where the value of a field came from.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::Strategy;

/// Where the value of a field came from.
///
/// As text: `default`, `preset:production`, `strategy:critical`, `environment:AI_LIB_RPS`, `document`, `operation_override`, `code`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Nobody said anything: the default of the machine.
    Default,
    /// The preset of this name.
    Preset(String),
    /// The numbers of a strategy, chosen by the preset, the document or code.
    Strategy(Strategy),
    /// The environment variable of this name.
    Environment(String),
    /// The document's top level.
    Document,
    /// The document's override for the operation.
    OperationOverride,
    /// An override given in code.
    Code,
}

impl Source {
    /// How close it is to the one who reads the message: of two values that contradict each other, the closer is to be changed.
    pub(crate) const fn closeness(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::Preset(_) => 1,
            Self::Strategy(_) => 2,
            Self::Environment(_) => 3,
            Self::Document => 4,
            Self::OperationOverride => 5,
            Self::Code => 6,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Preset(name) => write!(f, "preset:{name}"),
            Self::Strategy(strategy) => write!(f, "strategy:{strategy}"),
            Self::Environment(variable) => write!(f, "environment:{variable}"),
            Self::Document => f.write_str("document"),
            Self::OperationOverride => f.write_str("operation_override"),
            Self::Code => f.write_str("code"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
