"""A plain tonic client through the gateway, before a health server with faults. What the client sees is told in `tonic_client.rs`."""

from support import BINARIES, GRPC, Gateway, Health, check, eventually, main, run

ONCE = GRPC | {"retry": {"max_attempts": 1}}


def tell(story, url):
    run(BINARIES / "tonic-client", story, url)


def through(stack, document, *stories):
    """The gateway, once the stories have been told to it."""
    gateway = Gateway(stack, Health(stack).url, document)
    for story in stories:
        tell(story, gateway.url)
    eventually("nothing is in flight", gateway.is_idle)
    return gateway


@check
def client_and_server_understand_each_other_without_the_gateway(stack):
    url = Health(stack).url
    for story in ("unary", "codes", "streaming", "deadline", "leaving", "many"):
        tell(story, url)


@check
def answers_and_errors_pass_as_they_are(stack):
    through(stack, GRPC, "unary", "codes")


@check
def streams_pass_message_by_message(stack):
    through(stack, GRPC, "streaming")


@check
def deadline_is_kept_and_a_client_that_leaves_leaves_nothing_behind(stack):
    through(stack, GRPC, "deadline", "leaving")


@check
def many_calls_on_one_connection_are_answered(stack):
    gateway = through(stack, GRPC, "many")
    assert gateway.metric("rampart_calls_total", outcome="success") == 200


@check
def passing_faults_are_retried(stack):
    gateway = through(stack, GRPC, "retried")
    assert gateway.metric("rampart_retries_total") == 2


@check
def refusals_are_statuses(stack):
    gateway = through(stack, ONCE | {"rate_limit": {"requests_per_minute": 20, "burst_size": 1}}, "limited")
    assert gateway.metric("rampart_rejections_total", stage="rate_limit") == 2


@check
def server_that_is_gone_is_unavailable(stack):
    health = Health(stack)
    gateway = Gateway(stack, health.url, ONCE | {"circuit_breaker": {"failure_threshold": 2, "recovery_timeout": "1m"}})
    health.kill()
    tell("down", gateway.url)
    assert gateway.metric("rampart_rejections_total", stage="circuit_breaker") == 1
    eventually("nothing is in flight", gateway.is_idle)


main("tonic")
