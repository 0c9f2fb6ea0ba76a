"""What the stories of foreign clients share: the gateway and its peers as child processes, numbers, a runner. No story itself."""

import atexit
import contextlib
import ctypes
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

# The longest that anything here may take before the story fails, in seconds.
PATIENCE = 20
ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = (ROOT / os.environ.get("CARGO_TARGET_DIR", "target")).resolve()
BINARIES = TARGET / "debug"

# Loopback is not for whatever proxy the environment names.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"

# What makes the gateway one for gRPC, with quick retries and a circuit that no story opens by accident.
GRPC = {
    "classify": {"profile": "grpc"},
    "retry": {"max_attempts": 3, "backoff": {"base": "10ms", "min": "10ms", "max": "50ms"}, "jitter": {"kind": "none"}},
    "circuit_breaker": {"failure_threshold": 1000},
}

CHECKS = []
RUNNING = set()


def check(story):
    """Adds a story to those that `main` tells."""
    CHECKS.append(story)
    return story


def main(client):
    """Tells all stories, says in one line how they ended, and ends the program with that."""
    # Ends in good order: all children with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    failed, began = 0, time.monotonic()
    for story in CHECKS:
        try:
            with contextlib.ExitStack() as stack:
                story(stack)
        except Exception:
            failed += 1
            print(f"{client}: {story.__name__} FAILED", file=sys.stderr)
            traceback.print_exc()
    print(f"{client}: {len(CHECKS) - failed} stories hold, {failed} do not; {time.monotonic() - began:.0f} s")
    sys.exit(1 if failed else 0)


def dies_with_parent():
    """In the child: killed by Linux when its parent ends, however that ended (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Program:
    """A child process that says on standard output where it listens; killed at the end of the story."""

    def __init__(self, stack, name, *arguments, standard_input=""):
        self.name = name
        self.errors = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            [BINARIES / name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            # No buffer of ours may hold a line that `select` is asked about.
            bufsize=0,
            preexec_fn=dies_with_parent,
        )
        RUNNING.add(self)
        stack.push(self._at_end)
        self.process.stdin.write(standard_input.encode())
        self.process.stdin.close()

    def line(self, prefix):
        """The rest of the next line of its output."""
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline().decode() if readable else ""
        assert line.startswith(prefix), f"{self.name} said {line!r} and not {prefix!r}; {self.said()}"
        return line.removeprefix(prefix).strip()

    def said(self):
        """What it wrote to standard error."""
        self.errors.seek(0)
        return self.errors.read()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        RUNNING.discard(self)

    def _at_end(self, kind, _error, _trace):
        if kind is not None:
            print(f"--- {self.name} said:\n{self.said()}---", file=sys.stderr)
        self.kill()


@atexit.register
def kill_all():
    for program in list(RUNNING):
        program.kill()


class Gateway(Program):
    """`rampart serve` before an upstream, on what a document says."""

    def __init__(self, stack, upstream, document, *arguments):
        fixed = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--upstream", upstream]
        super().__init__(stack, "rampart", *fixed, "--config", "-", *arguments, standard_input=json.dumps(document))
        self.url = self.line("listening on ")
        self.admin = self.line("admin on ")
        self.address = self.url.split("://")[1]

    def metrics(self):
        """All samples of `/metrics`: a list of (name, labels, value)."""
        samples = []
        for line in get(f"{self.admin}/metrics").decode().splitlines():
            if found := re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? (\S+)", line):
                labels = dict(re.findall(r'([a-z_]+)="([^"]*)"', found[2] or ""))
                samples.append((found[1], labels, float(found[3])))
        return samples

    def metric(self, name, **labels):
        """The sum of all samples of this name that have these labels."""
        values = [
            value for it, own, value in self.metrics() if it == name and labels.items() <= own.items()
        ]
        assert values, f"there is no {name} {labels}"
        return sum(values)

    def is_idle(self):
        return self.metric("rampart_gateway_in_flight") == 0 and self.metric("rampart_inflight") == 0


class Peer(Program):
    """`fake-peer`: what it does is said by the path."""

    def __init__(self, stack):
        super().__init__(stack, "fake-peer")
        self.url = self.line("listening on ")

    def seen(self):
        """The requests so far, those for this list not among them."""
        return [it for it in json.loads(get(f"{self.url}/__seen")) if it["path"] != "/__seen"]


class Model(Program):
    """`fake-model`: fails as its faults say, one a request."""

    def __init__(self, stack, *faults, port=0):
        super().__init__(stack, "fake-model", "--port", str(port), "--faults", json.dumps(faults))
        self.url = self.line("listening on ")
        self.port = int(self.url.rsplit(":", 1)[1])

    def log(self):
        return json.loads(get(f"{self.url}/__log"))

    def release(self):
        get(f"{self.url}/__release", data=b"")


class Service(Program):
    """`fake-service`: operations that fail as their names say, and the management API over them."""

    WRITER = "alices-key-0123456789"
    READER = "bobs-key-9876543210"

    def __init__(self, stack, limits="raised"):
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keys = folder / "keys"
        keys.touch(mode=0o600)
        keys.write_text(f"alice:write:{self.WRITER}\nbob:read:{self.READER}\n")
        super().__init__(stack, "fake-service", "--keys", keys, "--limits", limits)
        self.url = self.line("listening on ")

    def get(self, path, **headers):
        """The body of an answer of 200, as whoever may read."""
        return get(f"{self.url}{path}", headers={"x-api-key": self.READER} | headers)


class Health(Program):
    """`fake-health`: gRPC's health service, whose calls end as the name of the service says."""

    def __init__(self, stack):
        super().__init__(stack, "fake-health")
        self.url = self.line("listening on ")


def certificate(stack):
    """A certificate for loopback that signed itself, and its key: two files."""
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    files = folder / "certificate.pem", folder / "key.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
        "-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1])
    return files


def get(url, data=None, headers=None):
    request = urllib.request.Request(url, data=data, headers=headers or {})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read()


def run(*command, timeout=PATIENCE, expect=0, **more):
    """Runs a program to its end; its output as text."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=timeout,
        text=True,
        preexec_fn=dies_with_parent,
        **more,
    )
    assert done.returncode == expect, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def eventually(what, ask):
    """Asks again and again until the answer is true; gives it."""
    end = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < end, f"{what}, but not in time"
        time.sleep(0.02)
