//! What the contract is checked with: a scripted inner service, the layers as subjects, and the checks themselves. The list of subjects is `contract.rs`.

#[cfg(feature = "chaos")]
pub(crate) mod chaotic;
pub(crate) mod checks;
#[cfg(feature = "http")]
pub(crate) mod clients;
pub(crate) mod cut;
pub(crate) mod inner;
mod live;
mod open;
pub(crate) mod panics;
pub(crate) mod pipelines;
pub(crate) mod subject;
pub(crate) mod subjects;
