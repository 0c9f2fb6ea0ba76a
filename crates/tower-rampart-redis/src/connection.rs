//! One connection, to a server or to a model of one, and what can be asked on it. Who holds it is `link`; what questions and answers mean is in `script`.

use redis::{Script, aio::MultiplexedConnection};

use crate::{
    mode::{Fault, Reason},
    model::Path,
};

/// A connection; clones share it.
#[derive(Clone, Debug)]
pub(crate) enum Connection {
    Redis(MultiplexedConnection),
    Model(Path),
}

impl Connection {
    /// The server's time of day, in whole seconds and microseconds.
    pub(crate) async fn time(&mut self) -> Result<(u64, u64), Fault> {
        match self {
            Self::Redis(connection) => Ok(redis::cmd("TIME").query_async(connection).await?),
            Self::Model(path) => Ok(path.time().await),
        }
    }

    /// Runs the script of limits, loading it first where the server has forgotten it.
    pub(crate) async fn rate(&mut self, script: &Script, key: &str, arguments: &[u64; 11]) -> Result<Vec<i64>, Fault> {
        match self {
            Self::Redis(connection) => Ok(script.key(key).arg(&arguments[..]).invoke_async(connection).await?),
            Self::Model(path) => Ok(path.rate(key, arguments).await.to_vec()),
        }
    }

    /// The connection to a server, for what a model has not.
    pub(crate) fn server(&mut self) -> Result<&mut MultiplexedConnection, Fault> {
        match self {
            Self::Redis(connection) => Ok(connection),
            Self::Model(_) => Err(Fault::new(Reason::Failing, "a model has limits only")),
        }
    }
}
