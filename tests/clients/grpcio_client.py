"""Python's gRPC client through the gateway, before a health server with faults: answers, errors, streams, deadlines, refusals."""

import time

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from support import GRPC, PATIENCE, Gateway, Health, certificate, check, eventually, main

ONCE = GRPC | {"retry": {"max_attempts": 1}}
# What `health.rs` says of every call that it fails.
MESSAGE = "on purpose: 100 % süß\n"
DETAILS = b"\x00\x01details\xff"
CODES = {code.value[0]: code for code in grpc.StatusCode}


def stub_of(stack, url, cert=None):
    """A client without retries of its own, so that those of the gateway are what is seen."""
    options = [("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0)]
    address = url.split("://")[1]
    if cert:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(cert.read_bytes()), options)
    else:
        channel = grpc.insecure_channel(address, options)
    return HealthStub(stack.enter_context(channel))


def ask(stub, service, timeout=PATIENCE):
    """The answer, and what the server said beside it."""
    answer, call = stub.Check.with_call(HealthCheckRequest(service=service), timeout=timeout)
    assert answer.status == HealthCheckResponse.SERVING, answer
    return dict(call.initial_metadata())


def watch(stub, service, timeout=PATIENCE):
    return stub.Watch(HealthCheckRequest(service=service), timeout=timeout)


def raised(run):
    """The error that `run` ends with, and its metadata."""
    try:
        answer = run()
    except grpc.RpcError as error:
        return error, dict(error.trailing_metadata())
    raise AssertionError(f"no error but {answer}")


def assert_is_the_fault(error, metadata, code):
    assert (error.code(), error.details()) == (code, MESSAGE), error
    assert metadata["x-why"] == "because" and metadata["x-why-bin"] == DETAILS, metadata
    assert metadata["grpc-status-details-bin"] == DETAILS, metadata


def tell_codes(stub):
    # Of those that are never tried again.
    for number in (2, 3, 5, 6, 7, 9, 11, 12, 13, 15, 16):
        assert_is_the_fault(*raised(lambda: ask(stub, f"status={number}")), CODES[number])


def tell_streaming(stub):
    stream = watch(stub, "items=3&hold=1&status=15")
    next(stream)
    # The server goes on only now, that the first message has been seen.
    ask(stub, "release")
    next(stream), next(stream)
    assert_is_the_fault(*raised(lambda: next(stream)), grpc.StatusCode.DATA_LOSS)
    assert sum(1 for _ in watch(stub, "items=1000")) == 1000


def tell_leaving(stub):
    began = time.monotonic()
    error, _ = raised(lambda: ask(stub, "hang", timeout=0.3))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert time.monotonic() - began < 5
    stream = watch(stub, "items=3&hold=1")
    next(stream)
    stream.cancel()
    call = stub.Check.future(HealthCheckRequest(service="hang"))
    call.cancel()
    assert call.cancelled()


@check
def client_and_server_understand_each_other_without_the_gateway(stack):
    stub = stub_of(stack, Health(stack).url)
    assert ask(stub, "")["x-calls"] == "1"
    tell_codes(stub)
    tell_streaming(stub)
    tell_leaving(stub)


@check
def answers_and_errors_pass_as_they_are(stack):
    gateway = Gateway(stack, Health(stack).url, GRPC)
    stub = stub_of(stack, gateway.url)
    assert ask(stub, "")["x-calls"] == "1"
    tell_codes(stub)
    eventually("nothing is in flight", gateway.is_idle)


@check
def streams_pass_message_by_message(stack):
    gateway = Gateway(stack, Health(stack).url, GRPC)
    tell_streaming(stub_of(stack, gateway.url))
    eventually("nothing is in flight", gateway.is_idle)


@check
def calls_pass_over_tls(stack):
    cert, key = certificate(stack)
    gateway = Gateway(stack, Health(stack).url, GRPC, "--tls-cert", cert, "--tls-key", key)
    stub = stub_of(stack, gateway.url, cert)
    assert ask(stub, "")["x-calls"] == "1"
    tell_streaming(stub)


@check
def client_that_leaves_leaves_nothing_behind(stack):
    gateway = Gateway(stack, Health(stack).url, GRPC)
    tell_leaving(stub_of(stack, gateway.url))
    eventually("nothing is in flight", gateway.is_idle)


def seconds(timeout):
    """What `grpc-timeout` says."""
    return int(timeout[:-1]) * {"n": 1e-9, "u": 1e-6, "m": 1e-3, "S": 1, "M": 60, "H": 3600}[timeout[-1]]


@check
def deadline_reaches_the_server_and_has_not_grown(stack):
    gateway = Gateway(stack, Health(stack).url, GRPC)
    said = ask(stub_of(stack, gateway.url), "", timeout=10)["x-timeout"]
    assert 5 < seconds(said) <= 10, said


@check
def deadline_is_shortened_by_the_gateway_and_kept_by_it(stack):
    gateway = Gateway(stack, Health(stack).url, ONCE | {"timeout": {"attempt": "1s", "total": "3s"}})
    stub = stub_of(stack, gateway.url)
    said = ask(stub, "", timeout=10)["x-timeout"]
    assert 0 < seconds(said) <= 3, said
    began = time.monotonic()
    error, metadata = raised(lambda: ask(stub, "hang", timeout=10))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert metadata["x-resilience-stage"] == "timeout", metadata
    assert 1 <= time.monotonic() - began < 5
    eventually("nothing is in flight", gateway.is_idle)


@check
def passing_faults_are_retried_and_pushback_is_obeyed(stack):
    gateway = Gateway(stack, Health(stack).url, GRPC)
    stub = stub_of(stack, gateway.url)
    assert ask(stub, "status=14&times=2")["x-calls"] == "3"
    began = time.monotonic()
    assert ask(stub, "status=8&times=1&pushback=700")["x-calls"] == "2"
    assert 0.7 <= time.monotonic() - began < 5
    assert gateway.metric("rampart_retries_total") == 3


@check
def refusals_are_statuses(stack):
    gateway = Gateway(stack, Health(stack).url, ONCE | {"rate_limit": {"requests_per_minute": 20, "burst_size": 1}})
    stub = stub_of(stack, gateway.url)
    ask(stub, "")
    for refused in (lambda: ask(stub, ""), lambda: next(watch(stub, "items=1"))):
        error, metadata = raised(refused)
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
        assert metadata["x-resilience-stage"] == "rate_limit", metadata
        assert 0 < int(metadata["grpc-retry-pushback-ms"]) <= 3000, metadata


@check
def server_that_is_gone_is_unavailable(stack):
    health = Health(stack)
    gateway = Gateway(stack, health.url, ONCE | {"circuit_breaker": {"failure_threshold": 2, "recovery_timeout": "1m"}})
    stub = stub_of(stack, gateway.url)
    health.kill()
    for _ in range(2):
        error, _ = raised(lambda: ask(stub, ""))
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
    error, metadata = raised(lambda: ask(stub, ""))
    assert error.code() == grpc.StatusCode.UNAVAILABLE, error
    assert metadata["x-resilience-stage"] == "circuit_breaker", metadata


main("grpcio")
