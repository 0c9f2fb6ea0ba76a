//! The key: 128 bits that say which answer a request asks for, and say nothing to anybody else.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};

use http::{Request, header::HOST, uri};

use super::Rules;

/// What tells answers apart. Two requests share an answer only if all 128 bits agree, which nobody outside of the process can foresee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u64, u64);

impl Key {
    /// The key of a request; `asked` is what its body asks for, where that counts.
    pub(super) fn of<B>(request: &Request<B>, rules: &Rules, asked: Option<&str>, secret: &RandomState) -> Self {
        let hash = |beginning: u8| {
            let mut hasher = secret.build_hasher();
            beginning.hash(&mut hasher);
            request.method().hash(&mut hasher);
            let uri = request.uri();
            uri.scheme_str().hash(&mut hasher);
            uri.authority().map(uri::Authority::as_str).hash(&mut hasher);
            // Whom a gateway was asked for, before it wrote its upstream there.
            request.extensions().get::<uri::Authority>().map(uri::Authority::as_str).hash(&mut hasher);
            uri.path().hash(&mut hasher);
            uri.query().hash(&mut hasher);
            for name in std::iter::once(&HOST).chain(&rules.key_headers) {
                let mut values = 0_usize;
                for value in request.headers().get_all(name) {
                    value.as_bytes().hash(&mut hasher);
                    values += 1;
                }
                // Where one list of values ends and the next begins.
                values.hash(&mut hasher);
            }
            asked.hash(&mut hasher);
            hasher.finish()
        };
        Self(hash(0), hash(1))
    }
}
