//! Connections to upstreams: plain or over TLS, HTTP/1.1 or HTTP/2, kept by authority. What is sent over them is in `upstream`, TLS towards clients in `tls`.

use std::{
    fmt,
    future::Future,
    io,
    path::Path,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Request, Uri,
    header::{CONNECTION, TRANSFER_ENCODING},
    uri::Scheme,
};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tower::Service;
use tower_rampart::http::is_grpc;

use super::{pem, target::Target, upstream::RequestBody};
use crate::{args::TransportOptions, failure::Failure};

/// How long a TCP connection may take to come about.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long all of it may take: the name, TCP, TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection without a request is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a peer may be silent before it is asked whether it is still there: by TCP always, by HTTP/2 while there are requests.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The longest list of fields that a request or an answer may bring, in bytes as RFC 9113 section 6.5.2 counts them, or as they stand in the head over
/// HTTP/1.1. What one side brings the other must take: over HTTP/2 a list that is too long can end the whole connection.
pub(crate) const MAX_HEADER_LIST: u32 = 64 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// What is spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Over TLS what both sides agree on (ALPN), otherwise HTTP/1.1.
    Negotiated,
    /// HTTP/2 without asking (RFC 9113 section 3.3).
    Http2,
    /// HTTP/1.1, the one version that knows `Upgrade`.
    Http1,
}

/// One client for each [`Protocol`]: a pool keeps connections by authority, and these must not meet there.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    negotiated: Client<Connector, RequestBody>,
    http2: Client<Connector, RequestBody>,
    http1: Client<Connector, RequestBody>,
    trust: Arc<Trust>,
    /// Whether all plain upstreams speak HTTP/2.
    prefers_http2: bool,
}

impl Clients {
    /// Clients that trust whom the options say.
    ///
    /// # Errors
    /// If the authorities to trust cannot be read.
    pub(crate) fn new(options: &TransportOptions) -> Result<Self, Failure> {
        let trust = Arc::new(Trust::new(options.upstream_ca.as_deref())?);
        let client = |protocol: Protocol| {
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .http2_only(protocol == Protocol::Http2)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .http2_max_header_list_size(MAX_HEADER_LIST)
                .http1_max_buf_size(MAX_HEADER_LIST as usize)
                .build(Connector::new(protocol, Arc::clone(&trust)))
        };
        Ok(Self {
            negotiated: client(Protocol::Negotiated),
            http2: client(Protocol::Http2),
            http1: client(Protocol::Http1),
            prefers_http2: options.upstream_http2,
            trust,
        })
    }

    /// Checks, at the start, that there is anybody to trust if a target needs it.
    ///
    /// # Errors
    /// If there is nobody.
    pub(crate) fn check(&self, target: &Target) -> Result<(), Failure> {
        if target.is_https() {
            self.trust.configs().map_err(|error| Failure::new(error.to_string()))?;
        }
        Ok(())
    }

    /// What a request to `target` is sent by. gRPC is HTTP/2 always.
    pub(crate) fn protocol(&self, target: &Target, headers: &HeaderMap) -> Protocol {
        if !target.is_https() && (self.prefers_http2 || is_grpc(headers)) {
            Protocol::Http2
        } else {
            Protocol::Negotiated
        }
    }

    /// Sends a request, whose `Connection` field is as HTTP/1.1 wants it, and whose target is absolute.
    pub(crate) fn send(&self, protocol: Protocol, mut request: Request<RequestBody>) -> legacy::ResponseFuture {
        match protocol {
            Protocol::Http1 => self.http1.request(request),
            Protocol::Http2 => {
                request.headers_mut().remove(CONNECTION);
                request.headers_mut().remove(TRANSFER_ENCODING);
                self.http2.request(request)
            }
            Protocol::Negotiated => {
                if request.uri().scheme() == Some(&Scheme::HTTPS) {
                    hide_from_http2(request.headers_mut());
                }
                self.negotiated.request(request)
            }
        }
    }
}

/// Keeps `TE: trailers`, which HTTP/2 knows without `Connection: te`, and HTTP/1.1 only with it.
///
/// Which of the two is spoken shows when the connection is there, and hyper, on its way to HTTP/2, then removes the fields that the first `Connection`
/// field names. It names one that is nowhere.
fn hide_from_http2(headers: &mut HeaderMap) {
    if let Some(named) = headers.insert(CONNECTION, HeaderValue::from_static("keep-alive")) {
        headers.append(CONNECTION, named);
    } else {
        headers.remove(CONNECTION);
    }
}

/// Whom to trust as upstreams over TLS.
#[derive(Debug)]
struct Trust {
    /// The system's authorities are read when they are needed for the first time.
    configs: OnceLock<Result<Configs, NobodyToTrust>>,
}

#[derive(Debug)]
struct Configs {
    negotiated: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

/// The system names no certificate authorities.
#[derive(Clone, Debug, thiserror::Error)]
#[error("this system names no certificate authorities to trust https:// upstreams by{reasons}; give --upstream-ca")]
pub(crate) struct NobodyToTrust {
    reasons: String,
}

impl Trust {
    /// Trusts the authorities in `file`, or else the system's.
    fn new(file: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = file else { return Ok(Self { configs: OnceLock::new() }) };
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(path).map_err(|error| Failure::new(error.to_string()))? {
            roots.add(certificate).map_err(|error| {
                Failure::new(format!("a certificate in {} cannot be used: {error}", path.display()))
            })?;
        }
        Ok(Self { configs: OnceLock::from(Ok(Configs::new(roots))) })
    }

    fn configs(&self) -> Result<&Configs, NobodyToTrust> {
        self.configs.get_or_init(system).as_ref().map_err(Clone::clone)
    }
}

/// Trusts the authorities that the system does, or, where they are set, those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
fn system() -> Result<Configs, NobodyToTrust> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system's bundle may have one that is not understood; the others are good.
    let (added, _) = roots.add_parsable_certificates(found.certs.into_iter().map(CertificateDer::into_owned));
    if added > 0 {
        return Ok(Configs::new(roots));
    }
    let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    Err(NobodyToTrust { reasons })
}

impl Configs {
    fn new(roots: RootCertStore) -> Self {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = Arc::new(config.clone());
        config.alpn_protocols.insert(0, b"h2".to_vec());
        Self { negotiated: Arc::new(config), http1 }
    }
}

/// Makes connections, over TLS where the target says so.
#[derive(Clone)]
struct Connector {
    tcp: HttpConnector,
    protocol: Protocol,
    trust: Arc<Trust>,
}

impl Connector {
    fn new(protocol: Protocol, trust: Arc<Trust>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(TCP_TIMEOUT));
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        Self { tcp, protocol, trust }
    }

    /// # Errors
    /// If there is nobody to trust.
    fn https(&self) -> Result<HttpsConnector<HttpConnector>, NobodyToTrust> {
        let configs = self.trust.configs()?;
        let config = if self.protocol == Protocol::Http1 { &configs.http1 } else { &configs.negotiated };
        Ok(HttpsConnector::from((self.tcp.clone(), Arc::clone(config))))
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let mut connector = self.clone();
        Box::pin(async move {
            let connecting = async move {
                if target.scheme() == Some(&Scheme::HTTPS) {
                    connector.https()?.call(target).await
                } else {
                    Ok(MaybeHttpsStream::Http(connector.tcp.call(target).await?))
                }
            };
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection within 10 s");
            tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(late)?
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

    use super::*;

    #[test]
    fn grpc_to_a_plain_upstream_is_http2_and_the_rest_is_not() {
        let clients = Clients::new(&TransportOptions::default()).expect("nothing to read");
        let [plain, secure] = ["http://a", "https://a"].map(|text| text.parse::<Target>().expect("a target"));
        for (content_type, protocol) in [
            ("application/grpc", Protocol::Http2),
            ("application/grpc+proto", Protocol::Http2),
            ("Application/gRPC; charset=x", Protocol::Http2),
            ("application/grpc-web", Protocol::Negotiated),
            ("application/grpcs", Protocol::Negotiated),
            ("application/json", Protocol::Negotiated),
            ("application/g", Protocol::Negotiated),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
            assert_eq!(clients.protocol(&plain, &headers), protocol, "{content_type}");
            assert_eq!(clients.protocol(&secure, &headers), Protocol::Negotiated, "{content_type}");
        }
        assert_eq!(clients.protocol(&plain, &HeaderMap::new()), Protocol::Negotiated);
        let options = TransportOptions { upstream_http2: true, ..TransportOptions::default() };
        let clients = Clients::new(&options).expect("nothing to read");
        assert_eq!(clients.protocol(&plain, &HeaderMap::new()), Protocol::Http2);
        assert_eq!(clients.protocol(&secure, &HeaderMap::new()), Protocol::Negotiated);
    }

    #[test]
    fn bundle_of_nonsense_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for text in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(file.path(), text).expect("written");
            let options = TransportOptions { upstream_ca: Some(file.path().to_owned()), ..TransportOptions::default() };
            let failure = Clients::new(&options).expect_err("nothing to trust").to_string();
            assert!(failure.contains(&*file.path().to_string_lossy()), "{failure}");
        }
    }

    #[test]
    fn connection_field_is_put_behind_another() {
        let mut headers = HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static("te"))]);
        hide_from_http2(&mut headers);
        assert_eq!(headers.get_all(CONNECTION).iter().collect::<Vec<_>>(), ["keep-alive", "te"]);
        let mut headers = HeaderMap::new();
        hide_from_http2(&mut headers);
        assert!(headers.is_empty());
    }
}
