"""The official OpenAI client through the gateway, before a model server with faults: completions, streams, errors, its own retries and those of the gateway."""

import asyncio
import time

import httpx2
import openai
from support import PATIENCE, Gateway, Model, check, eventually, main

# What makes the gateway one for model APIs.
PROFILE = {"classify": {"profile": "model_api"}}
BACKOFF = {"backoff": {"base": "10ms", "min": "10ms", "max": "50ms"}, "jitter": {"kind": "none"}}
CIRCUIT = {"circuit_breaker": {"failure_threshold": 1000}}
QUICK = PROFILE | CIRCUIT | {"retry": {"max_attempts": 3} | BACKOFF, "http": {"attempt_header": "x-attempt"}}
ONCE = PROFILE | CIRCUIT | {"retry": {"max_attempts": 1}}

TEXT = "one two three four five six"
MESSAGES = [{"role": "user", "content": "Count to six."}]


def client_of(gateway, kind=openai.OpenAI, max_retries=0):
    """A client without retries of its own, so that those of the gateway are what is seen."""
    return kind(api_key="sk-nobody", base_url=f"{gateway.url}/v1", max_retries=max_retries, timeout=PATIENCE)


def complete(client, **more):
    return client.chat.completions.create(model="fake-1", messages=MESSAGES, **more)


def raised(kind, ask):
    """The error that `ask` ends with."""
    try:
        answer = ask()
    except kind as error:
        return error
    raise AssertionError(f"no {kind} but {answer}")


def text_of(chunk):
    return chunk.choices[0].delta.content or "" if chunk.choices else ""


@check
def completion_comes_through_two_failures(stack):
    model = Model(stack, {"status": 503}, {"status": 503}, {})
    gateway = Gateway(stack, model.url, QUICK)
    answer = complete(client_of(gateway))
    assert answer.choices[0].message.content == TEXT, answer
    assert answer.usage.total_tokens == 15, answer
    log = model.log()
    assert [(it["headers"]["x-attempt"], it["status"]) for it in log] == [("1", 503), ("2", 503), ("3", 200)], log
    # Each attempt had the whole request, key and all.
    assert all(it["is_complete"] and it["body_len"] == log[0]["body_len"] > 0 for it in log), log
    assert all(it["headers"]["authorization"] == "Bearer sk-nobody" for it in log), log


@check
def completion_comes_through_broken_connections(stack):
    model = Model(stack, {"reset": True}, {"reset": True}, {})
    gateway = Gateway(stack, model.url, QUICK)
    assert complete(client_of(gateway)).choices[0].message.content == TEXT
    assert len(model.log()) == 3


@check
def provider_that_asks_for_a_second_gets_it(stack):
    model = Model(stack, {"status": 429, "retry_after": 1}, {})
    gateway = Gateway(stack, model.url, QUICK)
    began = time.monotonic()
    answer = complete(client_of(gateway))
    took = time.monotonic() - began
    assert answer.choices[0].message.content == TEXT, answer
    assert 1 <= took < 5, took
    assert [it["status"] for it in model.log()] == [429, 200], model.log()


@check
def chunks_arrive_one_by_one(stack):
    # The server holds the rest of the stream back until the client has seen its beginning.
    model = Model(stack, {"hold_after": 1})
    gateway = Gateway(stack, model.url, QUICK)
    stream = complete(client_of(gateway), stream=True, stream_options={"include_usage": True})
    first = next(stream)
    assert text_of(first) == "one", first
    assert model.log()[0]["items"] == 1, model.log()
    model.release()
    rest = list(stream)
    assert "".join(map(text_of, [first, *rest])) == TEXT, rest
    assert rest[-1].usage.total_tokens == 15, rest[-1]
    eventually("nothing is in flight", gateway.is_idle)
    # The client reads no further than `[DONE]`, and closes the stream: that is no call that was abandoned.
    assert gateway.metric("rampart_calls_total", outcome="success") == 1


@check
def stream_that_failed_before_it_began_is_asked_for_again(stack):
    model = Model(stack, {"status": 503}, {"reset": True}, {})
    gateway = Gateway(stack, model.url, QUICK)
    stream = complete(client_of(gateway), stream=True)
    assert "".join(map(text_of, stream)) == TEXT
    assert len(model.log()) == 3, model.log()


@check
def stream_that_breaks_in_the_middle_is_an_error_and_is_not_asked_for_again(stack):
    model = Model(stack, {"sse_reset_after": 3}, {"sse_error_after": 3, "error_type": "server_error"})
    gateway = Gateway(stack, model.url, QUICK)
    client = client_of(gateway)
    for kind in ((httpx2.TransportError, openai.APIConnectionError), openai.APIError):
        seen = []

        def read():
            for chunk in complete(client, stream=True):
                seen.append(text_of(chunk))

        raised(kind, read)
        assert seen == ["one", " two", " three"], seen
    assert len(model.log()) == 2, model.log()
    eventually("nothing is in flight", gateway.is_idle)
    assert gateway.metric("rampart_calls_total", outcome="failure") == 2


@check
def stream_whose_first_item_is_an_error_is_asked_for_again(stack):
    model = Model(stack, {"sse_error_first": True}, {})
    gateway = Gateway(stack, model.url, QUICK)
    assert "".join(map(text_of, complete(client_of(gateway), stream=True))) == TEXT
    assert len(model.log()) == 2, model.log()


@check
def stream_that_falls_silent_is_ended_and_counted(stack):
    model = Model(stack, {"stall_after": 2})
    gateway = Gateway(stack, model.url, QUICK | {"timeout": {"attempt": "700ms"}, "http": {"outcome_at": "end_of_body"}})
    began = time.monotonic()
    seen = []

    def read():
        for chunk in complete(client_of(gateway), stream=True):
            seen.append(text_of(chunk))

    raised((httpx2.TransportError, openai.APIConnectionError), read)
    assert seen == ["one", " two"], seen
    assert 0.7 <= time.monotonic() - began < 5
    assert len(model.log()) == 1
    assert gateway.metric("rampart_calls_total", outcome="failure") == 1
    eventually("nothing is in flight", gateway.is_idle)


@check
def exhausted_quota_is_not_asked_again_but_elsewhere(stack):
    fault = {"status": 429, "error_type": "insufficient_quota", "error_code": "insufficient_quota"}
    model = Model(stack, fault, fault)
    gateway = Gateway(stack, model.url, QUICK)
    error = raised(openai.RateLimitError, lambda: complete(client_of(gateway)))
    assert error.code == "insufficient_quota", error
    assert len(model.log()) == 1
    other = Model(stack)
    gateway = Gateway(stack, model.url, QUICK, "--fallback-upstream", other.url)
    assert complete(client_of(gateway)).choices[0].message.content == TEXT
    assert (len(model.log()), len(other.log())) == (2, 1)


@check
def client_that_closes_its_stream_leaves_nothing_behind(stack):
    model = Model(stack, {"stall_after": 2})
    gateway = Gateway(stack, model.url, QUICK)
    stream = complete(client_of(gateway), stream=True)
    assert text_of(next(stream)) == "one"
    assert gateway.metric("rampart_gateway_in_flight") == 1
    stream.close()
    eventually("nothing is in flight", gateway.is_idle)
    assert not model.log()[0]["is_over"], model.log()


@check
def last_answer_of_the_provider_comes_back_as_it_was(stack):
    fault = {"status": 500, "error_type": "server_error", "error_code": "boom"}
    model = Model(stack, *[fault] * 3)
    gateway = Gateway(stack, model.url, QUICK)
    error = raised(openai.InternalServerError, lambda: complete(client_of(gateway)))
    assert (error.status_code, error.type, error.code) == (500, "server_error", "boom"), error
    assert len(model.log()) == 3
    model = Model(stack, {"status": 401}, {"status": 400})
    gateway = Gateway(stack, model.url, QUICK)
    raised(openai.AuthenticationError, lambda: complete(client_of(gateway)))
    raised(openai.BadRequestError, lambda: complete(client_of(gateway)))
    assert len(model.log()) == 2


@check
def provider_that_is_gone_is_an_error_with_a_status(stack):
    model = Model(stack)
    document = QUICK | {"circuit_breaker": {"failure_threshold": 2, "recovery_timeout": "1m"}}
    gateway = Gateway(stack, model.url, document)
    client = client_of(gateway)
    model.kill()
    for _ in range(2):
        error = raised(openai.InternalServerError, lambda: complete(client))
        assert error.status_code == 502, error
        body = error.response.json()
        assert (body["error_code"], body["operation"]) == ("UpstreamUnreachable", "default"), body
        assert error.body == body["error"] == "the upstream cannot be reached", error.body
    error = raised(openai.InternalServerError, lambda: complete(client))
    assert (error.status_code, error.response.json()["error_code"]) == (503, "CircuitOpen"), error
    assert 50 <= int(error.response.headers["retry-after"]) <= 60, error.response.headers
    # A stream is refused as any other call is: before it began.
    error = raised(openai.InternalServerError, lambda: complete(client, stream=True))
    assert error.status_code == 503, error


@check
def limited_client_gets_a_rate_limit_error_with_the_time(stack):
    model = Model(stack)
    gateway = Gateway(stack, model.url, QUICK | {"rate_limit": {"requests_per_minute": 1, "burst_size": 1}})
    client = client_of(gateway)
    complete(client)
    error = raised(openai.RateLimitError, lambda: complete(client))
    assert 50 <= int(error.response.headers["retry-after"]) <= 60, error.response.headers
    assert error.response.json()["error_code"] == "RateLimited", error
    # However often: a refusal does not cost the client its connection, though it comes before the request was read.
    for _ in range(100):
        raised(openai.RateLimitError, lambda: complete(client))
    assert len(model.log()) == 1


@check
def tokens_are_limited_by_what_was_used_and_not_by_what_was_feared(stack):
    model = Model(stack)
    gateway = Gateway(stack, model.url, QUICK | {"rate_limit": {"tokens_per_minute": 60}})
    client = client_of(gateway)
    feared = {"extra_headers": {"x-resilience-tokens": "40"}}
    # Each uses 15 of what it reserves: two calls leave 30, and a little more by then.
    complete(client, **feared)
    list(complete(client, stream=True, stream_options={"include_usage": True}, **feared))
    error = raised(openai.RateLimitError, lambda: complete(client, **feared))
    assert 1 <= int(error.response.headers["retry-after"]) <= 10, error.response.headers
    assert error.response.json()["stage"] == "rate_limit", error.response.json()
    assert len(model.log()) == 2


@check
def client_with_retries_of_its_own_waits_as_the_gateway_asks(stack):
    model = Model(stack)
    gateway = Gateway(stack, model.url, ONCE | {"rate_limit": {"requests_per_minute": 40, "burst_size": 1}})
    client = client_of(gateway, max_retries=2)
    complete(client)
    began = time.monotonic()
    assert complete(client).choices[0].message.content == TEXT
    assert 1 <= time.monotonic() - began < 5
    log = model.log()
    assert [it["headers"]["x-stainless-retry-count"] for it in log] == ["0", "1"], log


@check
def retries_of_both_sides_multiply_and_end(stack):
    model = Model(stack, *[{"status": 503}] * 5, {})
    gateway = Gateway(stack, model.url, QUICK)
    assert complete(client_of(gateway, max_retries=2)).choices[0].message.content == TEXT
    log = model.log()
    seen = [(it["headers"]["x-stainless-retry-count"], it["headers"]["x-attempt"]) for it in log]
    assert seen == [("0", "1"), ("0", "2"), ("0", "3"), ("1", "1"), ("1", "2"), ("1", "3")], seen


@check
def client_that_runs_out_of_time_leaves_nothing_behind(stack):
    model = Model(stack, {"stall_ms": 60_000})
    gateway = Gateway(stack, model.url, QUICK)
    raised(openai.APITimeoutError, lambda: complete(client_of(gateway).with_options(timeout=0.5)))
    eventually("nothing is in flight", gateway.is_idle)
    assert gateway.metric("rampart_calls_total", outcome="abandoned") == 1
    assert len(model.log()) == 1


@check
def many_at_once_all_come_through_a_provider_that_fails_every_third(stack):
    model = Model(stack, *[{"status": 503}, {}, {}] * 20)
    document = QUICK | {"retry": QUICK["retry"] | {"max_attempts": 8, "budget": {"enabled": False}}}
    gateway = Gateway(stack, model.url, document)

    async def all_of_them():
        async with client_of(gateway, openai.AsyncOpenAI) as client:
            return await asyncio.gather(*(complete(client) for _ in range(40)))

    answers = asyncio.run(all_of_them())
    assert all(it.choices[0].message.content == TEXT for it in answers), answers
    assert len(model.log()) == 60, len(model.log())
    assert gateway.metric("rampart_retries_total") == 20
    eventually("nothing is in flight", gateway.is_idle)


main("openai")
