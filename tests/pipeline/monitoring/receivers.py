"""Real receivers for tests: HTTP servers that answer, fail, hang or send elsewhere."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Receiver:
    """A server and what it has received.

    Attributes:
        url: its address.
        answers: the codes of its next answers; then it answers 200. A text is the address that
            a redirect with code 307 leads to.
        received: method, path, headers and content of each request.
    """

    url: str = ""
    answers: list[int | str] = field(default_factory=list)
    received: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def contents(self) -> list[dict[str, Any]]:
        """The JSON of each request."""
        return [json.loads(content) for *_, content in self.received]


@contextmanager
def receiver(*answers: int | str) -> Iterator[Receiver]:
    """A server that gives these answers, and then 200."""
    own = Receiver(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            own.received.append((self.command, self.path, dict(self.headers), content))
            answer = own.answers.pop(0) if own.answers else 200
            self.send_response(307 if isinstance(answer, str) else answer)
            if isinstance(answer, str) or 300 <= answer < 400:
                self.send_header("Location", str(answer) if isinstance(answer, str) else "/other")
            self.end_headers()
            self.wfile.write(b"so it is\n")

        do_GET = do_POST  # noqa: N815 - the name that the server asks for

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    own.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield own
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def hanging() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/hangs"


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/nobody"
