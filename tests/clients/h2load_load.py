"""h2load through the gateway: many streams at once over few connections of HTTP/2, all of them answered."""

import re

from support import Gateway, Peer, check, eventually, main, run

QUICK = {"circuit_breaker": {"failure_threshold": 1000}}
REQUESTS = 5000


def h2load(*arguments):
    """How many succeeded, and the counts by class of status."""
    said = run("h2load", "--clients", 4, "--max-concurrent-streams", 100, "--requests", REQUESTS, *arguments)
    requests = re.search(r"requests: (\d+) total, .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", said)
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    assert requests and statuses, said
    return [int(it) for it in requests.groups()], [int(it) for it in statuses.groups()]


@check
def all_streams_are_answered(stack):
    gateway = Gateway(stack, Peer(stack).url, QUICK)
    requests, statuses = h2load(f"{gateway.url}/bytes/2000")
    assert requests == [REQUESTS, REQUESTS, REQUESTS, 0, 0], requests
    assert statuses == [REQUESTS, 0, 0, 0], statuses
    assert gateway.metric("rampart_gateway_answers_total") == REQUESTS
    eventually("nothing is in flight", gateway.is_idle)


@check
def uploads_of_all_streams_arrive_whole(stack):
    peer = Peer(stack)
    gateway = Gateway(stack, peer.url, QUICK)
    requests, statuses = h2load("--data", __file__, f"{gateway.url}/status/204")
    assert requests == [REQUESTS, REQUESTS, REQUESTS, 0, 0], requests
    assert statuses == [REQUESTS, 0, 0, 0], statuses
    with open(__file__, "rb") as file:
        size = len(file.read())
    seen = peer.seen()
    assert len(seen) == REQUESTS and all(it["bytes"] == size and it["is_complete"] for it in seen), len(seen)


@check
def streams_that_are_refused_are_answered_too(stack):
    gateway = Gateway(stack, Peer(stack).url, QUICK | {"concurrency": {"max_inflight": 3}})
    requests, statuses = h2load(f"{gateway.url}/chunks/1/20")
    # To h2load a 503 is a stream that failed; none of them may have been lost.
    assert requests[1] == REQUESTS and requests[4] == 0, requests
    assert statuses[0] > 0 and statuses[0] + statuses[3] == REQUESTS, statuses
    assert gateway.metric("rampart_rejections_total", stage="concurrency") == statuses[3], statuses
    eventually("nothing is in flight", gateway.is_idle)


main("h2load")
