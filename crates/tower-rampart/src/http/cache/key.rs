//! The key: 128 bits that say which answer a request asks for, and say nothing to anybody else.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};

use http::{HeaderMap, HeaderName, Request, header::HOST, uri};

use super::Rules;

/// What handlers and frameworks take for parts of the URL or for the method: whoever may set them must not choose what others are answered.
const ADDRESSES: [HeaderName; 9] = [
    HOST,
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-http-method-override"),
];

/// What model APIs answer by beside the body: which version, and on whose account.
const OF_MODEL_APIS: [HeaderName; 4] = [
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
];

/// What tells answers apart. Two requests share an answer only if all 128 bits agree, which nobody outside of the process can foresee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u64, u64);

impl Key {
    /// The key of a request to one layer; `asked` is what its body asks for, where that counts.
    pub(super) fn of<B>(
        request: &Request<B>,
        rules: &Rules,
        layer: u64,
        asked: Option<&str>,
        secret: &RandomState,
    ) -> Self {
        let hash = |beginning: u8| {
            let mut hasher = secret.build_hasher();
            (beginning, layer).hash(&mut hasher);
            request.method().hash(&mut hasher);
            let uri = request.uri();
            uri.scheme_str().hash(&mut hasher);
            uri.authority().map(uri::Authority::as_str).hash(&mut hasher);
            // Whom a gateway was asked for, before it wrote its upstream there.
            request.extensions().get::<uri::Authority>().map(uri::Authority::as_str).hash(&mut hasher);
            super::request::nested(request.extensions()).hash(&mut hasher);
            uri.path().hash(&mut hasher);
            uri.query().hash(&mut hasher);
            let headers = request.headers();
            for name in &ADDRESSES {
                read(headers, name, &mut hasher);
            }
            for name in &rules.key_headers {
                // The list may change while answers are kept.
                name.as_str().hash(&mut hasher);
                read(headers, name, &mut hasher);
            }
            if let Some(ignored) = &rules.model_api {
                for name in &OF_MODEL_APIS {
                    read(headers, name, &mut hasher);
                }
                ignored.hash(&mut hasher);
            }
            asked.hash(&mut hasher);
            hasher.finish()
        };
        Self(hash(0), hash(1))
    }
}

fn read(headers: &HeaderMap, name: &HeaderName, hasher: &mut impl std::hash::Hasher) {
    let mut values = 0_usize;
    for value in headers.get_all(name) {
        value.as_bytes().hash(hasher);
        values += 1;
    }
    // Where one list of values ends and the next begins.
    values.hash(hasher);
}
