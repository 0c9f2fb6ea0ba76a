//! What the HTTP layers give to the pipeline: a judge, a cloner and a reporter that go by the configuration of the operation as it is now. Users never
//! name them, but in the types of layers.

mod cloner;
mod judge;
mod other;
mod report;

pub(crate) use self::judge::sealed::Of;
pub use self::{
    cloner::{Once, Replaying},
    judge::{Configured, HttpJudge, Judged},
    other::{Live, Sent},
    report::InBody,
};
