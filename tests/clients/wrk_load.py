"""wrk through the gateway, with an outage of the upstream in the middle: every request has an answer, and the numbers add up."""

import json
import pathlib
import threading
import time

from support import Gateway, Model, check, eventually, main, run

SECONDS = 5
CONNECTIONS = 16
STATUSES = pathlib.Path(__file__).with_name("statuses.lua")
DOCUMENT = {
    "retry": {"max_attempts": 2, "backoff": {"base": "10ms", "min": "10ms", "max": "20ms"}, "jitter": {"kind": "none"}},
    "circuit_breaker": {"failure_threshold": 5, "recovery_timeout": "200ms"},
}


def is_in(gateway, state):
    return gateway.metric("rampart_circuit_state", operation="default", state=state) == 1


@check
def outage_in_the_middle_leaves_no_request_without_an_answer(stack):
    model = Model(stack)
    gateway = Gateway(stack, model.url, DOCUMENT)
    said = []
    load = threading.Thread(
        target=lambda: said.append(
            run("wrk", "--threads", 2, "--connections", CONNECTIONS, "--duration", SECONDS, "--timeout", "5s",
                "--script", STATUSES, f"{gateway.url}/v1/models")
        )
    )
    load.start()
    eventually("traffic flows", lambda: gateway.metric("rampart_calls_total", outcome="success") > 100)
    time.sleep(1)
    model.kill()
    eventually("the circuit opens", lambda: is_in(gateway, "open"))
    time.sleep(1)
    restarted = Model(stack, port=model.port)
    eventually("traffic flows again", lambda: len(restarted.log()) > 100)
    # Now, for when wrk leaves, the calls that it gives up at once may open the circuit again.
    eventually("the circuit is closed", lambda: is_in(gateway, "closed"))
    load.join()

    seen = json.loads(said[0].splitlines()[-1])
    statuses = {int(code): count for code, count in seen["statuses"].items()}
    assert set(statuses) <= {200, 502, 503, 504}, statuses
    assert statuses[200] > 200 and statuses[503] > 0, statuses
    assert seen["connect"] == seen["read"] == seen["write"] == seen["timeout"] == 0, seen

    eventually("nothing is in flight", gateway.is_idle)
    calls = gateway.metric("rampart_calls_total")
    refused = gateway.metric("rampart_rejections_total", stage="circuit_breaker")
    abandoned = gateway.metric("rampart_calls_total", outcome="abandoned")
    answers = gateway.metric("rampart_gateway_answers_total")
    # When its time is over wrk leaves with a request on each connection: some have been answered, and were not counted by it.
    assert calls + refused == answers + abandoned, (calls, refused, answers, abandoned)
    assert 0 <= answers - sum(statuses.values()) <= CONNECTIONS, (answers, statuses)
    assert 0 <= refused - statuses[503] <= CONNECTIONS, (refused, statuses)
    successes = gateway.metric("rampart_calls_total", outcome="success")
    assert 0 <= successes - statuses[200] <= CONNECTIONS, (successes, statuses)
    attempts = gateway.metric("rampart_attempts_total")
    retries = gateway.metric("rampart_retries_total")
    assert attempts == calls + retries, (attempts, calls, retries)


main("wrk")
