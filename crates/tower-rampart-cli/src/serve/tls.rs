//! TLS in front of the gateway: the certificate and its key, read at the start, on SIGHUP and when the files change. TLS to upstreams is in `connect`.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::ring,
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{net::TcpStream, signal::unix::Signal};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower_rampart_core::control::ConfigCell;

use super::{
    look::Look,
    pem::{self, PemError},
};

/// How long a client may take for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("{0}")]
    Pem(#[from] PemError),
    #[error("the key in {} cannot be used: {source}", path.display())]
    Key { path: PathBuf, source: rustls::Error },
    #[error("the certificate in {} cannot be used: {source}", path.display())]
    Certificate { path: PathBuf, source: rustls::Error },
    #[error("the key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch { key: PathBuf, certificate: PathBuf },
}

/// The server's side of TLS 1.2 and 1.3, which offers HTTP/2 and HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    /// Replaced as a whole, its sessions with it: none that began under an old certificate is resumed under a new one.
    live: ConfigCell<ServerConfig>,
    look: Look<2>,
}

impl Tls {
    /// Reads a certificate chain, the server's own first, and its key.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub(crate) fn open(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let look = Look::at([certificate.to_owned(), key.to_owned()]);
        let live = ConfigCell::new(load(certificate, key)?);
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), live, look })
    }

    /// Makes a connection one over TLS.
    ///
    /// # Errors
    /// If the client does not manage the handshake, or not in 10 seconds; whoever speaks plain text does not.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let handshake = TlsAcceptor::from(self.live.load()).accept(stream);
        tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await?
    }

    /// Reads the files again whenever they changed or `hangup` says so, for ever. Connections keep what they began with; files that are of no use change
    /// nothing.
    pub(crate) async fn follow(self: Arc<Self>, mut hangup: Signal) {
        let mut look = self.look.clone();
        while look.wait(&mut hangup).await {
            self.read_again().await;
        }
    }

    async fn read_again(self: &Arc<Self>) {
        let tls = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || load(&tls.certificate, &tls.key));
        match reading.await {
            Ok(Ok(config)) => {
                self.live.store(config);
                tracing::info!("certificate read again from {}", self.certificate.display());
            }
            Ok(Err(error)) => tracing::warn!("certificate refused, the old one stays: {error}"),
            Err(error) => tracing::error!(%error, "reading the certificate did not end"),
        }
    }
}

fn load(certificate: &Path, key: &Path) -> Result<ServerConfig, CertificateError> {
    let provider = Arc::new(ring::default_provider());
    let chain = pem::certificates(certificate)?;
    let unusable_key = |source| CertificateError::Key { path: key.to_owned(), source };
    let private = provider.key_provider.load_private_key(pem::private_key(key)?).map_err(unusable_key)?;
    let certified = CertifiedKey::new(chain, private);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(CertificateError::Mismatch { key: key.to_owned(), certificate: certificate.to_owned() });
        }
        Err(source) => return Err(CertificateError::Certificate { path: certificate.to_owned(), source }),
    }
    if pem::is_open_to_others(key) {
        tracing::warn!("the key in {} can be read or written by others than its owner and group", key.display());
    }
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        _directory: tempfile::TempDir,
        certificate: PathBuf,
        key: PathBuf,
    }

    /// A certificate and its key, for a name.
    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn files(certificate: &str, key: &str) -> Files {
        let directory = tempfile::tempdir().expect("a directory");
        let paths = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
        for (path, text) in paths.iter().zip([certificate, key]) {
            std::fs::write(path, text).expect("written");
        }
        let [certificate, key] = paths;
        Files { _directory: directory, certificate, key }
    }

    fn complaint(files: &Files) -> String {
        Tls::open(&files.certificate, &files.key).expect_err("of no use").to_string()
    }

    #[test]
    fn what_does_not_belong_together_is_refused_by_name() {
        let ((certificate, key), (_, other)) = (pair(), pair());
        let good = files(&certificate, &key);
        Tls::open(&good.certificate, &good.key).expect("they belong together");
        let text = complaint(&files(&certificate, &other));
        assert!(text.contains("key.pem does not belong") && text.contains("cert.pem"), "{text}");
        let text = complaint(&files(&certificate, ""));
        assert!(text.contains("key.pem has no private key"), "{text}");
        let text = complaint(&files("", &key));
        assert!(text.contains("cert.pem has no certificate"), "{text}");
        let text = complaint(&files(&key, &certificate));
        assert!(text.contains("cert.pem has no certificate"), "{text}");
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let text = complaint(&files(nonsense, &key));
        assert!(text.starts_with("the certificate in ") && text.contains("cert.pem"), "{text}");
        let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let text = complaint(&files(&certificate, nonsense));
        assert!(text.starts_with("the key in ") && text.contains("key.pem"), "{text}");
    }

    #[test]
    fn both_versions_of_http_are_offered_the_newer_first() {
        let (certificate, key) = pair();
        let files = files(&certificate, &key);
        let tls = Tls::open(&files.certificate, &files.key).expect("a pair");
        assert_eq!(tls.live.load().alpn_protocols, [&b"h2"[..], b"http/1.1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_stops_in_the_middle_of_the_handshake_is_given_up() {
        let (certificate, key) = pair();
        let files = files(&certificate, &key);
        let tls = Tls::open(&files.certificate, &files.key).expect("a pair");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let _client = std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (stream, _) = listener.accept().await.expect("a client");
        let error = tls.accept(stream).await.expect_err("nothing was said");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
