"""Python's websockets through the gateway, before a server of the same: the handshake is a call like any other, what follows passes as it is."""

import contextlib
import ssl
import threading
from http import HTTPStatus

from support import PATIENCE, Gateway, certificate, check, eventually, main
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

QUICK = {"retry": {"max_attempts": 1}, "circuit_breaker": {"failure_threshold": 1000}}
LARGE = 1024 * 1024


def answer(connection):
    """Sends back what it gets, until it is told to end."""
    with contextlib.suppress(ConnectionClosed):
        for message in connection:
            if message == "end":
                connection.close(4001, "as told")
            elif message == "die":
                connection.socket.close()
            else:
                connection.send(message)


def guard(connection, request):
    if request.path == "/forbidden":
        return connection.respond(HTTPStatus.FORBIDDEN, "not you\n")
    return None


def serving(stack):
    """A server on a port of loopback; its URL."""
    server = serve(answer, "127.0.0.1", 0, process_request=guard, subprotocols=["chat"], max_size=2 * LARGE)
    stack.callback(server.shutdown)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "http://{}:{}".format(*server.socket.getsockname())


def connected(gateway, path="/", **more):
    options = {"subprotocols": ["other", "chat"], "open_timeout": PATIENCE, "max_size": 2 * LARGE}
    url = gateway.url.replace("http", "ws", 1) + path
    return connect(url, proxy=None, **options, **more)


def is_idle(gateway):
    return gateway.is_idle() and gateway.metric("rampart_gateway_upgraded_connections") == 0


def end_of(client):
    """The error that says how the connection ended."""
    try:
        message = client.recv(timeout=PATIENCE)
    except ConnectionClosed as error:
        return error
    raise AssertionError(f"no end but {message!r}")


def refusal(gateway, path="/"):
    """The answer to a handshake that fails."""
    try:
        connected(gateway, path).close()
    except InvalidStatus as error:
        return error.response
    raise AssertionError("the handshake was not refused")


@check
def messages_pass_both_ways(stack):
    gateway = Gateway(stack, serving(stack), QUICK)
    with connected(gateway, "/chat?room=1") as client:
        assert client.subprotocol == "chat", client.subprotocol
        for message in ("grüße", b"\x00\xff", "x" * LARGE, bytes(LARGE)):
            client.send(message)
            assert client.recv(timeout=PATIENCE) == message
        # A message in pieces, and a ping between messages.
        client.send(iter(["one ", "two ", "three"]))
        assert client.recv(timeout=PATIENCE) == "one two three"
        assert client.ping().wait(PATIENCE)
        assert gateway.metric("rampart_gateway_upgraded_connections") == 1
    eventually("nothing is left", lambda: is_idle(gateway))


@check
def messages_pass_over_tls(stack):
    cert, key = certificate(stack)
    gateway = Gateway(stack, serving(stack), QUICK, "--tls-cert", cert, "--tls-key", key)
    with connected(gateway, ssl=ssl.create_default_context(cafile=cert)) as client:
        client.send("x" * LARGE)
        assert client.recv(timeout=PATIENCE) == "x" * LARGE
    eventually("nothing is left", lambda: is_idle(gateway))


@check
def close_codes_pass_both_ways(stack):
    gateway = Gateway(stack, serving(stack), QUICK)
    with connected(gateway) as client:
        client.send("end")
        closed = end_of(client).rcvd
        assert (closed.code, closed.reason) == (4001, "as told"), closed
    with connected(gateway) as client:
        client.close(1000, "done")
        assert end_of(client).rcvd.code == 1000
    eventually("nothing is left", lambda: is_idle(gateway))


@check
def server_that_dies_ends_the_connection(stack):
    gateway = Gateway(stack, serving(stack), QUICK)
    with connected(gateway) as client:
        client.send("die")
        assert end_of(client).rcvd is None
    eventually("nothing is left", lambda: is_idle(gateway))


@check
def refused_handshake_passes(stack):
    gateway = Gateway(stack, serving(stack), QUICK)
    response = refusal(gateway, "/forbidden")
    assert (response.status_code, response.body) == (403, b"not you\n"), response
    eventually("nothing is left", lambda: is_idle(gateway))


@check
def handshake_is_limited_as_any_other_call(stack):
    gateway = Gateway(stack, serving(stack), QUICK | {"rate_limit": {"requests_per_minute": 20, "burst_size": 1}})
    with connected(gateway) as client:
        response = refusal(gateway)
        assert response.status_code == 429 and response.headers["retry-after"] in ("2", "3"), response
        client.send("still here")
        assert client.recv(timeout=PATIENCE) == "still here"


main("websockets")
