//! Certificates made for a test, and clients and servers that use them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::within;

/// How many authorities there are, each with a name of its own.
static COUNT: AtomicUsize = AtomicUsize::new(0);

pub const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
pub const HTTP1: &[&str] = &["http/1.1"];
pub const HTTP2: &[&str] = &["h2"];
pub const EITHER: &[&str] = &["h2", "http/1.1"];

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number} of a test"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Good until the year 2100, for names and addresses.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_until(names, 2100)
    }

    pub fn issue_until(&self, names: &[&str], year: i32) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client's side that trusts this authority alone.
    pub fn trusted(&self, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// Writes the authority's certificate into a directory.
    pub fn file(&self, directory: &Path) -> PathBuf {
        write(directory, "ca.pem", &self.pem())
    }
}

impl Identity {
    /// A server's side.
    pub fn served(&self, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a pair");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// Writes both into a directory, and gives the arguments that name them.
    pub fn files(&self, directory: &Path) -> [String; 4] {
        use std::os::unix::fs::PermissionsExt as _;
        let certificate = write(directory, "cert.pem", &self.certificate);
        let key = write(directory, "key.pem", &self.key);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("its owner");
        ["--tls-cert".to_owned(), text(&certificate), "--tls-key".to_owned(), text(&key)]
    }
}

fn write(directory: &Path, name: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).expect("written");
    path
}

pub fn text(path: &Path) -> String {
    path.to_str().expect("a name").to_owned()
}

/// A connection over TLS to a server that is called localhost.
pub async fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = within(TcpStream::connect(address)).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    within(TlsConnector::from(Arc::clone(config)).connect(name, stream)).await
}

/// Gets `/` over a connection, by the protocol that was negotiated on it.
pub async fn get_over(stream: TlsStream<TcpStream>) -> Response<Bytes> {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let request = http::Request::get("https://localhost/").header("host", "localhost");
    let request = request.body(Full::<Bytes>::default()).expect("a request");
    let response = if is_http2 {
        let (mut sender, connection) =
            within(hyper::client::conn::http2::handshake(TokioExecutor::new(), io)).await.expect("HTTP/2");
        tokio::spawn(connection);
        within(sender.send_request(request)).await
    } else {
        let (mut sender, connection) = within(hyper::client::conn::http1::handshake(io)).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        within(sender.send_request(request)).await
    };
    let (parts, body) = response.expect("an answer").into_parts();
    Response::from_parts(parts, within(body.collect()).await.expect("a body").to_bytes())
}
