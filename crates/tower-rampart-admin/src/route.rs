//! One row of the table that both the router and the OpenAPI document are made from, so that they cannot differ. The rows stand beside what they serve;
//! `table.rs` puts them together.

use std::{fmt, time::Duration};

use axum::body::{Body as HttpBody, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    api::Api,
    caller::Caller,
    keys::Role,
    parameter::{Given, Parameter},
    print,
    refusal::Refusal,
};

/// Who may ask for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody; who has a key may get to see more.
    Open,
    /// Whoever has a key of this role.
    Role(Role),
    /// The same, but a browser that asks for a page gets it without a key: there is nothing in it.
    Page(Role),
}

/// A request that was let in, with all that it said.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) caller: Caller,
    pub(crate) given: Given,
    /// The path by which the client asked, with all that the API is nested below.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    /// The body as text.
    pub(crate) fn text(&self) -> Result<&str, Refusal> {
        std::str::from_utf8(&self.body).map_err(|error| {
            Refusal::validation("The body is no UTF-8 text").with("validation_errors", vec![error.to_string()])
        })
    }

    /// The body as a value.
    pub(crate) fn json<B: DeserializeOwned>(&self) -> Result<B, Refusal> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // The message may quote what was sent, which may be long.
            let message: String = error.to_string().chars().take(300).collect();
            Refusal::validation(format!("The body is not what is read here: {message}"))
                .with("validation_errors", vec![message])
        })
    }

    /// What a header says, if it is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|it| it.to_str().ok())
    }
}

/// What a handler answers.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) content: Content<T>,
}

#[derive(Debug)]
pub(crate) enum Content<T> {
    Json(T),
    Text { media_type: &'static str, text: String },
    Stream { media_type: &'static str, body: HttpBody },
}

impl<T> From<T> for Reply<T> {
    fn from(body: T) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), content: Content::Json(body) }
    }
}

impl<T> Reply<T> {
    pub(crate) fn text(media_type: &'static str, text: String) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), content: Content::Text { media_type, text } }
    }

    /// A body that comes bit by bit, for as long as it likes.
    pub(crate) fn stream(media_type: &'static str, body: HttpBody) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), content: Content::Stream { media_type, body } }
    }

    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// What a handler gives back: a reply, or one that may be a refusal.
pub(crate) trait IntoReply {
    type Body: Serialize + JsonSchema;

    fn into_reply(self) -> Result<Reply<Self::Body>, Refusal>;
}

impl<T: Serialize + JsonSchema> IntoReply for Reply<T> {
    type Body = T;

    fn into_reply(self) -> Result<Self, Refusal> {
        Ok(self)
    }
}

impl<T: Serialize + JsonSchema> IntoReply for Result<Reply<T>, Refusal> {
    type Body = T;

    fn into_reply(self) -> Self {
        self
    }
}

impl<T: Serialize> Reply<T> {
    /// With its body as it goes out.
    fn written(self) -> Written {
        let (media_type, body) = match self.content {
            Content::Json(body) => ("application/json", print::json(&body).into()),
            Content::Text { media_type, text } => (media_type, text.into()),
            Content::Stream { media_type, body } => (media_type, body),
        };
        Written { status: self.status, headers: self.headers, media_type, body }
    }
}

/// An answer as it goes out.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) media_type: &'static str,
    pub(crate) body: HttpBody,
}

type Handler = Box<dyn Fn(&Api, &Asked) -> Result<Written, Refusal> + Send + Sync>;

/// How a type is described, with what it refers to kept by the generator.
pub(crate) type Described = fn(&mut SchemaGenerator) -> Schema;

/// The body that a route reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    pub(crate) schema: Described,
    pub(crate) media_types: &'static [&'static str],
    pub(crate) required: bool,
}

/// One route.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// What errors and clients call it: the snake case of what it does.
    pub(crate) endpoint: &'static str,
    /// What errors call the thing that it does.
    pub(crate) operation: &'static str,
    /// What it answers, in one sentence.
    pub(crate) summary: &'static str,
    pub(crate) access: Access,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) body: Option<Body>,
    /// Statuses of success, each with the same body.
    pub(crate) successes: &'static [u16],
    pub(crate) answer: Described,
    /// Media types other than JSON that it can answer in.
    pub(crate) texts: &'static [&'static str],
    /// Whether it answers in none but those.
    pub(crate) is_text: bool,
    /// How long it may take, if that is longer than others may.
    pub(crate) patience: Duration,
    /// Statuses of refusals beyond those that every route has.
    pub(crate) refusals: &'static [u16],
    handler: Handler,
}

/// The media types of a body that is JSON.
pub(crate) const JSON: &[&str] = &["application/json"];

impl Route {
    /// A route without a body, for whoever has the role that its method needs: reading for GET, writing for all else.
    pub(crate) fn new<R, H>(
        method: Method,
        path: &'static str,
        (endpoint, operation): (&'static str, &'static str),
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        R: IntoReply,
        H: Fn(&Api, &Asked) -> R + Send + Sync + 'static,
    {
        let role = if method == Method::GET { Role::Read } else { Role::Write };
        Self {
            method,
            path,
            endpoint,
            operation,
            summary,
            access: Access::Role(role),
            parameters: &[],
            body: None,
            successes: &[200],
            answer: SchemaGenerator::subschema_for::<R::Body>,
            texts: &[],
            is_text: false,
            patience: Duration::ZERO,
            refusals: &[],
            handler: Box::new(move |api, asked| handler(api, asked).into_reply().map(Reply::written)),
        }
    }

    /// A route that reads a JSON body.
    pub(crate) fn taking<B, R, H>(
        method: Method,
        path: &'static str,
        names: (&'static str, &'static str),
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema,
        R: IntoReply,
        H: Fn(&Api, &Asked, &B) -> R + Send + Sync + 'static,
    {
        let route = Self::new(method, path, names, summary, move |api: &Api, asked: &Asked| {
            handler(api, asked, &asked.json()?).into_reply()
        });
        let schema = SchemaGenerator::subschema_for::<B>;
        Self { body: Some(Body { schema, media_types: JSON, required: true }), ..route }
    }

    pub(crate) fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// For whoever may read, although it is no GET: it changes nothing.
    pub(crate) fn readable(self) -> Self {
        self.access(Access::Role(Role::Read))
    }

    pub(crate) fn parameters(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }

    /// Reads a body that the handler takes as it is.
    pub(crate) fn body(self, body: Body) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(crate) fn successes(self, successes: &'static [u16]) -> Self {
        Self { successes, ..self }
    }

    pub(crate) fn texts(self, texts: &'static [&'static str]) -> Self {
        Self { texts, ..self }
    }

    /// Answers in these media types alone.
    pub(crate) fn only_texts(self, texts: &'static [&'static str]) -> Self {
        Self { texts, is_text: true, ..self }
    }

    /// May take so long, even where others may not.
    pub(crate) fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(crate) fn refusals(self, refusals: &'static [u16]) -> Self {
        Self { refusals, ..self }
    }

    pub(crate) fn serve(&self, api: &Api, asked: &Asked) -> Result<Written, Refusal> {
        (self.handler)(api, asked)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}
