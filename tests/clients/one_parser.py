"""Keeps Python's parser to one thread at a time. CPython up to 3.11 counts the depth of the tree that it builds in one number for all threads
(python/cpython#106905), and lets others in whenever a collection runs Python code: then `ast.parse` fails with a `SystemError`, and with it whatever
Hypothesis was about to describe. That it does without this and does not with it is told in schemathesis_contract.py."""

import ast
import functools
import threading


def keep():
    """Puts a lock around `ast.parse`, through which Hypothesis and schemathesis reach the parser."""
    parse, alone = ast.parse, threading.RLock()

    @functools.wraps(parse)
    def parse_alone(*arguments, **named):
        with alone:
            return parse(*arguments, **named)

    ast.parse = parse_alone
