"""A stand-in for Kubernetes' API server: takes what spark-submit creates, and ends its pods."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

Thing = dict[str, Any]


class ApiServer:
    """Serves on a free port of this host while it is entered.

    Attributes:
        url: where.
    """

    def __init__(self, exit_code: int) -> None:
        """Make it.

        Args:
            exit_code: that every container ends with.
        """
        self._created: list[Thing] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._created, exit_code))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def created(self, kind: str) -> Thing:
        """The only thing of a kind that was created."""
        (match,) = (thing for thing in self._created if thing["kind"] == kind)
        return match

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _ended(pod: Thing, exit_code: int) -> Thing:
    time = "2026-01-01T00:00:00Z"
    end = {"exitCode": exit_code, "startedAt": time, "finishedAt": time, "reason": "Error"}
    status = {
        "phase": "Failed" if exit_code else "Succeeded",
        "containerStatuses": [
            {"name": one["name"], "image": one["image"], "state": {"terminated": end}}
            for one in pod["spec"]["containers"]
        ],
    }
    return pod | {"status": status}


def _handler(created: list[Thing], exit_code: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the tests say what went wrong."""

        def do_POST(self) -> None:
            self._create(201)

        def do_PATCH(self) -> None:
            self._create(200)

        def do_GET(self) -> None:
            pods = [_ended(thing, exit_code) for thing in created if thing["kind"] == "Pod"]
            path, _, query = self.path.partition("?")
            if "watch=true" in query:
                changes = [{"type": "MODIFIED", "object": pod} for pod in pods]
                self._answer(200, "".join(f"{json.dumps(change)}\n" for change in changes))
            elif path.endswith("/pods"):
                self._answer(200, json.dumps({"kind": "PodList", "items": pods}))
            else:
                self._answer(200, json.dumps(pods[0]))

        def _create(self, code: int) -> None:
            thing = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            thing["metadata"] |= {"uid": "1", "resourceVersion": "1"}
            created.append(thing)
            self._answer(code, json.dumps(thing))

        def _answer(self, code: int, text: str) -> None:
            body = text.encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
