"""schemathesis over the OpenAPI document of a management API that traffic runs below: what is sent is made from the document, and every answer is held
against it. How it is told what to do is in contract.toml and contract_hooks.py."""

import ast
import gc
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import one_parser
from support import Service, check, dies_with_parent, main

HERE = pathlib.Path(__file__).resolve().parent
# The longest that one run may take, in seconds: two minutes on two cores, and several times that where others use them too.
LONGEST = 600
# What an answer's own shape is, whatever it answers.
SHAPES = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "allow_header_conformance",
]


def schemathesis(stack, service, examples, *arguments, **environment):
    """Runs it; the answers by operation and status."""
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    document = folder / "openapi.json"
    document.write_bytes(service.get("/openapi.json"))
    answers = folder / "answers.json"
    environment = os.environ | environment | {
        "CONTRACT_HOOKS": str(HERE / "contract_hooks.py"), "CONTRACT_ANSWERS": str(answers),
        "PYTHONPATH": str(HERE),
    }
    program = pathlib.Path(sys.executable).parent / "schemathesis"
    # One worker: more than that wait for Python's lock, and the seed would say nothing about the order.
    command = [program, "--config-file", HERE / "contract.toml", "run", document, "--url", service.url, "--no-color",
               "--workers", "1", "--max-examples", str(examples), *arguments]
    done = subprocess.run(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LONGEST,
        preexec_fn=dies_with_parent,
    )
    if done.returncode != 0:
        print(done.stdout, file=sys.stderr)
    assert done.returncode == 0, f"schemathesis ended with {done.returncode}"
    return json.loads(answers.read_text())


def operations(service):
    document = json.loads(service.get("/openapi.json"))
    return {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}


def statuses(answers):
    return {status for counts in answers.values() for status in counts}


@check
def whoever_may_write_gets_what_the_document_says(stack):
    service = Service(stack)
    answers = schemathesis(stack, service, 12, CONTRACT_KEY=service.WRITER)
    asked = operations(service)
    assert len(asked) >= 51 and set(answers) == asked, asked ^ set(answers)
    never = {it for it in asked if not SUCCESSES & set(answers[it])} - UNMET
    assert not never, f"nothing succeeded at {never}"
    print(f"schemathesis: {sum(sum(it.values()) for it in answers.values())} requests to {len(asked)} operations")


# What a route answers where nothing is wrong; 308 leads to the dashboard.
SUCCESSES = {"200", "201", "308"}
# The number of an override and the name of a key cannot be guessed.
UNMET = {"DELETE /config/overrides/{id}", "POST /keys/{operation}/{id}/reset"}


@check
def whoever_has_no_key_gets_nothing_and_no_error_of_the_server(stack):
    service = Service(stack)
    checks = ",".join([*SHAPES, "nobody_is_let_in"])
    # They are refused before anything is read: a few of what is made, right and wrong, tell as much as all of it.
    answers = schemathesis(
        stack, service, 6, "--checks", checks, "--phases", "fuzzing", CONTRACT_KEY="", CONTRACT_NOBODY="1",
    )
    assert set(answers) == operations(service), answers


@check
def whoever_asks_too_often_is_told_so_as_the_document_says(stack):
    service = Service(stack, limits="tight")
    answers = schemathesis(
        stack, service, 6, "--checks", ",".join(SHAPES), "--phases", "fuzzing", CONTRACT_KEY=service.WRITER,
    )
    told = [it for it, counts in answers.items() if "429" in counts]
    assert "200" in statuses(answers) and len(told) > len(answers) / 2, answers


class Circle:
    """Only a collection ends it, and then runs Python code, during which the interpreter may let another thread in."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        sum(range(5))


def parse_for(seconds, depth, failed):
    """Parses without pause that many calls down; what fails is added to the list."""
    if depth > 0:
        return parse_for(seconds, depth - 1, failed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        Circle()
        try:
            ast.parse("f(lambda x: [x + 1 for y in z if (y, (x, [1, 2, {3: 4}]))])\n" * 60)
        except SystemError as error:
            failed.append(error)


@check
def source_is_parsed_in_several_threads_without_an_error_of_the_interpreter(stack):
    stack.callback(sys.setswitchinterval, sys.getswitchinterval())
    stack.callback(gc.set_threshold, *gc.get_threshold())
    stack.callback(setattr, ast, "parse", ast.parse)
    sys.setswitchinterval(1e-6)
    gc.set_threshold(20)
    one_parser.keep()
    failed = []
    threads = [threading.Thread(target=parse_for, args=(2, 40 * it, failed)) for it in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, f"{len(failed)} times: {failed[0]}"


main("schemathesis")
