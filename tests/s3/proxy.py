"""A proxy in front of an S3 server that breaks requests and answers on demand."""

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

# What S3 says, see "Error responses" in its API reference.
_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>'
    "<Message>{message}</Message><RequestId>0</RequestId></Error>"
)


class Proxy(ThreadingHTTPServer):
    """Passes requests on to the S3 server, and breaks those that its attributes select.

    Attributes:
        faults: one for each coming GET of an object: "503", "cut" (half the body), "flip" (one
            byte is changed), "hang" (half the body, then nothing).
        gets: paths of the GETs of objects so far.
        hanging: set once a request hangs; it goes on when `released` is set.
        denied_paths: prefixes of paths that get 403 AccessDenied.
        slow_every: one of this number of requests gets 503 SlowDown; 0: none.
        slow_answers: number of SlowDown answers so far.
        dropped_headers: request headers that are not passed on, in lower case.
        lost_answers: number of coming PUTs that are done but answered with 503.
        broken_writes: number of coming writes and deletions that are done and not answered: their
            connection is closed.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream.removeprefix("http://")
        self.faults: list[str] = []
        self.gets: list[str] = []
        self.hanging = threading.Event()
        self.released = threading.Event()
        self.denied_paths: tuple[str, ...] = ()
        self.slow_every = 0
        self.slow_answers = 0
        self.dropped_headers: set[str] = set()
        self.lost_answers = 0
        self.broken_writes = 0
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._requests = 0
        self._lock = threading.Lock()

    def slows(self) -> bool:
        """Count a request; whether it gets SlowDown."""
        with self._lock:
            self._requests += 1
            slow = self.slow_every > 0 and self._requests % self.slow_every == 0
            self.slow_answers += slow
        return slow


@contextmanager
def running(upstream: str) -> Iterator[Proxy]:
    """A proxy that serves until the block ends."""
    server = Proxy(upstream)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else a body waits 40 ms for the reader to acknowledge the header.
    disable_nagle_algorithm = True
    server: Proxy

    def log_message(self, *_: Any) -> None:
        pass

    def _pass_on(self) -> None:
        chunked = self.headers.get("Transfer-Encoding", "") == "chunked"
        body = self._chunks() if chunked else self._body()
        if unquote(self.path).startswith(self.server.denied_paths or ("\0",)):
            self._refuse(403, "AccessDenied", "Access Denied")
            return
        if self.server.slows():
            self._refuse(503, "SlowDown", "Please reduce your request rate.")
            return
        dropped = self.server.dropped_headers
        headers = {k: v for k, v in self.headers.items() if k.lower() not in dropped}
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        whole = iter([body]) if chunked else body
        upstream.request(self.command, self.path, whole, headers, encode_chunked=chunked)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        if self.command == "PUT" and self.server.lost_answers:
            self.server.lost_answers -= 1
            self._refuse(503, "SlowDown", "Please reduce your request rate.")
            return
        if self.command in ("PUT", "POST", "DELETE") and self.server.broken_writes:
            self.server.broken_writes -= 1
            self.close_connection = True
            # At once, and not in good order.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        fault = ""
        if self.command == "GET" and answer.status in (200, 206) and "list-type" not in self.path:
            self.server.gets.append(self.path)
            fault = self.server.faults.pop(0) if self.server.faults else ""
        self._answer(answer, data, fault)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _refuse(self, status: int, code: str, message: str) -> None:
        data = _ERROR.format(code=code, message=message).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _answer(self, answer: http.client.HTTPResponse, data: bytes, fault: str) -> None:
        if fault == "503":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "server", "date"):
                self.send_header(name, value)
        if answer.getheader("Content-Length") is None and self.command != "HEAD":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if fault == "flip":
            data = bytes([data[0] ^ 1]) + data[1:]
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if fault in ("cut", "hang") else data)
        if fault in ("cut", "hang"):
            self.close_connection = True
        if fault == "hang":
            self.wfile.flush()
            self.server.hanging.set()
            self.server.released.wait(60)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815
