"""Opens the checkpoint store of a URI."""

from __future__ import annotations

from rayflow.checkpoint.store import CheckpointStore
from rayflow.core.errors import InvalidSetting


def open_store(uri: str) -> CheckpointStore:
    """The store at `uri`: `file:PATH`, `s3:bucket/prefix`, `gs:bucket/prefix`, `az:container/prefix`, `memory:`.

    Raises InvalidSetting for another scheme or form, CheckpointStoreFailed when it cannot be opened.

    >>> open_store("memory:").list("")
    []
    >>> open_store("ftp:somewhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    rayflow.core.errors.job_files.InvalidSetting: [RF-1005] Checkpoints cannot be kept under 'ftp:'. Use ...
    """
    scheme, colon, _ = uri.partition(":")
    if scheme == "file" and colon:
        from rayflow.checkpoint.file_store import FileStore

        return FileStore(uri)
    if scheme in ("s3", "gs", "az", "memory") and colon:
        from rayflow.checkpoint.object_store import ObjectStore  # obstore takes long to import

        return ObjectStore(uri)
    found = f"'{scheme}:'" if colon else "a URI without a scheme"
    raise InvalidSetting(f"Checkpoints cannot be kept under {found}", advice="Use file:, s3:, gs: or az:")


def uri_of_job(uri: str, job: str) -> str:
    """The URI of a job's checkpoints in a place that several jobs share: under the job's name.

    >>> uri_of_job("s3:bucket/checkpoints/", "revenue")
    's3:bucket/checkpoints/revenue'
    """
    return f"{uri.rstrip('/')}/{job}"
