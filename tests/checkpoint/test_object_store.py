from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore

from rayflow.checkpoint.object_store import ObjectStore
from rayflow.checkpoint.open import open_store
from rayflow.core.errors import CheckpointStoreFailed, InvalidSetting


class Refusal(http.server.BaseHTTPRequestHandler):
    """Refuses every request as S3 does for a wrong secret."""

    def refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b'<?xml version="1.0"?><Error><Code>SignatureDoesNotMatch</Code><Detail>private</Detail></Error>'
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET = do_POST = do_DELETE = refuse  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def refusing_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Refusal)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    yield ObjectStore("s3:bucket/prefix")
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_the_service_refuses_is_one_line_with_its_code(refusing_s3: ObjectStore) -> None:
    uses = (
        lambda: refusing_s3.put("a", [b"1"]),
        lambda: refusing_s3.create("a", b"1"),
        lambda: refusing_s3.get("a"),
        lambda: refusing_s3.list("a/"),
        lambda: refusing_s3.delete(["a"]),
    )
    for use in uses:
        with pytest.raises(CheckpointStoreFailed, match=r"s3:bucket/prefix: cannot .*SignatureDoesNotMatch") as error:
            use()
        assert "\n" not in str(error.value)
        assert "secret" not in str(error.value)
        assert "private" not in str(error.value)


def test_memory_is_shared_by_name_only() -> None:
    ObjectStore("memory:shared-by-name").put("a", [b"1"])
    assert ObjectStore("memory:shared-by-name").list("") == ["a"]
    ObjectStore("memory:").put("a", [b"1"])
    assert ObjectStore("memory:").list("") == []


@pytest.mark.parametrize("uri", ["s3:", "s3://", "gs:/", "s3:key:secret@bucket/x", "s3:bucket?token=secret"])
def test_a_uri_that_names_no_bucket_is_refused_without_repeating_it(uri: str) -> None:
    with pytest.raises(InvalidSetting) as error:
        open_store(uri)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("uri", ["", "checkpoints", "/absolute", "http://host/x"])
def test_another_scheme_is_refused(uri: str) -> None:
    with pytest.raises(InvalidSetting, match="Use file:"):
        open_store(uri)


def test_plain_http_is_not_used_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://192.0.2.1:9000")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)
    with pytest.raises(CheckpointStoreFailed):
        ObjectStore("s3:bucket").put("a", [b"1"])


def test_the_bucket_and_prefix_of_every_service_come_from_the_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    for uri in ("s3:bucket/a/b", "s3://bucket/a/b/", "gs:bucket/a/b", "gs://bucket/a/b", "az:bucket/a/b"):
        store = open_store(uri)
        assert isinstance(store, ObjectStore)
        service: Any = store._service
        assert service.prefix == "a/b"
        assert "bucket" in service.config.values()


def test_an_azure_store_without_an_account_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(CheckpointStoreFailed, match="Account must be specified"):
        open_store("az:container")


def test_deleting_what_is_missing_is_no_error_where_the_service_says_it_is(tmp_path: Path) -> None:
    store = ObjectStore("memory:")
    store._service = LocalStore(prefix=tmp_path)  # refuses as Google's and Azure's services do
    for name in ("a", "b", "c"):
        store.put(name, [b"1"])
    store.delete(["missing", "a", "missing/too", "c"])
    assert store.list("") == ["b"]
