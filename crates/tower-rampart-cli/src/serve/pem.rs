//! Reads certificates and keys out of PEM files. What they are used for is in `tls` and `connect`.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};

/// The longest file that is read: the bundle of a whole system has a quarter of it.
const MAX_BYTES: u64 = 1024 * 1024;
/// The permissions of others than owner and group.
const OTHERS: u32 = 0o007;

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PemError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is longer than 1 MiB", .0.display())]
    TooLong(PathBuf),
    #[error("{} is no proper PEM file: {source}", path.display())]
    Malformed { path: PathBuf, source: pem::Error },
    #[error("{} has no certificate in PEM format", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} has no private key in PEM format that is not encrypted (PKCS #8, PKCS #1 or SEC 1)", .0.display())]
    NoKey(PathBuf),
}

/// The certificates of a file, in order; at least one.
///
/// # Errors
/// Names the file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|source| PemError::Malformed { path: path.to_owned(), source })?;
    if found.is_empty() { Err(PemError::NoCertificate(path.to_owned())) } else { Ok(found) }
}

/// The first private key of a file.
///
/// # Errors
/// Names the file.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|source| match source {
        pem::Error::NoItemsFound => PemError::NoKey(path.to_owned()),
        source => PemError::Malformed { path: path.to_owned(), source },
    })
}

/// Whether somebody who is neither the owner nor of the group may touch a file; not so if nothing is known of it.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|it| it.permissions().mode() & OTHERS != 0)
}

fn read(path: &Path) -> Result<Vec<u8>, PemError> {
    let mut bytes = Vec::new();
    let reading = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    reading.map_err(|source| PemError::Unreadable { path: path.to_owned(), source })?;
    if bytes.len() as u64 > MAX_BYTES { Err(PemError::TooLong(path.to_owned())) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        file
    }

    fn pem(label: &str, base64: &str) -> String {
        format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
    }

    #[test]
    fn keys_of_all_three_formats_are_read() {
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            let file = file(pem(label, "c29tZSBrZXk=").as_bytes());
            let key = private_key(file.path()).expect(label);
            assert_eq!(key.secret_der(), b"some key");
            let kind = match key {
                PrivateKeyDer::Pkcs8(_) => "PRIVATE KEY",
                PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
                PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
                _ => "another",
            };
            assert_eq!(kind, label);
        }
        let encrypted = file(pem("ENCRYPTED PRIVATE KEY", "c29tZSBrZXk=").as_bytes());
        assert!(matches!(private_key(encrypted.path()), Err(PemError::NoKey(_))));
    }

    #[test]
    fn certificates_are_read_in_order_whatever_stands_between_them() {
        let text = format!(
            "leaf:\n{}\nkey:\n{}{}",
            pem("CERTIFICATE", "MQ=="),
            pem("PRIVATE KEY", "aw=="),
            pem("CERTIFICATE", "Mg==")
        );
        let found = certificates(file(text.as_bytes()).path()).expect("two certificates");
        assert_eq!(found.iter().map(AsRef::<[u8]>::as_ref).collect::<Vec<_>>(), [b"1", b"2"]);
    }

    #[test]
    fn file_without_what_is_looked_for_is_named() {
        let name = |error: &PemError, file: &tempfile::NamedTempFile| {
            error.to_string().contains(&*file.path().to_string_lossy())
        };
        for bytes in [&b""[..], b"nothing here", &[0xff; 100]] {
            let file = file(bytes);
            let (certificate, key) = (certificates(file.path()), private_key(file.path()));
            assert!(
                matches!(&certificate, Err(error @ PemError::NoCertificate(_)) if name(error, &file)),
                "{certificate:?}"
            );
            assert!(matches!(&key, Err(error @ PemError::NoKey(_)) if name(error, &file)));
        }
        let broken = file(b"-----BEGIN CERTIFICATE-----\nAAAA\n");
        assert!(matches!(certificates(broken.path()), Err(PemError::Malformed { .. })));
        let long = file(&vec![b' '; 1024 * 1024 + 1]);
        assert!(matches!(certificates(long.path()), Err(PemError::TooLong(_))));
        let missing = Path::new("/nonexistent/cert.pem");
        assert!(matches!(certificates(missing), Err(PemError::Unreadable { .. })));
    }

    #[test]
    fn file_that_others_may_read_is_noticed() {
        let file = file(b"secret");
        for (mode, is_open) in [(0o600, false), (0o640, false), (0o604, true), (0o644, true), (0o602, true)] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).expect("its owner");
            assert_eq!(is_open_to_others(file.path()), is_open, "{mode:o}");
        }
    }
}
