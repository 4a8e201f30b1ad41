"""Google's XML API in front of fake-gcs-server, which has the JSON API and only reads by XML.

obstore writes by XML: objects, objects in parts, with the conditions that it sends in headers. Here
each becomes a request of the JSON API; whether a condition holds is decided by fake-gcs-server. All
other requests are passed on unchanged.

    python -m tests.stores.gcs_xml HOST:PORT PORT

serves in a process of its own: Arrow's client of Google Cloud Storage does not let go of Python's
lock while it opens a file, so a server in the same process could not answer it.
"""

import http.client
import json
import sys
import uuid
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_META = "x-goog-meta-"
# Headers of a connection, not of a message.
_OWN_HEADERS = ("transfer-encoding", "connection", "server", "date", "content-length", "host")

Answer = tuple[int, dict[str, str], bytes]


class XmlServer(ThreadingHTTPServer):
    """Serves both APIs.

    Attributes:
        upstream: HOST:PORT of fake-gcs-server.
        parts: the parts of each unfinished upload, by its id.
        creations: metadata of each unfinished upload.
    """

    daemon_threads = True

    def __init__(self, upstream: str, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.upstream = upstream
        self.parts: dict[str, dict[int, bytes]] = {}
        self.creations: dict[str, Message] = {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is written in two pieces: the second must not wait until the first is confirmed.
    disable_nagle_algorithm = True
    server: XmlServer

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        body = self._body()
        address = urlsplit(self.path)
        bucket, _, key = unquote(address.path).lstrip("/").partition("/")
        query = {k: v[0] for k, v in parse_qs(address.query, keep_blank_values=True).items()}
        is_object = bool(key) and bucket not in ("storage", "upload", "download", "batch", "b")
        if is_object and self.command == "PUT" and "uploadId" in query:
            answer = self._part(query, body)
        elif is_object and self.command == "POST" and "uploads" in query:
            answer = self._begin(bucket, key)
        elif is_object and self.command == "POST" and "uploadId" in query:
            answer = self._complete(bucket, key, query["uploadId"])
        elif is_object and self.command == "DELETE" and "uploadId" in query:
            self.server.parts.pop(query["uploadId"], None)
            answer = 204, {}, b""
        elif is_object and self.command == "PUT":
            answer = self._insert(bucket, key, body, self.headers)
        else:
            answer = self._ask(self.command, self.path, body, dict(self.headers.items()))
            if answer[0] == 500 and b"no bucket named" in answer[2]:
                text = "<Error><Code>NoSuchBucket</Code><Message>no such bucket</Message></Error>"
                answer = 404, {"Content-Type": "application/xml"}, (_XML + text).encode()
        self._answer(*answer)

    def _insert(self, bucket: str, key: str, body: bytes, headers: Message) -> Answer:
        about = {
            "name": key,
            "contentType": headers.get("Content-Type", "application/octet-stream"),
            "metadata": {
                name[len(_META) :].lower(): value
                for name, value in headers.items()
                if name.lower().startswith(_META)
            },
        }
        mark = uuid.uuid4().hex
        parts = (
            f"--{mark}\r\nContent-Type: application/json\r\n\r\n{json.dumps(about)}\r\n"
            f"--{mark}\r\nContent-Type: {about['contentType']}\r\n\r\n"
        ).encode()
        path = f"/upload/storage/v1/b/{quote(bucket)}/o?uploadType=multipart"
        if generation := headers.get("x-goog-if-generation-match"):
            path += f"&ifGenerationMatch={generation}"
        status, _, content = self._ask(
            "POST",
            path,
            parts + body + f"\r\n--{mark}--\r\n".encode(),
            {"Content-Type": f"multipart/related; boundary={mark}"},
        )
        if status != 200:
            return status, {"Content-Type": "application/json"}, content
        made = json.loads(content)
        return 200, {"ETag": f'"{made["etag"]}"', "x-goog-generation": made["generation"]}, b""

    def _begin(self, bucket: str, key: str) -> Answer:
        upload = uuid.uuid4().hex
        self.server.parts[upload], self.server.creations[upload] = {}, self.headers
        name = key.replace("&", "&amp;").replace("<", "&lt;")
        text = (
            f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{name}</Key>"
            f"<UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        )
        return 200, {"Content-Type": "application/xml"}, (_XML + text).encode()

    def _part(self, query: dict[str, str], body: bytes) -> Answer:
        self.server.parts[query["uploadId"]][int(query["partNumber"])] = body
        return 200, {"ETag": f'"{query["partNumber"]}"'}, b""

    def _complete(self, bucket: str, key: str, upload: str) -> Answer:
        parts = self.server.parts.pop(upload)
        whole = b"".join(parts[number] for number in sorted(parts))
        status, headers, content = self._insert(
            bucket, key, whole, self.server.creations.pop(upload)
        )
        if status != 200:
            return status, headers, content
        text = (
            f"<CompleteMultipartUploadResult><ETag>{headers['ETag']}</ETag>"
            "</CompleteMultipartUploadResult>"
        )
        return 200, headers | {"Content-Type": "application/xml"}, (_XML + text).encode()

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        kept = {k: v for k, v in headers.items() if k.lower() not in _OWN_HEADERS}
        upstream.request(method, path, body, kept)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        told = {k: v for k, v in answer.getheaders() if k.lower() not in _OWN_HEADERS}
        if method == "HEAD" and (length := answer.getheader("Content-Length")):
            told["Content-Length"] = length
        return answer.status, told, content

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _serve  # noqa: N815


if __name__ == "__main__":
    XmlServer(sys.argv[1], int(sys.argv[2])).serve_forever()
