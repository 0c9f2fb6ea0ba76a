//! The connection: one, shared, made anew by whoever maintains the fleet. Nothing here waits longer than it was told.

use std::{future::Future, sync::Mutex, time::Duration};

use redis::{AsyncConnectionConfig, Client, aio::PubSubStream};
use tokio::time::timeout;
use tower_rampart_core::retry::Seeds;

use crate::{
    Config, Error,
    connection::Connection,
    fleet::lock,
    mode::{Fault, Reason},
    model::Path,
};

#[derive(Debug)]
pub(crate) struct Link {
    far: Far,
    connect_timeout: Duration,
    timeout: Duration,
    live: Mutex<Live>,
}

/// What is at the other end.
#[derive(Debug)]
enum Far {
    Redis(Client),
    Model(Path),
}

#[derive(Debug, Default)]
struct Live {
    connection: Option<Connection>,
    /// How many there were.
    number: u64,
}

impl Link {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let client =
            Client::open(config.url.as_str()).map_err(|error| Error::Address { reason: error.category().into() })?;
        Ok(Self::to(Far::Redis(client), config))
    }

    /// A link to no server but a model of one.
    pub(crate) fn over(path: Path, config: &Config) -> Self {
        Self::to(Far::Model(path), config)
    }

    fn to(far: Far, config: &Config) -> Self {
        let &Config { connect_timeout, timeout, .. } = config;
        Self { far, connect_timeout, timeout, live: Mutex::default() }
    }

    /// What makes the jitter of whoever comes back: of a model's own seed, so that a simulation can be repeated.
    pub(crate) fn seeds(&self) -> Seeds {
        match &self.far {
            Far::Redis(_) => Seeds::from_entropy(),
            Far::Model(path) => path.seeds(),
        }
    }

    /// Connects anew.
    pub(crate) async fn connect(&self) -> Result<(), Fault> {
        let connection = match timeout(self.connect_timeout, self.connection()).await {
            Ok(connected) => connected?,
            Err(_) => return Err(Fault::new(Reason::Timeout, "no connection in time")),
        };
        let mut live = lock(&self.live);
        live.connection = Some(connection);
        live.number += 1;
        Ok(())
    }

    async fn connection(&self) -> Result<Connection, Fault> {
        let client = match &self.far {
            Far::Redis(client) => client,
            Far::Model(path) => {
                path.connect().await;
                return Ok(Connection::Model(path.clone()));
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.timeout));
        Ok(Connection::Redis(client.get_multiplexed_async_connection_with_config(&config).await?))
    }

    /// Forgets the connection; its name is resolved anew for the next.
    pub(crate) fn disconnect(&self) {
        let connection = lock(&self.live).connection.take();
        drop(connection);
    }

    /// Whether what was met on a connection says something of the present one. Calls may tell of a timeout when another was made long ago.
    pub(crate) fn is_present(&self, fault: &Fault) -> bool {
        fault.connection.is_none_or(|number| number == lock(&self.live).number)
    }

    /// Listens to a channel, on a connection of its own.
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<PubSubStream, Fault> {
        let Far::Redis(client) = &self.far else {
            return Err(Fault::new(Reason::Failing, "a model has limits only"));
        };
        let subscribing = async {
            let mut subscription = client.get_async_pubsub().await?;
            subscription.subscribe(channel).await?;
            Ok(subscription.into_on_message())
        };
        match timeout(self.connect_timeout, subscribing).await {
            Ok(subscribed) => subscribed,
            Err(_) => Err(Fault::new(Reason::Timeout, "no subscription in time")),
        }
    }

    /// Runs a request on the connection, no longer than the timeout.
    pub(crate) async fn within<T, F>(&self, ask: impl FnOnce(Connection) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let (connection, number) = {
            let live = lock(&self.live);
            (live.connection.clone(), live.number)
        };
        let Some(connection) = connection else { return Err(Fault::new(Reason::Unreachable, "not connected")) };
        let answered = match timeout(self.timeout, ask(connection)).await {
            Ok(answered) => answered,
            Err(_) => Err(Fault::new(Reason::Timeout, "no answer in time")),
        };
        answered.map_err(|fault| Fault { connection: Some(number), ..fault })
    }
}
