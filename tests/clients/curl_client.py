"""curl through the gateway: methods, both versions of HTTP, uploads, clients that leave, refusals."""

import json
import re

from support import PATIENCE, Gateway, Model, Peer, certificate, check, eventually, main, run

# Quick retries, and a circuit that no story opens by accident.
QUICK = {
    "retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "10ms", "max": "50ms"}, "jitter": {"kind": "none"}},
    "circuit_breaker": {"failure_threshold": 1000},
}
ONCE = {"retry": {"max_attempts": 1}}
VERSIONS = {"--http1.1": "HTTP/1.1", "--http2-prior-knowledge": "HTTP/2"}
UPLOAD = 10 * 1024 * 1024


def curl(*arguments, expect=0, **more):
    return run("curl", "--silent", "--show-error", "--max-time", PATIENCE, *arguments, expect=expect, **more)


def ask(url, *arguments):
    """The status, the headers by lower-case name, the body."""
    head, _, body = curl("--include", url, *arguments).replace("\r\n", "\n").partition("\n\n")
    first, *fields = head.split("\n")
    return int(first.split()[1]), {name.lower(): value for name, value in (it.split(": ", 1) for it in fields)}, body


@check
def get_and_post_pass_over_both_versions(stack):
    peer = Peer(stack)
    gateway = Gateway(stack, peer.url, QUICK)
    for version, name in VERSIONS.items():
        said = curl(version, "--write-out", "%{http_code} %{http_version} %{size_download}", "--output", "/dev/null",
                    f"{gateway.url}/bytes/5000?a=b")
        assert said == f"200 {name.removeprefix('HTTP/')} 5000", said
        status, _, _ = ask(f"{gateway.url}/status/201", version, "--data", "a=1&b=2")
        assert status == 201, status
    posts = [it for it in peer.seen() if it["method"] == "POST"]
    assert [(it["bytes"], it["is_complete"]) for it in posts] == [(7, True)] * 2, posts
    assert posts[0]["headers"]["content-type"] == "application/x-www-form-urlencoded", posts
    assert gateway.is_idle()


@check
def tls_is_served_with_the_version_that_the_client_wants(stack):
    cert, key = certificate(stack)
    gateway = Gateway(stack, Peer(stack).url, QUICK, "--tls-cert", cert, "--tls-key", key)
    for version, spoken in {"--http1.1": "1.1", "--http2": "2"}.items():
        for tls in ("1.2", "1.3"):
            said = curl(version, f"--tlsv{tls}", "--tls-max", tls, "--cacert", cert, "--output", "/dev/null",
                        "--write-out", "%{http_code} %{http_version} %{size_download}", f"{gateway.url}/bytes/5000")
            assert said == f"200 {spoken} 5000", said
    # 60: the certificate is not known to whoever was not given it.
    curl(f"{gateway.url}/bytes/1", expect=60)


@check
def head_has_the_length_and_no_body(stack):
    gateway = Gateway(stack, Peer(stack).url, QUICK)
    for version in VERSIONS:
        status, headers, body = ask(f"{gateway.url}/bytes/5000", version, "--head")
        assert (status, headers["content-length"], body) == (200, "5000", ""), (status, headers, body)


@check
def chunked_upload_of_10_mb_is_streamed_once(stack):
    peer = Peer(stack)
    gateway = Gateway(stack, peer.url, QUICK)
    for version in VERSIONS:
        # From a pipe, whose length curl does not know.
        status = curl(version, "--upload-file", "-", "--output", "/dev/null", "--write-out", "%{http_code}",
                      f"{gateway.url}/status/200", input="x" * UPLOAD)
        assert status == "200", status
    seen = peer.seen()
    assert [(it["method"], it["bytes"], it["is_complete"]) for it in seen] == [("PUT", UPLOAD, True)] * 2, seen
    assert all("content-length" not in it["headers"] for it in seen), seen


@check
def refused_upload_of_10_mb_hears_why(stack):
    gateway = Gateway(stack, Peer(stack).url, QUICK | {"rate_limit": {"requests_per_minute": 1, "burst_size": 1}})
    assert ask(f"{gateway.url}/bytes/1")[0] == 200
    for version in VERSIONS:
        for length in (1000, UPLOAD):
            # Without `expect`, which would ask first.
            status = curl(version, "--header", "expect:", "--data-binary", "@-", "--output", "/dev/null",
                          "--write-out", "%{http_code}", f"{gateway.url}/status/200", input="x" * length)
            assert status == "429", status
    eventually("nothing is in flight", gateway.is_idle)


@check
def failed_get_is_sent_again_and_a_broken_connection_too(stack):
    model = Model(stack, {"status": 503}, {"reset": True}, {})
    gateway = Gateway(stack, model.url, QUICK | {"http": {"attempt_header": "x-attempt"}})
    status, _, body = ask(f"{gateway.url}/v1/models")
    assert (status, json.loads(body)["object"]) == (200, "list"), body
    assert [it["headers"].get("x-attempt") for it in model.log()] == ["1", "2", "3"], model.log()
    assert gateway.metric("rampart_retries_total") == 2


@check
def client_that_asks_is_told_of_its_call(stack):
    model = Model(stack, {"status": 503}, {}, {})
    gateway = Gateway(stack, model.url, QUICK)
    for version, attempts in zip(VERSIONS, "21"):
        _, headers, _ = ask(f"{gateway.url}/v1/models", version, "--header", "x-resilience-explain: 1")
        told = {name: value for name, value in headers.items() if name.startswith("x-resilience-")}
        assert told == {
            "x-resilience-attempts": attempts,
            "x-resilience-served-by": "primary",
            "x-resilience-class": "success",
        }, told
    _, headers, _ = ask(f"{gateway.url}/v1/models")
    assert not any(name.startswith("x-resilience-") for name in headers), headers
    assert all("x-resilience-explain" not in it["headers"] for it in model.log()), model.log()


@check
def trailers_reach_the_client(stack):
    gateway = Gateway(stack, Peer(stack).url, QUICK)
    for version in VERSIONS:
        said = curl(version, "--include", "--header", "te: trailers", f"{gateway.url}/trailers").lower()
        head, _, rest = said.replace("\r\n", "\n").partition("\n\n")
        assert "trailer: x-end" in head and "\nx-end:" not in head, said
        assert re.fullmatch(r"xxxxx\n?x-end: 1\n*", rest), said


@check
def client_that_leaves_in_the_middle_leaves_nothing_behind(stack):
    peer = Peer(stack)
    gateway = Gateway(stack, peer.url, QUICK)
    for version in VERSIONS:
        # 28: the time was over.
        curl(version, "--max-time", "0.5", "--output", "/dev/null", f"{gateway.url}/chunks/1000/100", expect=28)
        curl(version, "--max-time", "0.5", f"{gateway.url}/hang", expect=28)
        # An upload that is cut off: what arrived of it was never whole.
        curl(version, "--max-time", "0.7", "--limit-rate", "100k", "--upload-file", "-", f"{gateway.url}/status/200",
             expect=28, input="x" * UPLOAD)
    eventually("nothing is in flight", gateway.is_idle)
    uploads = [it for it in peer.seen() if it["method"] == "PUT"]
    assert uploads and not any(it["is_complete"] for it in uploads), uploads
    status, _, _ = ask(f"{gateway.url}/bytes/1")
    assert status == 200, status


@check
def answer_that_breaks_off_breaks_off(stack):
    gateway = Gateway(stack, Peer(stack).url, QUICK)
    # 18: cut short; 92: a stream of HTTP/2 that was reset.
    for version, code in zip(VERSIONS, (18, 92)):
        body = curl(version, f"{gateway.url}/torn", expect=code)
        assert body == "x" * 3072, len(body)


@check
def limited_client_is_told_when_to_come_back(stack):
    document = QUICK | {"rate_limit": {"requests_per_minute": 30, "burst_size": 1}}
    gateway = Gateway(stack, Peer(stack).url, document)
    for version in VERSIONS:
        eventually("one is admitted", lambda: ask(f"{gateway.url}/bytes/1", version)[0] == 200)
        status, headers, body = ask(f"{gateway.url}/bytes/1", version)
        assert (status, headers["content-type"]) == (429, "application/json"), (status, headers)
        assert headers["retry-after"] in ("1", "2"), headers
        assert (headers["ratelimit-limit"], headers["ratelimit-remaining"]) == ("1", "0"), headers
        body = json.loads(body)
        assert (body["error_code"], body["stage"], body["operation"]) == ("RateLimited", "rate_limit", "default"), body
        assert 0 < body["retry_after_ms"] <= 2000, body


@check
def open_circuit_is_a_503_and_problem_json_where_that_is_accepted(stack):
    peer = Peer(stack)
    document = ONCE | {"circuit_breaker": {"failure_threshold": 2, "recovery_timeout": "1m"}}
    gateway = Gateway(stack, peer.url, document)
    for _ in range(2):
        assert ask(f"{gateway.url}/status/500")[0] == 500
    for version in VERSIONS:
        status, headers, body = ask(f"{gateway.url}/bytes/1", version)
        assert (status, headers["content-type"]) == (503, "application/json"), (status, headers)
        assert 50 <= int(headers["retry-after"]) <= 60, headers
        assert json.loads(body)["error_code"] == "CircuitOpen", body
        status, headers, body = ask(f"{gateway.url}/bytes/1", version, "--header", "accept: application/problem+json")
        assert (status, headers["content-type"]) == (503, "application/problem+json"), (status, headers)
        body = json.loads(body)
        assert (body["status"], body["title"], body["stage"]) == (503, "Circuit open", "circuit_breaker"), body
    assert len(peer.seen()) == 2
    assert gateway.metric("rampart_rejections_total", stage="circuit_breaker") == 4


@check
def unreachable_upstream_is_a_502_and_a_silent_one_a_504(stack):
    peer = Peer(stack)
    gateway = Gateway(stack, peer.url, ONCE | {"timeout": {"attempt": "300ms"}})
    assert ask(f"{gateway.url}/hang")[0] == 504
    assert ask(f"{gateway.url}/broken")[0] == 502
    peer.kill()
    status, headers, body = ask(f"{gateway.url}/bytes/1")
    assert (status, json.loads(body)["error_code"]) == (502, "UpstreamUnreachable"), (status, headers, body)
    assert gateway.is_idle()


main("curl")
