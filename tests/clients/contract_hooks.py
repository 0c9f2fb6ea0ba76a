"""What schemathesis is told beyond its configuration: which rules of the document no generator can follow, and how long benchmarks may be. The
configuration is contract.toml."""

import atexit
import collections
import json
import os
import pathlib

import schemathesis

import one_parser

one_parser.keep()

ANSWERS = collections.defaultdict(collections.Counter)

# Iterations that a benchmark of a debug build does in no time; what lies out of range stays there.
FEW = 20


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Takes the rules out of the configuration document that forbid fields beside each other: what is made without them breaks them rarely, and is
    refused then. They only forbid: whatever is wrong without them is wrong with them."""
    for name, schema in raw_schema["components"]["schemas"].items():
        if name.startswith("ConfigurationDocument"):
            schema.pop("allOf", None)
            schema.pop("not", None)


def is_many(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and FEW < value <= 10_000


@schemathesis.hook
def map_query(context, query):
    if query and context.operation.path == "/performance/benchmark" and is_many(query.get("iterations")):
        query["iterations"] = FEW
    return query


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and context.operation.path == "/performance/benchmark" and is_many(body.get("iterations")):
        body["iterations"] = FEW
    return body


@schemathesis.hook
def after_call(context, case, response):
    """Counts the answers, for the story to read."""
    ANSWERS[f"{case.operation.method.upper()} {case.operation.path}"][str(response.status_code)] += 1


@atexit.register
def write_answers():
    pathlib.Path(os.environ["CONTRACT_ANSWERS"]).write_text(json.dumps(ANSWERS))


if "CONTRACT_NOBODY" in os.environ:

    @schemathesis.check
    def nobody_is_let_in(context, response, case):
        """Without a key nothing is answered but the bare health; what is sent makes no difference."""
        if case.operation.path.startswith("/health") and response.status_code in (200, 400, 503):
            assert case.operation.path == "/health" or response.status_code == 400, "the details are for those with a key"
            return
        # What the router or the connection refuses is refused to all.
        assert response.status_code in (401, 404, 405), f"nobody got {response.status_code}"
