//! The page of row 6 and the files that it is made of, all of them embedded. There is no data in them: the page asks the API for it, as any client does.

use std::sync::LazyLock;

use axum::body::Body as HttpBody;
use http::{
    HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH, LOCATION, VARY},
};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    api::Api,
    parameter::Parameter,
    refusal::Refusal,
    route::{Access, Asked, Reply, Route},
};

pub(super) const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// Nothing but files of this very origin, none of it written into the page itself, and no text that becomes markup or code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the page.
struct File {
    name: &'static str,
    media_type: &'static str,
    content: &'static str,
    /// What it has as long as its content is the same.
    etag: LazyLock<HeaderValue, Box<dyn FnOnce() -> HeaderValue + Send>>,
}

impl File {
    fn new(name: &'static str, media_type: &'static str, content: &'static str) -> Self {
        let etag = move || {
            let digest = Sha256::digest(content);
            let tag = u128::from_be_bytes(*digest.first_chunk().expect("it has 32 bytes"));
            HeaderValue::try_from(format!("\"{tag:032x}\"")).expect("hexadecimal digits in quotes are a header")
        };
        Self { name, media_type, content, etag: LazyLock::new(Box::new(etag)) }
    }
}

static PAGE: LazyLock<File> =
    LazyLock::new(|| File::new("index.html", HTML, include_str!("../../assets/dashboard/index.html")));

/// The files beside the page, each with its name below `dashboard/assets/`.
static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    macro_rules! files {
        ($($media_type:ident $folder:literal: $($name:literal)*;)*) => {
            vec![$($(File::new($name, $media_type, include_str!(concat!("../../assets/", $folder, "/", $name))),)*)*]
        };
    }
    files! {
        CSS "dashboard": "theme.css" "layout.css" "parts.css";
        JAVASCRIPT "dashboard":
            "main.js" "access.js" "alerts.js" "api.js" "audit.js" "breakers.js" "change.js" "charts.js" "configuration.js" "confirm.js"
            "connection.js" "detail.js" "diff.js" "dom.js" "events.js" "format.js" "history.js" "keys.js" "known.js" "operations.js" "problem.js" "row.js"
            "spark.js" "stages.js" "state.js" "storage.js" "summary.js" "theme.js" "timeline.js";
        SVG "dashboard": "icon.svg";
        CSS "uplot": "uPlot.min.css";
        JAVASCRIPT "uplot": "uPlot.esm.js";
        TEXT "uplot": "LICENSE";
    }
});

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/dashboard/",
            ("dashboard_with_slash", "dashboard_retrieval"),
            "Leads to `/dashboard`, from where the page finds its files.",
            |_: &Api, _: &Asked| slash(),
        )
        .access(Access::Open)
        .successes(&[308])
        .only_texts(&[TEXT]),
        Route::new(
            Method::GET,
            "/dashboard/assets/{name}",
            ("dashboard_asset", "dashboard_retrieval"),
            "A file that the dashboard's page is made of.",
            |_: &Api, asked: &Asked| asset(asked),
        )
        .access(Access::Open)
        .parameters(const { &[Parameter::path("name", "The file.")] })
        .successes(&[200, 304])
        .only_texts(&[CSS, JAVASCRIPT, SVG, TEXT])
        .refusals(&[404]),
    ]
}

/// The page itself, for whoever asks: there is nothing in it.
pub(super) fn page<T: Serialize + JsonSchema>(asked: &Asked) -> Reply<T> {
    send(&PAGE, asked)
        .header(VARY, HeaderValue::from_static("accept"))
        .header(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))
}

fn slash() -> Reply<()> {
    // Relative, and so right wherever the API is nested.
    Reply::text(TEXT, String::new())
        .status(StatusCode::PERMANENT_REDIRECT)
        .header(LOCATION, HeaderValue::from_static("../dashboard"))
}

fn asset(asked: &Asked) -> Result<Reply<()>, Refusal> {
    let name = asked.given.path("name");
    FILES.iter().find(|it| it.name == name).map(|it| send(it, asked)).ok_or_else(Refusal::not_found)
}

/// A file, or only that it is still the same.
fn send<T>(file: &'static File, asked: &Asked) -> Reply<T> {
    let etag = (*file.etag).clone();
    let own = etag.to_str().unwrap_or_default();
    let is_known = asked.header(&IF_NONE_MATCH).is_some_and(|known| {
        known.split(',').map(str::trim).any(|it| it == "*" || it.strip_prefix("W/").unwrap_or(it) == own)
    });
    let body = if is_known { HttpBody::empty() } else { HttpBody::from(file.content) };
    let status = if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    // Another version of the program has other files under the same names.
    Reply::stream(file.media_type, body)
        .status(status)
        .header(ETAG, etag)
        .header(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static File> {
        FILES.iter().chain([&*PAGE])
    }

    /// Ours: what others wrote keeps their comments.
    fn own() -> impl Iterator<Item = &'static File> {
        all().filter(|it| !it.name.starts_with("uPlot") && it.name != "LICENSE")
    }

    #[test]
    fn page_has_neither_script_nor_style_in_it() {
        let page = PAGE.content.to_lowercase();
        for (index, _) in page.match_indices("<script") {
            let (tag, after) = page[index..].split_once('>').unwrap();
            assert!(tag.contains("src=") && after.starts_with("</script>"), "{tag}");
        }
        for forbidden in ["<style", "style=", "javascript:", "<base", "<iframe", "<object", "<form"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        let is_handler = |it: &str| it.strip_prefix("on").is_some_and(|it| it.split_once('=').is_some());
        assert!(!page.split_whitespace().any(is_handler));
    }

    #[test]
    fn every_file_is_referred_to_by_another_and_every_reference_is_a_file() {
        for file in FILES.iter().filter(|it| it.name != "LICENSE") {
            let refers = |it: &&File| {
                it.name != file.name
                    && (it.content.contains(&format!("\"./{}\"", file.name))
                        || it.content.contains(&format!("\"dashboard/assets/{}\"", file.name)))
            };
            assert!(all().any(|it| refers(&it)), "nobody refers to {}", file.name);
        }
        for file in own() {
            for prefix in ["from \"./", "import \"./", "\"dashboard/assets/"] {
                for part in file.content.split(prefix).skip(1) {
                    let name = part.split('"').next().unwrap();
                    assert!(FILES.iter().any(|it| it.name == name), "{} refers to {name}", file.name);
                }
            }
        }
    }

    #[test]
    fn nothing_leads_to_another_host() {
        for file in own() {
            for scheme in ["http://", "https://", "\"//", "ws://", "wss://", "url(", "@import"] {
                let content = file.content.replace("http://www.w3.org/2000/svg", "");
                assert!(!content.contains(scheme), "{scheme} in {}", file.name);
            }
        }
    }

    #[test]
    fn text_never_becomes_markup_or_code() {
        for file in all().filter(|it| it.media_type == JAVASCRIPT) {
            for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
                assert!(!file.content.contains(sink), "{sink} in {}", file.name);
            }
        }
    }

    #[test]
    fn every_script_says_what_it_is() {
        for file in own().filter(|it| it.media_type == JAVASCRIPT) {
            assert!(file.content.starts_with("// "), "{}", file.name);
        }
    }
}
