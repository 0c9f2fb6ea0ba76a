//! The codes and types by which providers of model APIs name their errors. Where they stand in a body is known to `error`.
//!
//! Collected from the providers' own pages on errors: OpenAI, Azure OpenAI, Anthropic, Google (Gemini, the codes of `google.rpc`), Mistral, Cohere, Groq, DeepSeek,
//! Together, OpenRouter, Hugging Face and Amazon Bedrock. Only whole codes are known: a word within a message says nothing.

use tower_rampart_core::ProviderClass::{
    self, Authentication, Cancelled, Conflict, InvalidRequest, NotFound, Other, Overloaded, PermissionDenied,
    QuotaExhausted, RateLimited, RequestTooLarge, ServerError, Timeout,
};

/// What a code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It names the class, whatever the status is.
    Exactly(ProviderClass),
    /// It is a word for many errors, of which the status says more.
    Roughly(ProviderClass),
}

/// Written without separators and capitals, as [`said`] compares them.
const EXACT: &[(ProviderClass, &[&str])] = &[
    (
        RequestTooLarge,
        &[
            "contextlengthexceeded",
            "contextwindowexceeded",
            "maxcontextlengthexceeded",
            "payloadtoolarge",
            "prompttoolong",
            "requestentitytoolarge",
            "requesttoolarge",
            "stringabovemaxlength",
            "tokenslimitreached",
        ],
    ),
    (
        QuotaExhausted,
        &[
            "billingdisabled",
            "billingerror",
            "billinghardlimitreached",
            "billingnotactive",
            "creditlimit",
            "creditlimitexceeded",
            "creditsexhausted",
            "exceededcurrentquota",
            "exceededcurrentquotaerror",
            "insufficientbalance",
            "insufficientcredits",
            "insufficientfunds",
            "insufficientquota",
            "paymentrequired",
            "quotaexceeded",
            "servicequotaexceededexception",
        ],
    ),
    (
        RateLimited,
        &[
            "ratelimit",
            "ratelimited",
            "ratelimiterror",
            "ratelimitexceeded",
            "ratelimitreached",
            "resourceexhausted",
            "throttled",
            "throttlingexception",
            "toomanyrequests",
        ],
    ),
    (
        Overloaded,
        &[
            "capacityexceeded",
            "engineoverloaded",
            "modelnotreadyexception",
            "modeloverloaded",
            "nocapacity",
            "overloaded",
            "overloadederror",
            "serveroverloaded",
            "servicetiercapacityexceeded",
            "serviceunavailable",
            "serviceunavailableerror",
            "serviceunavailableexception",
            "slowdown",
            "unavailable",
        ],
    ),
    (
        Authentication,
        &[
            "accesstokenexpired",
            "accountdeactivated",
            "apikeyinvalid",
            "authenticationerror",
            "expiredtokenexception",
            "incorrectapikey",
            "invalidapikey",
            "invalidauthentication",
            "invalidauthenticationerror",
            "unauthenticated",
            "unauthorized",
            "unrecognizedclientexception",
        ],
    ),
    (
        PermissionDenied,
        &[
            "accessdenied",
            "accessdeniedexception",
            "forbidden",
            "insufficientpermissions",
            "permissiondenied",
            "permissionerror",
            "unsupportedcountryregionterritory",
        ],
    ),
    (
        NotFound,
        &[
            "deploymentnotfound",
            "invalidmodel",
            "modeldecommissioned",
            "modelnotavailable",
            "modelnotfound",
            "modelnotsupported",
            "notfound",
            "notfounderror",
            "resourcenotfoundexception",
        ],
    ),
    (
        Timeout,
        &["deadlineexceeded", "gatewaytimeout", "modeltimeoutexception", "requesttimeout", "timeout", "timeouterror"],
    ),
    (Conflict, &["aborted", "alreadyexists", "conflict", "conflicterror", "conflictexception"]),
    (Cancelled, &["cancelled", "clientclosedrequest", "requestcancelled"]),
    (InvalidRequest, &["contentfilter", "contentpolicyviolation", "responsibleaipolicyviolation"]),
];

const ROUGH: &[(ProviderClass, &[&str])] = &[
    (
        InvalidRequest,
        &[
            "badrequest",
            "badrequesterror",
            "failedprecondition",
            "invalidargument",
            "invalidrequest",
            "invalidrequesterror",
            "outofrange",
            "unprocessableentity",
            "validation",
            "validationerror",
            "validationexception",
        ],
    ),
    (
        ServerError,
        &[
            "apierror",
            "internal",
            "internalerror",
            "internalfailure",
            "internalservererror",
            "internalserverexception",
            "modelerrorexception",
            "servererror",
            "unknown",
        ],
    ),
];

/// What a code says, if it is known. Capitals and separators are passed over: providers write the same word in every way.
pub(super) fn said(code: &str) -> Option<Said> {
    // The longest known code has 33 letters; what is longer is no code.
    if code.len() > 64 {
        return None;
    }
    let code: String = code.chars().filter(char::is_ascii_alphanumeric).map(|it| it.to_ascii_lowercase()).collect();
    let find = |table: &[(ProviderClass, &[&str])]| {
        table.iter().find(|(_, codes)| codes.contains(&code.as_str())).map(|(class, _)| *class)
    };
    find(EXACT).map(Said::Exactly).or_else(|| find(ROUGH).map(Said::Roughly))
}

/// The class of a status alone; `None` for one that is no error.
///
/// | status | class |
/// |---|---|
/// | 400, 422, 4xx other than below | `invalid_request` |
/// | 401 | `authentication` |
/// | 402 | `quota_exhausted` |
/// | 403 | `permission_denied` |
/// | 404 | `not_found` |
/// | 408, 504 | `timeout` |
/// | 409 | `conflict` |
/// | 413 | `request_too_large` |
/// | 429 | `rate_limited` |
/// | 499 | `cancelled` |
/// | 503, 529 | `overloaded` |
/// | 500, 502, 5xx other than above | `server_error` |
/// | any other but 2xx | `other` |
pub(super) const fn of_status(status: u16) -> Option<ProviderClass> {
    Some(match status {
        200..=299 => return None,
        401 => Authentication,
        402 => QuotaExhausted,
        403 => PermissionDenied,
        404 => NotFound,
        408 | 504 => Timeout,
        409 => Conflict,
        413 => RequestTooLarge,
        429 => RateLimited,
        499 => Cancelled,
        503 | 529 => Overloaded,
        400..=499 => InvalidRequest,
        500..=599 => ServerError,
        _ => Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_known_however_they_are_written() {
        for (code, expected) in [
            ("insufficient_quota", Said::Exactly(QuotaExhausted)),
            ("context_length_exceeded", Said::Exactly(RequestTooLarge)),
            ("overloaded_error", Said::Exactly(Overloaded)),
            ("RESOURCE_EXHAUSTED", Said::Exactly(RateLimited)),
            ("ThrottlingException", Said::Exactly(RateLimited)),
            ("DeploymentNotFound", Said::Exactly(NotFound)),
            ("content-filter", Said::Exactly(InvalidRequest)),
            ("invalid_request_error", Said::Roughly(InvalidRequest)),
            ("INTERNAL", Said::Roughly(ServerError)),
        ] {
            assert_eq!(said(code), Some(expected), "{code}");
        }
    }

    #[test]
    fn words_within_a_text_are_no_code() {
        for text in [
            "",
            "429",
            "tokens",
            "You exceeded your current quota",
            "Rate limit reached on your billing plan",
            "insufficient_quota_or_not",
            &"x".repeat(10_000),
        ] {
            assert_eq!(said(text), None, "{text}");
        }
    }

    #[test]
    fn every_code_stands_once_as_it_is_compared() {
        let all: Vec<&str> = EXACT.iter().chain(ROUGH).flat_map(|(_, codes)| codes.iter().copied()).collect();
        let mut sorted = all.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), all.len());
        for code in all {
            assert!(code.bytes().all(|it| it.is_ascii_lowercase()) && code.len() <= 33, "{code}");
            assert!(said(code).is_some());
        }
    }

    #[test]
    fn every_status_but_a_success_has_a_class() {
        for status in 100..=999 {
            assert_eq!(of_status(status).is_none(), (200..300).contains(&status), "{status}");
        }
    }
}
