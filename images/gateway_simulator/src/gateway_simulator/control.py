# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control API: HTTP and JSON, on a port of its own; and its client, ``python -m gateway_simulator.control``.

The server is the standard library's, in threads of its own; every call is done in the simulator's event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PATIENCE_SECONDS = 10.0
LARGEST_BODY = 1 << 20

_logger = logging.getLogger(__name__)

# method, path's first part -> a function of (rest of the path, query, body) -> JSON value, run in the event loop.
Call = Callable[[str, dict[str, str], Any], Any]
Routes = dict[tuple[str, str], Call]


class ControlError(Exception):
    """A call that cannot be done: ``status`` and a text that names the thing, the value seen and the value wanted."""

    def __init__(self, text: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(text)
        self.status = status


class ControlServer:
    """Serves ``routes`` on ``host:port``. Raises OSError when the port cannot be had."""

    def __init__(self, host: str, port: int, routes: Routes) -> None:
        loop = asyncio.get_running_loop()

        class Handler(_Handler):
            def dispatch(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
                return asyncio.run_coroutine_threadsafe(_call(routes, method, path, query, body), loop).result(
                    PATIENCE_SECONDS
                )

        self._server = _Server((host, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="control", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    async def stop(self) -> None:
        """Close the port."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """A caller that went away before its answer is no error; nothing else gets here."""
        _logger.info("control connection lost", extra={"peer": "{}:{}".format(*client_address[:2])})


async def _call(routes: Routes, method: str, path: str, query: dict[str, str], body: Any) -> Any:
    first, _, rest = path.strip("/").partition("/")
    call = routes.get((method, first))
    if call is None:
        methods = sorted(known for known, name in routes if name == first)
        if methods:
            raise ControlError(f"{method} /{first}: wanted {' or '.join(methods)}", HTTPStatus.METHOD_NOT_ALLOWED)
        names = ", ".join(sorted({f"/{name}" for _, name in routes}))
        raise ControlError(f"/{first}: no such path, wanted one of {names}", HTTPStatus.NOT_FOUND)
    return call(rest, query, body)


class _Handler(BaseHTTPRequestHandler):
    server_version = "gateway-simulator"
    protocol_version = "HTTP/1.1"
    timeout = 30

    def dispatch(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        raise NotImplementedError

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def send_error(self, code: int, message: str | None = None, _explain: str | None = None) -> None:
        """Answer what is no HTTP request of ours."""
        self.close_connection = True
        # What was not understood is not taken for the version of HTTP that has no headers.
        self.request_version = self.protocol_version
        self._answer(HTTPStatus(code), {"error": message or HTTPStatus(code).phrase})

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the log on standard output is the simulator's."""

    def _serve(self) -> None:
        try:
            try:
                url = urlsplit(self.path)
            except ValueError as error:
                raise ControlError(f"{self.path!r}: wanted a path ({error})") from error
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            self._answer(HTTPStatus.OK, self.dispatch(self.command, url.path, query, self._body()))
        except ControlError as error:
            self._answer(error.status, {"error": str(error)})
        except TimeoutError:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "the simulator does not answer"})
        except Exception as error:
            _logger.exception("control call failed", extra={"path": self.path})
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": repr(error)})

    def _body(self) -> Any:
        text = self.headers.get("Content-Length", "0")
        if not text.isdecimal() or int(text) > LARGEST_BODY:
            self.close_connection = True
            raise ControlError(f"Content-Length {text!r}: wanted 0 to {LARGEST_BODY}")
        content = self.rfile.read(int(text))
        try:
            return json.loads(content) if content else None
        except ValueError as error:
            raise ControlError(f"body {content[:40]!r}: wanted JSON ({error})") from error

    def _answer(self, status: HTTPStatus, value: Any) -> None:
        content = json.dumps(value, default=str).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


# --- the client -------------------------------------------------------------------------------------------------------


def call(port: int, method: str, path: str, body: object = None, host: str = "127.0.0.1") -> Any:
    """Do one call of a simulator's control API and return its answer. Raises ControlError, OSError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{host}:{port}/{path.lstrip('/')}", data, method=method)
    try:
        # No proxy: what is called runs here.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=PATIENCE_SECONDS
        ) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode(errors="replace")
        with suppress(ValueError, KeyError, TypeError):
            text = json.loads(text)["error"]
        raise ControlError(str(text), HTTPStatus(error.code)) from error


def main(arguments: list[str] | None = None) -> int:
    """Do one call, print its answer as JSON; return 0, 1 when the call was refused, 69 without an answer."""
    port = os.environ.get("SIMULATOR_CONTROL_PORT", "")
    parser = argparse.ArgumentParser(prog="gateway_simulator.control", description="Call the control API.")
    parser.add_argument("--port", type=int, default=port or None, help="default: $SIMULATOR_CONTROL_PORT")
    parser.add_argument("method", choices=("get", "post", "delete"))
    parser.add_argument("path", help="such as state, witness?since=10 or faults/3")
    parser.add_argument("body", nargs="*", metavar="NAME=VALUE", help="a value is JSON, or else text: fault=link for=5")
    chosen = parser.parse_args(arguments)
    if not chosen.port:
        parser.error("no port: set SIMULATOR_CONTROL_PORT or give --port")
    try:
        body = dict(_pair(text) for text in chosen.body) if chosen.body else None
        answer = call(chosen.port, chosen.method.upper(), chosen.path, body)
    except ControlError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"127.0.0.1:{chosen.port}: no answer: {error}", file=sys.stderr)
        return 69
    print(json.dumps(answer, indent=2))
    return 0


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ControlError(f"{text!r}: wanted NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    sys.exit(main())
