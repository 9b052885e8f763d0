"""A checkpoint store in an object storage service: S3, Google Cloud Storage, Azure, or this process's memory."""

from __future__ import annotations

import builtins
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rayflow.checkpoint.layout import is_object_name
from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import CheckpointStoreFailed, InvalidSetting, ObjectExists, ObjectMissing

if TYPE_CHECKING:
    import obstore.store as services

_CHUNK = 8 << 20
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    "memory": (),
}
_shared_memory: dict[str, services.MemoryStore] = {}


class ObjectStore(CheckpointStore):
    """Objects under a prefix of a bucket. `create` uses the service's conditional put (if-none-match).

    Credentials, region and endpoint come from the environment, under the names that each service's tools use
    (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME...). Plain http is
    used only for this machine; for other hosts set AWS_ALLOW_HTTP=true.

    Requests that fail because of a temporary fault are repeated for up to 3 minutes. If the answer to a `create` is
    lost, the object may exist although CheckpointStoreFailed or ObjectExists was raised: read it before you decide.

    Args:
        uri: `s3:bucket/prefix`, `gs:bucket/prefix`, `az:container/prefix` (`//` after the colon is allowed), `memory:`
            (its own) or `memory:name` (shared within the process; for tests).

    Raises InvalidSetting for another form, CheckpointStoreFailed if the environment lacks a value that the service
    needs.

    >>> store = ObjectStore("memory:")
    >>> store.create("a/b", b"one")
    >>> store.get_range("a/b", 1, 10)
    b'ne'
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        with self._refusals("open", "the store"):
            self._service = _service(uri)

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        import obstore

        with self._refusals("write", name):
            if sum(map(len, parts)) <= _CHUNK:
                obstore.put(self._service, self._checked(name), b"".join(parts), use_multipart=False)
            else:
                obstore.put(self._service, self._checked(name), iter(parts), use_multipart=True, chunk_size=_CHUNK)

    def create(self, name: str, data: bytes) -> None:
        import obstore

        with self._refusals("write", name):
            obstore.put(self._service, self._checked(name), data, mode="create")

    def get(self, name: str) -> bytes:
        import obstore

        with self._refusals("read", name):
            return bytes(obstore.get(self._service, self._checked(name)).bytes())

    def get_range(self, name: str, start: int, length: int) -> bytes:
        import obstore

        if length <= 0:
            self.size(name)
            return b""
        try:
            with self._refusals("read", name):
                return bytes(obstore.get_range(self._service, self._checked(name), start=start, length=length))
        except CheckpointStoreFailed:
            if start >= self.size(name):  # services refuse such a range, with different errors
                return b""
            raise

    def size(self, name: str) -> int:
        import obstore

        with self._refusals("read", name):
            return obstore.head(self._service, self._checked(name))["size"]

    def list(self, prefix: str) -> builtins.list[str]:
        import obstore

        folder = prefix.rpartition("/")[0]  # services match only whole parts of a name
        with self._refusals("list", prefix):
            chunks = obstore.list(self._service, folder or None)
            return sorted(meta["path"] for chunk in chunks for meta in chunk if meta["path"].startswith(prefix))

    def delete(self, names: Sequence[str]) -> None:
        import obstore

        with self._refusals("delete", f"{len(names)} objects"):
            try:
                obstore.delete(self._service, [self._checked(name) for name in names])
            except FileNotFoundError:  # some services refuse the whole call for a missing object
                for name in names:
                    try:
                        obstore.delete(self._service, name)
                    except FileNotFoundError:
                        continue

    def _checked(self, name: str) -> str:
        if not is_object_name(name):
            raise CheckpointStoreFailed(f"{self.uri}: {name!r} is not a name for an object")
        return name

    @contextmanager
    def _refusals(self, action: str, name: str) -> Iterator[None]:
        from obstore.exceptions import AlreadyExistsError, BaseError

        try:
            yield
        except AlreadyExistsError as error:
            raise ObjectExists(f"{self.uri} already has an object {name}") from error
        except FileNotFoundError as error:
            if action == "read":
                raise ObjectMissing(f"{self.uri} has no object {name}") from error
            raise CheckpointStoreFailed(f"{self.uri}: cannot {action} {name}: {_reason(error)}") from error
        except (BaseError, OSError, ValueError) as error:
            if isinstance(error, InvalidSetting):
                raise
            raise CheckpointStoreFailed(f"{self.uri}: cannot {action} {name}: {_reason(error)}") from error


def _service(uri: str) -> services.ObjectStore:
    import obstore.store as services

    scheme, _, rest = uri.partition(":")
    bucket, _, prefix = rest.removeprefix("//").strip("/").partition("/")
    if scheme == "memory":
        return _shared_memory.setdefault(bucket, services.MemoryStore()) if bucket else services.MemoryStore()
    if scheme not in _ENDPOINTS or not bucket or any(character in rest for character in "@?#"):
        raise InvalidSetting(
            "A checkpoint URI is invalid",  # it is not repeated: it may hold credentials
            advice="Use s3:bucket/prefix, gs:bucket/prefix or az:container/prefix; credentials go into the environment",
        )
    options: services.ClientConfig = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "15m"}
    if _endpoint_is_this_machine(scheme):
        options["allow_http"] = True
    if scheme == "s3":
        return services.S3Store(bucket, prefix=prefix or None, client_options=options)
    if scheme == "gs":
        return services.GCSStore(bucket, prefix=prefix or None, client_options=options)
    return services.AzureStore(bucket, prefix=prefix or None, client_options=options)


def _endpoint_is_this_machine(scheme: str) -> bool:
    endpoint = next((os.environ[name] for name in _ENDPOINTS[scheme] if os.environ.get(name)), "")
    host = urlsplit(endpoint).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: Exception) -> str:
    """One line of a service's answer: its text also contains the request, the answer and debugging output."""
    text = str(error)
    line = text.partition("\n")[0].partition("<?xml")[0].strip().rstrip(":")
    code = re.search(r"<Code>(\w+)</Code>", text)
    return f"{line} ({code[1]})" if code else line
