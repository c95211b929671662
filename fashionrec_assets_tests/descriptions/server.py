"""A server on this machine that speaks the chat completions, files and batches protocol, and misbehaves when told to.

It answers honestly by default: drafts that name type and colour with their sources, judgements that approve. A fault is
a function that gets the call and gives a reply, or None to answer honestly; it is chosen by words in the title.
"""

from __future__ import annotations

import email.parser
import email.policy
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fashionrec_assets.descriptions.claims import FIELDS, ItemText
from fashionrec_assets.descriptions.deterministic import describe

KEY = "sk-the-secret-key-of-this-test"
LEAKY = f"upstream said: invalid prompt for account acct-4711 with key {KEY}"
"""What the server's error texts say: none of it may be seen anywhere."""


@dataclass
class Call:
    """One question as the server sees it. `number` counts the calls about this title."""

    body: dict[str, Any]
    number: int

    @property
    def system(self) -> str:
        return self.body["messages"][0]["content"]

    @property
    def user(self) -> str:
        content = self.body["messages"][1]["content"]
        return content if isinstance(content, str) else content[0]["text"]

    @property
    def photo(self) -> bool:
        return not isinstance(self.body["messages"][1]["content"], str)

    @property
    def step(self) -> str:
        found = re.match(r"You are the (\w+)", self.system)
        assert found is not None, self.system
        return {"summariser": "summarise", "evaluator": "evaluate", "refiner": "refine"}[found.group(1)]

    @property
    def data(self) -> dict[str, Any]:
        return data_of(self.user)


def data_of(user: str) -> dict[str, Any]:
    """The JSON between the two fences of a user message."""
    fence = re.search(r"^=== [0-9a-f]{24} ===$", user, re.MULTILINE)
    assert fence is not None, user
    return json.loads(user.split(fence.group())[1])


@dataclass
class Reply:
    """An HTTP answer; `cut` sends so many bytes of the body and drops the connection."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    cut: int | None = None
    raw: bytes | None = None


Fault = Callable[[Call], Reply | None]


def completion(content: str, *, finish: str = "stop", refusal: str | None = None, use: bool = True) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": refusal}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        **({"usage": usage} if use else {}),
    }


def error(status: int, *, code: str | None = None, **headers: str) -> Reply:
    body = {"error": {"message": LEAKY, "type": "some_error", "code": code}}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def honest_draft(data: dict[str, Any]) -> dict[str, Any]:
    """A draft that names the type and the colours, each with its source."""
    item = ItemText("1", data.get("title", ""), **{name: data.get(name) for name in FIELDS})
    kept = [one for one in describe(item).attributes if one.name in ("type", "colour")]
    kind = next((one.value for one in kept if one.name == "type"), "fashion item")
    colours = " and ".join(one.value for one in kept if one.name == "colour")
    attributes = [
        {"name": one.name, "value": one.value, "source": one.source, "evidence": one.evidence} for one in kept
    ]
    return {"description": f"Item described as: {colours} {kind}.".replace("  ", " "), "attributes": attributes}


def said(value: Any) -> Reply:
    return Reply(body=completion(json.dumps(value)))


def honest(call: Call) -> Reply:
    if call.step == "evaluate":
        return said({"approved": True, "critique": ""})
    return said(honest_draft(call.data))


class LanguageModelServer:
    """The server's state and what it saw."""

    def __init__(self) -> None:
        self.faults: dict[str, Fault] = {}
        self.default: Fault = honest
        self.calls: list[Call] = []
        self.paths: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self.files: dict[str, bytes] = {}
        self.stored = 0
        self.batches: dict[str, dict[str, Any]] = {}
        self.batch_api = True
        self.drop_batch_answer = False
        self.lines_lost: set[str] = set()
        self._at_once = 0
        self._titles: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def steps(self) -> Counter[str]:
        return Counter(call.step for call in self.calls)

    def answer(self, body: dict[str, Any]) -> Reply:
        call = Call(body, 0)
        title = call.data.get("title", "")
        with self._lock:
            self._titles[title] += 1
            call.number = self._titles[title]
            self.calls.append(call)
        fault = next((fault for words, fault in self.faults.items() if words in title), None)
        reply = fault(call) if fault else None
        return reply or self.default(call) or honest(call)

    def finish_batches(self, status: str = "completed") -> None:
        """Answer every batch: good lines in its output file, the others in its error file."""
        for batch in self.batches.values():
            if batch["status"] != "in_progress":
                continue
            batch["status"] = status
            good, bad = [], []
            for line in self.files[batch["input_file_id"]].splitlines():
                request = json.loads(line)
                if request["custom_id"] in self.lines_lost:
                    continue
                reply = self.answer(request["body"])
                response = {"status_code": reply.status, "request_id": "r", "body": reply.body}
                target = good if reply.status == 200 else bad
                target.append(json.dumps({"id": "x", "custom_id": request["custom_id"], "response": response}))
            # In any order: the protocol promises none.
            batch["output_file_id"] = self._store("\n".join(reversed(good)).encode())
            batch["error_file_id"] = self._store("\n".join(bad).encode()) if bad else None

    def _store(self, content: bytes) -> str:
        self.stored += 1
        name = f"file-{self.stored}"
        self.files[name] = content
        return name

    def handle(self, method: str, path: str, headers: dict[str, str], content: bytes) -> Reply:
        with self._lock:
            self.paths[f"{method} {path.split('?')[0]}"] += 1
            self.headers.append(headers)
        if path == "/v1/chat/completions":
            return self.answer(json.loads(content))
        if not self.batch_api:
            return error(404)
        if path == "/v1/files":
            return Reply(body=self._file(self._store(_uploaded(headers, content))))
        if method == "DELETE" and (found := re.fullmatch(r"/v1/files/([^/]+)", path)):
            self.files.pop(found.group(1))
            return Reply(body={"id": found.group(1), "object": "file", "deleted": True})
        if found := re.fullmatch(r"/v1/files/([^/]+)/content", path):
            return Reply(raw=self.files[found.group(1)])
        if path.startswith("/v1/batches"):
            return self._batches(method, path, content)
        return error(404)

    @staticmethod
    def _file(name: str) -> dict[str, Any]:
        return {"id": name, "object": "file", "bytes": 1, "created_at": 1, "filename": "x", "purpose": "batch"}

    def _batches(self, method: str, path: str, content: bytes) -> Reply:
        if method == "POST":
            asked = json.loads(content)
            name = f"batch-{len(self.batches) + 1}"
            self.batches[name] = {
                "id": name,
                "object": "batch",
                "created_at": int(time.time()),
                "endpoint": asked["endpoint"],
                "input_file_id": asked["input_file_id"],
                "completion_window": "24h",
                "metadata": asked["metadata"],
                "status": "in_progress",
            }
            if self.drop_batch_answer:
                return Reply(body={}, cut=3)
            return Reply(body=self.batches[name])
        if found := re.fullmatch(r"/v1/batches/([^/?]+)", path):
            batch = self.batches.get(found.group(1))
            return Reply(body=batch) if batch else error(404)
        newest = list(reversed(self.batches.values()))
        return Reply(body={"object": "list", "data": newest, "has_more": False})

    @contextmanager
    def counted(self) -> Generator[None]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1


def _uploaded(headers: dict[str, str], content: bytes) -> bytes:
    head = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + content)
    for part in message.iter_parts():  # pyright: ignore[reportAttributeAccessIssue]
        if part.get_filename():
            return part.get_payload(decode=True)
    raise AssertionError("no file in the upload")


@contextmanager
def serving() -> Generator[tuple[LanguageModelServer, str]]:
    """A server on a free port of 127.0.0.1, and its base URL."""
    state = LanguageModelServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def do_DELETE(self) -> None:
            self._serve()

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            content = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            with state.counted():
                reply = state.handle(self.command, self.path, headers, content)
                if reply.wait_s:
                    time.sleep(reply.wait_s)
            body = reply.raw if reply.raw is not None else json.dumps(reply.body).encode()
            try:
                self.send_response(reply.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body if reply.cut is None else body[: reply.cut])
                self.wfile.flush()
            except OSError:
                self.close_connection = True
            if reply.cut is not None:
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state, f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
