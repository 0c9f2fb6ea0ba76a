//! The admin address: what `tower_rampart_admin` serves, over the listener of this program.

use std::{convert::Infallible, net::SocketAddr, path::Path, sync::Arc};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::signal::unix::Signal;
use tower::ServiceExt as _;
use tower_rampart::Resilience;
use tower_rampart_admin::{AdminConfig, AdminError, KeyRing, MetricsFormat, monitoring::Monitor, site};
use tower_rampart_redis::Fleet;

use super::{
    body::AnswerBody,
    counters::Counters,
    fleet,
    listener::{Handler, Peer},
    look::Look,
};
use crate::failure::Failure;

/// How many requests a second one caller may make, and how many at once. Without keys everybody on this machine is one: the scraper, the dashboards, whoever
/// asks by hand.
const RATE: (f64, u32) = (200.0, 1000);

/// What the admin address serves.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    site: Router,
}

/// What of it has an end or a life of its own.
#[derive(Debug)]
pub(crate) struct Operating {
    pub(crate) monitor: Monitor,
    pub(crate) keys: Option<KeyFile>,
}

/// What is shown beside what the registry has.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) counters: Arc<Counters>,
    pub(crate) fleet: Option<Fleet>,
}

impl Numbers {
    fn writer(self) -> impl Fn(MetricsFormat, &mut String) + Send + Sync + 'static {
        let Self { counters, fleet } = self;
        move |format, text| {
            counters.write(format, text);
            if let Some(fleet) = &fleet {
                fleet.write_metrics(format == MetricsFormat::OpenMetrics, text);
            }
        }
    }
}

impl Admin {
    /// Over what traffic runs on, for whoever has one of the keys, or else for this machine alone.
    ///
    /// # Errors
    /// If the key file is refused, or there is none and `address` can be reached from elsewhere.
    pub(crate) fn new(
        resilience: &Resilience,
        numbers: Numbers,
        address: SocketAddr,
        key_file: Option<&Path>,
    ) -> Result<(Self, Operating), Failure> {
        let keys = key_file.map(KeyFile::open).transpose()?;
        let monitor = Monitor::new(resilience);
        let fleet = numbers.fleet.clone();
        let config = AdminConfig::new().monitor(monitor.clone()).metrics_source(numbers.writer());
        let config = match fleet {
            Some(fleet) => config.redis_source(move || fleet::state(&fleet)),
            None => config,
        };
        let config = keys.iter().fold(config, |config, keys| config.key_ring(&keys.ring));
        let refused = |error: AdminError| match error {
            AdminError::Exposed { .. } => Failure::new(format!("{error} (--api-key-file, --admin-listen)")),
            error => Failure::new(chain(&error)),
        };
        let config = config.rate_limit(RATE.0, RATE.1).and_then(|it| it.for_address(address)).map_err(refused)?;
        let site = site(resilience.clone(), config).map_err(refused)?;
        Ok((Self { site }, Operating { monitor, keys }))
    }
}

impl Handler for Admin {
    async fn handle(self, request: Request<Incoming>, peer: Peer) -> Response<AnswerBody> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer.address));
        let answer: Result<_, Infallible> = self.site.oneshot(request).await;
        let Ok(answer) = answer;
        answer.map(AnswerBody::of_admin)
    }
}

/// The file of keys, read again when it changes and on SIGHUP.
#[derive(Debug)]
pub(crate) struct KeyFile {
    ring: KeyRing,
    look: Look<1>,
}

impl KeyFile {
    fn open(path: &Path) -> Result<Self, Failure> {
        let look = Look::at([path.to_owned()]);
        let ring = KeyRing::open(path).map_err(|error| Failure::new(chain(&error)))?;
        Ok(Self { ring, look })
    }

    /// Reads the file again whenever it changed or `hangup` says so, for ever. One that is refused changes nothing.
    pub(crate) async fn follow(self, mut hangup: Signal) {
        let Self { ring, mut look } = self;
        while look.wait(&mut hangup).await {
            let reading = ring.clone();
            match tokio::task::spawn_blocking(move || reading.read_again()).await {
                Ok(Ok(())) => tracing::info!("keys read again from {}", ring.path().display()),
                Ok(Err(error)) => tracing::warn!("the keys stay as they are: {}", chain(&error)),
                Err(error) => tracing::error!(%error, "reading the keys did not end"),
            }
        }
    }
}

/// An error and what is behind it, in one line. None of these quotes a key.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |it| it.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
