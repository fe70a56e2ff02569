"""An S3 server for tests and benchmarks: moto in a process of its own, on a free port, and what clients need.

moto alone is not enough: it tests for the key and then sets it, so that two conditional puts at one moment can
both win (seen in 2 of 200 races when threads are switched very often). The lock round conditional requests below
is ours; with it they come one after the other, in this one process. `test_s3_server.py` races processes on it.

A bucket can be told to be slow, to ignore conditions as some servers do, and to fail requests before or after it
has done them: `Bucket.latency`, `ignore_conditions`, `fail`.

    with running_server() as server, server.client_environment():
        FeatureStore.open(f"{server.new_bucket().url}/lake", create=True)

    python -m tests.store.s3_server          runs one until its standard input ends; prints its port
"""

import http.client
import io
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

__all__ = ["Bucket", "Server", "forget_clients", "running_server", "s3_bucket", "s3_clients", "s3_server"]

ACCESS_KEY, SECRET_KEY = "slidelake-test", "slidelake-test-secret"
_ROOT = Path(__file__).resolve().parents[2]
_CONTROL = "/_control/"
_SIGNED = {
    "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}

#: What a client sees instead of the answer: an error of the server, a closed connection, or nothing.
Failure = Literal["500", "503", "403", "closed", "hang"]


# The clients' side


@dataclass(frozen=True)
class Bucket:
    """A bucket of its own for each test. `url` is s3://…; the rest tells the server how to behave in it."""

    server: "Server"
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def latency(self, seconds: float) -> None:
        """Lets every request wait that long before it is done."""
        self.server.control("POST", self.name, {"latency": seconds})

    def ignore_conditions(self) -> None:
        """Takes If-None-Match and does as if it were not there, as rclone and s3rver do."""
        self.server.control("POST", self.name, {"honour_conditions": False})

    def fail(
        self,
        how: Failure,
        *,
        method: str = "PUT",
        key: str = "",
        times: int = 1,
        stored: bool = True,
        hang: float = 5.0,
    ) -> None:
        """Fails the next `times` requests of a method whose path contains `key`: after they are done (`stored`:
        the answer is lost) or instead of doing them. `hang` is in seconds."""
        fault = {
            "how": how,
            "method": method,
            "key": key,
            "times": times,
            "stored": stored,
            "hang": hang,
        }
        self.server.control("POST", self.name, {"fault": fault})

    def drop_faults(self) -> None:
        """Answers again."""
        self.server.control("POST", self.name, {"faults": []})

    def requests(self) -> list[str]:
        """`METHOD path` of every request for this bucket so far, in the order of their arrival."""
        log = self.server.control("GET", self.name)["requests"]
        return [str(each) for each in log]

    def drop(self) -> None:
        """Forgets the bucket and all in it."""
        self.server.control("DELETE", self.name)


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which s3fs, obstore, lancedb and zarr find the server, and nothing of the user's own.

        botocore (s3fs) reads AWS_ENDPOINT_URL; obstore and lancedb also need AWS_ENDPOINT and AWS_ALLOW_HTTP.
        """
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    @contextmanager
    def client_environment(self) -> Iterator[None]:
        """Sets `environment` in this process, and in those that it starts, for a while."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
                patch.delenv(name, raising=False)
            yield

    def new_bucket(self) -> Bucket:
        """A bucket that no other has."""
        name = f"b-{uuid.uuid4().hex[:20]}"
        self._request("PUT", f"/{name}", _SIGNED)
        return Bucket(self, name)

    def control(self, method: str, bucket: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Tells the server how to behave in a bucket, or asks what it saw."""
        data = self._request(method, f"{_CONTROL}{bucket}", {}, json.dumps(body or {}).encode())
        answer: dict[str, Any] = json.loads(data)
        return answer

    def _request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
        # http.client, as urllib would ask a proxy.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {data!r}")
        return data


@contextmanager
def fresh_clients() -> Iterator[None]:
    """For what changes the environment or s3fs: fsspec keeps one client for equal arguments, whatever else changed."""
    forget_clients()
    try:
        yield
    finally:
        forget_clients()


def forget_clients() -> None:
    """Closes the clients that fsspec keeps."""
    import s3fs
    from fsspec.asyn import sync
    from zarr.core.sync import sync as sync_in_zarr

    for client in list(s3fs.S3FileSystem._cache.values()):
        if client._s3 is not None:
            # zarr's live on its own event loop, and nothing else closes them.
            close = client._s3creator.__aexit__
            if client.asynchronous:
                sync_in_zarr(close(None, None, None))
            else:
                sync(client.loop, close, None, None, None)
    s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def running_server() -> Iterator[Server]:
    """Starts a server in a process of its own, waits until it listens, and ends it afterwards.

    The server ends with its standard input, so that it does not outlive a test run that is killed.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tests.store.s3_server"],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            if not said.strip().isdecimal():
                raise RuntimeError(f"the S3 server did not start (it said {said!r})")
            with fresh_clients():
                yield Server(int(said))
        finally:
            process.stdin.close()
            process.wait(timeout=30)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    """One server for all tests of this process."""
    with running_server() as server:
        yield server


@pytest.fixture
def s3_clients() -> Iterator[None]:
    """Clients of this test's own: see `fresh_clients`."""
    with fresh_clients():
        yield


@pytest.fixture
def s3_bucket(s3_server: Server) -> Iterator[Bucket]:
    """A fresh bucket; while the test runs, the environment leads s3fs, obstore and lancedb to its server."""
    bucket = s3_server.new_bucket()
    with s3_server.client_environment():
        yield bucket
    bucket.drop()


# The server's side


@dataclass
class _Rules:
    """How one bucket behaves, and what it was asked."""

    latency: float = 0.0
    honour_conditions: bool = True
    faults: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class _Application:
    """The WSGI application round moto's."""

    def __init__(self, moto: Callable[..., Iterable[bytes]]) -> None:
        self._moto = moto
        self._conditional = threading.Lock()
        self._rules: dict[str, _Rules] = {}
        self._rules_lock = threading.Lock()

    def __call__(self, env: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = env["PATH_INFO"]
        if path.startswith(_CONTROL):
            return self._control(path.removeprefix(_CONTROL), env, start)
        method = env["REQUEST_METHOD"]
        rules = self._rules_of(path.split("/")[1])
        with self._rules_lock:
            rules.requests.append(f"{method} {path}")
            fault = _next_fault(rules, method, path)
        # The body is read first: a slow sender must not hold the lock, and one whose answer is lost has sent all.
        length = int(env.get("CONTENT_LENGTH") or 0)
        if length:
            env["wsgi.input"] = io.BytesIO(env["wsgi.input"].read(length))
        time.sleep(rules.latency)
        if f"Credential={ACCESS_KEY}/" not in env.get("HTTP_AUTHORIZATION", ""):
            return _answer(env, start, "403 Forbidden", "InvalidAccessKeyId")
        if not rules.honour_conditions:
            env.pop("HTTP_IF_NONE_MATCH", None)
            env.pop("HTTP_IF_MATCH", None)
        if fault is None:
            return self._ask_moto(env, start)
        if fault["stored"]:
            list(self._ask_moto(env, lambda *_: None))
        return _fail(fault, env, start)

    def _ask_moto(self, env: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        conditional = "HTTP_IF_NONE_MATCH" in env or "HTTP_IF_MATCH" in env
        if env["REQUEST_METHOD"] in ("PUT", "POST") and conditional:
            with self._conditional:
                return list(self._moto(env, start))
        return self._moto(env, start)

    def _rules_of(self, bucket: str) -> _Rules:
        with self._rules_lock:
            return self._rules.setdefault(bucket, _Rules())

    def _control(self, bucket: str, env: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        rules = self._rules_of(bucket)
        told = json.loads(env["wsgi.input"].read(int(env.get("CONTENT_LENGTH") or 0)) or b"{}")
        with self._rules_lock:
            if "fault" in told:
                rules.faults.append(told.pop("fault"))
            for name, value in told.items():
                setattr(rules, name, value)
            seen = list(rules.requests)
            if env["REQUEST_METHOD"] == "DELETE":
                del self._rules[bucket]
                _forget_bucket(bucket)
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"requests": seen}).encode()]


def _next_fault(rules: _Rules, method: str, path: str) -> dict[str, Any] | None:
    for fault in rules.faults:
        if fault["method"] == method and fault["key"] in path and fault["times"] > 0:
            fault["times"] -= 1
            return fault
    return None


def _fail(fault: dict[str, Any], env: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    if fault["how"] == "500":
        return _answer(env, start, "500 Internal Server Error", "InternalError")
    if fault["how"] == "503":
        return _answer(env, start, "503 Service Unavailable", "ServiceUnavailable")
    if fault["how"] == "403":
        return _answer(env, start, "403 Forbidden", "AccessDenied")
    if fault["how"] == "hang":
        time.sleep(fault["hang"])
    import socket

    env["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("the answer is lost on purpose")


def _answer(env: dict[str, Any], start: Callable[..., Any], status: str, code: str) -> Iterable[bytes]:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said so by the test</Message></Error>"
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [] if env["REQUEST_METHOD"] == "HEAD" else [body.encode()]


def _forget_bucket(name: str) -> None:
    from moto.s3.models import s3_backends

    for account in s3_backends.values():
        for backend in account.values():
            backend.buckets.pop(name, None)


def main() -> int:
    # Objects stay in memory: on disk moto's own temporary files would be what is measured.
    os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", str(1 << 30))
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            if type != "info":
                super().log(type, message, *args)

    application = _Application(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    server.shutdown()
    serving.join()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
