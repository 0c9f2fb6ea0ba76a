//! Rows 23 and 24: the limits that documents are held to, and how many validations the caller has had.

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use tower_rampart::clock;
use tower_rampart_config::Limits;

use super::whitelist::allowed;
use crate::{
    api::Api,
    moment::{Moment, Seconds},
    route::{Asked, Reply, Route},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/config/validate/security-config",
            ("security_config", "security_configuration_retrieval"),
            "The limits that documents are held to.",
            security,
        ),
        Route::new(
            Method::GET,
            "/config/validate/rate-limit-status",
            ("validation_rate_limit_status", "rate_limit_status_retrieval"),
            "How many validations the caller has had, and may have.",
            status,
        ),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
struct SecurityConfig {
    security_limits: SecurityLimits,
    rate_limiting: RateLimiting,
    content_filtering: ContentFiltering,
    /// The names that may stand at a document's top level.
    allowed_fields: Vec<String>,
    forbidden_pattern_count: usize,
    validation_features: &'static [&'static str],
}

#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the words of the API")]
struct SecurityLimits {
    max_config_size_bytes: usize,
    /// Of a file that is watched.
    max_config_file_size_bytes: usize,
    max_string_length: usize,
    max_array_items: usize,
    max_object_properties: usize,
    max_nesting_depth: usize,
    max_request_body_bytes: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RateLimiting {
    max_validations_per_minute: u32,
    max_validations_per_hour: u32,
    validation_cooldown_seconds: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ContentFiltering {
    /// Categories of characters that neither keys nor texts may hold.
    forbidden_unicode_categories: &'static [&'static str],
    /// More of one character in a row make a warning.
    max_repeated_chars: u32,
}

const FEATURES: &[&str] = &[
    "size_and_shape_limits",
    "strict_json",
    "duplicate_keys_refused",
    "unknown_fields_refused",
    "forbidden_patterns",
    "unicode_filtering",
    "ranges_and_cross_field_rules",
    "merged_result_validated",
    "rate_limiting",
];

fn security(api: &Api, _asked: &Asked) -> Reply<SecurityConfig> {
    let limits = Limits::text();
    let answer = SecurityConfig {
        security_limits: SecurityLimits {
            max_config_size_bytes: limits.bytes,
            max_config_file_size_bytes: Limits::file().bytes,
            max_string_length: limits.characters,
            max_array_items: limits.items,
            max_object_properties: limits.properties,
            max_nesting_depth: limits.depth,
            max_request_body_bytes: api.body_limit(),
        },
        rate_limiting: RateLimiting {
            max_validations_per_minute: api.validations().per_minute,
            max_validations_per_hour: api.validations().per_hour,
            validation_cooldown_seconds: 0,
        },
        content_filtering: ContentFiltering {
            forbidden_unicode_categories: &["Cc", "Cf", "Co", "Cs"],
            max_repeated_chars: 10,
        },
        allowed_fields: allowed(),
        forbidden_pattern_count: tower_rampart_config::forbidden_patterns().count(),
        validation_features: FEATURES,
    };
    answer.into()
}

#[derive(Debug, Serialize, JsonSchema)]
struct RateLimitStatus {
    /// The caller itself: the name of its key, or its address.
    client_identifier: String,
    current_status: CurrentStatus,
    limits: StatusLimits,
    check_timestamp: Moment,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CurrentStatus {
    requests_last_minute: u32,
    requests_last_hour: u32,
    max_per_minute: u32,
    max_per_hour: u32,
    /// Seconds until the next validation is accepted; 0 if it is at once.
    cooldown_remaining: Seconds,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StatusLimits {
    max_validations_per_minute: u32,
    max_validations_per_hour: u32,
    /// There is none: it would make the limits unreachable.
    cooldown_seconds: u32,
}

fn status(api: &Api, asked: &Asked) -> Reply<RateLimitStatus> {
    let validations = api.validations();
    let of = validations.of(&asked.caller.id, clock::now());
    let answer = RateLimitStatus {
        client_identifier: asked.caller.id.to_string(),
        current_status: CurrentStatus {
            requests_last_minute: of.last_minute,
            requests_last_hour: of.last_hour,
            max_per_minute: validations.per_minute,
            max_per_hour: validations.per_hour,
            cooldown_remaining: Seconds(of.wait),
        },
        limits: StatusLimits {
            max_validations_per_minute: validations.per_minute,
            max_validations_per_hour: validations.per_hour,
            cooldown_seconds: 0,
        },
        check_timestamp: Moment::now(),
    };
    answer.into()
}
