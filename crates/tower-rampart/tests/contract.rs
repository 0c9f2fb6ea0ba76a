//! One contract for every layer: readiness, clones, concurrent calls, drops at every point, panics, and what the books say afterwards.
//!
//! The checks are `support/checks.rs`, `support/cut.rs` and `support/panics.rs`; this is the list of what they are run on. Error types are in `contract_errors.rs`.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

macro_rules! contract {
    ($($module:ident :: $subject:ident),+ $(,)?) => {$(
        mod $subject {
            use crate::support::{checks, cut, panics, $module::$subject as subject};

            contract!(@ subject in checks:
                pending_readiness_is_awaited,
                the_readied_instance_is_the_one_that_is_called,
                readiness_error_surfaces,
                readied_and_dropped_leaks_nothing,
                clones_and_layers_share_one_state,
                clones_carry_no_permit,
                concurrent_calls_are_answered_each_for_itself,
                an_answer_at_once_is_handed_on_at_once,
                a_service_that_is_never_ready_holds_nothing,
                a_call_that_never_ends_is_bounded_or_can_be_dropped,
                a_failure_surfaces_is_retried_or_falls_back,
            );
            contract!(@ subject in cut: a_call_can_be_dropped_at_every_point,);
            contract!(@ subject in panics:
                a_panic_unwinds_to_the_caller_and_is_a_failure,
                a_panic_amid_others_harms_none_of_them,
            );
        }
    )+};
    (@ $subject:ident in $module:ident: $($check:ident,)+) => {$(
        #[tokio::test(start_paused = true)]
        async fn $check() {
            $module::$check($subject).await;
        }
    )+};
}

contract!(
    subjects::closed_circuit,
    subjects::windowed_circuit,
    subjects::half_open_circuit,
    subjects::retry,
    subjects::rate_limit_that_rejects,
    subjects::rate_limit_that_waits,
    subjects::concurrency_limit_that_rejects,
    subjects::concurrency_limit_that_queues,
    subjects::adaptive_concurrency_limit,
    subjects::hedge,
    subjects::timeout,
    subjects::throttle,
    subjects::priority,
    subjects::fallback_value,
    subjects::fallback_function,
    subjects::fallback_services,
    subjects::cache_that_misses,
    pipelines::pipeline_by_call,
    pipelines::pipeline_by_attempt,
    pipelines::pipeline_with_attempt_tokens,
    pipelines::pipeline_that_queues,
    pipelines::pipeline_that_waits,
    pipelines::pipeline_that_adapts,
    pipelines::pipeline_whose_attempts_wait,
    pipelines::half_open_pipeline_by_call,
    pipelines::half_open_pipeline_by_attempt,
    pipelines::pipeline_with_fallback,
    pipelines::pipeline_with_cache,
    pipelines::pipeline_that_hedges,
    pipelines::pipeline_that_hedges_by_attempt,
    pipelines::pipeline_in_shadow,
    pipelines::pipeline_with_priority,
    pipelines::pipeline_with_nested_retry,
    pipelines::pipeline_under_retry,
);

#[cfg(feature = "chaos")]
contract!(
    chaotic::chaos_that_is_late,
    chaotic::pipeline_with_chaos,
    chaotic::pipeline_with_chaos_by_attempt,
    chaotic::pipeline_with_chaos_that_hedges,
);

#[cfg(feature = "http")]
contract!(
    clients::http_client_by_head,
    clients::http_client_by_body,
    clients::http_client_by_body_and_attempt,
    clients::half_open_http_client_by_body,
);
