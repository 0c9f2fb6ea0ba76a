//! The connection: one, shared, made anew by whoever maintains the fleet. Nothing here waits longer than it was told.

use std::{future::Future, sync::Mutex, time::Duration};

use redis::{
    AsyncConnectionConfig, Client,
    aio::{MultiplexedConnection, PubSubStream},
};
use tokio::time::timeout;

use crate::{
    Config, Error,
    fleet::lock,
    mode::{Fault, Reason},
};

#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    connect_timeout: Duration,
    timeout: Duration,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    connection: Option<MultiplexedConnection>,
    /// How many there were.
    number: u64,
}

impl Link {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let client =
            Client::open(config.url.as_str()).map_err(|error| Error::Address { reason: error.category().into() })?;
        let &Config { connect_timeout, timeout, .. } = config;
        Ok(Self { client, connect_timeout, timeout, live: Mutex::default() })
    }

    /// Connects anew.
    pub(crate) async fn connect(&self) -> Result<(), Fault> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.timeout));
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let connection = match timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected?,
            Err(_) => return Err(Fault::new(Reason::Timeout, "no connection in time")),
        };
        let mut live = lock(&self.live);
        live.connection = Some(connection);
        live.number += 1;
        Ok(())
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
        let subscribing = async {
            let mut subscription = self.client.get_async_pubsub().await?;
            subscription.subscribe(channel).await?;
            Ok(subscription.into_on_message())
        };
        match timeout(self.connect_timeout, subscribing).await {
            Ok(subscribed) => subscribed,
            Err(_) => Err(Fault::new(Reason::Timeout, "no subscription in time")),
        }
    }

    /// Runs a request on the connection, no longer than the timeout.
    pub(crate) async fn within<T, F>(&self, ask: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, Fault>
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
