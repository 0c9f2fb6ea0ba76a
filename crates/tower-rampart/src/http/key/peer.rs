//! The address that a connection comes from, as servers put it into the extensions of its requests. Whose it is behind proxies is up to `client_ip`.

use std::net::{IpAddr, SocketAddr};

use http::Extensions;

/// The peer of the connection, if the server has said it in a way that is known here.
pub(crate) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    plain(extensions).or_else(|| of_axum(extensions)).or_else(|| of_tonic(extensions))
}

fn plain(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<SocketAddr>().map(SocketAddr::ip)
}

#[cfg(feature = "axum")]
fn of_axum(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<axum::extract::ConnectInfo<SocketAddr>>().map(|it| it.0.ip())
}

#[cfg(not(feature = "axum"))]
fn of_axum(_: &Extensions) -> Option<IpAddr> {
    None
}

/// Behind TLS it is there as well, beside what is said of the certificate.
#[cfg(feature = "tonic")]
fn of_tonic(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<tonic::transport::server::TcpConnectInfo>()?.remote_addr().map(|it| it.ip())
}

#[cfg(not(feature = "tonic"))]
fn of_tonic(_: &Extensions) -> Option<IpAddr> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_is_found_wherever_a_server_puts_it() {
        let address = SocketAddr::from(([192, 0, 2, 7], 1));
        let mut extensions = Extensions::new();
        assert_eq!(peer(&extensions), None);
        extensions.insert(address);
        assert_eq!(peer(&extensions), Some(address.ip()));
        #[cfg(feature = "axum")]
        {
            let mut extensions = Extensions::new();
            extensions.insert(axum::extract::ConnectInfo(address));
            assert_eq!(peer(&extensions), Some(address.ip()));
        }
        #[cfg(feature = "tonic")]
        {
            let mut extensions = Extensions::new();
            let both = tonic::transport::server::TcpConnectInfo { local_addr: None, remote_addr: Some(address) };
            extensions.insert(both);
            assert_eq!(peer(&extensions), Some(address.ip()));
        }
    }
}
