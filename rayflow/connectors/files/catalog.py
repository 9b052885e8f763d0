"""Finds the files of a topic, and assigns them to partitions."""

from __future__ import annotations

import glob
import hashlib
from pathlib import Path

from rayflow.connectors.base import TopicInfo
from rayflow.core.errors import UnknownTopic


def files_of(base: Path, topic: str, suffix: str) -> list[Path]:
    """The files of a topic, sorted by path: file i is partition i.

    A topic is the path of a file, a directory (its files that end in `suffix`, except hidden ones) or a glob pattern.
    Relative paths start at `base`. New files must sort after the existing ones: a job does not start if a partition is
    another file than before. Raises UnknownTopic if there is no file.
    """
    path = base / topic
    if path.is_file():
        return [path]
    if path.is_dir():
        found = parts_in(path, suffix)
    else:
        found = [Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file()]
    if not found:
        raise UnknownTopic(
            f"There is no {suffix} file at {path}",
            topic=topic,
            advice=f"Give a file, a directory or a glob pattern; relative paths start at {base}",
        )
    return sorted(found, key=str)


def list_topics(base: Path, suffix: str) -> list[TopicInfo]:
    """The files of that suffix directly in `base`, and the directories there that hold such files."""
    found = []
    for path in base.iterdir() if base.is_dir() else ():
        if _is_part(path, suffix):
            found.append(TopicInfo(path.name, 1))
        elif path.is_dir() and not path.name.startswith("."):
            parts = parts_in(path, suffix)
            if parts:
                found.append(TopicInfo(path.name, len(parts)))
    return sorted(found, key=lambda info: info.name)


def digest(*parts: str) -> str:
    """Eight characters that identify a text, or several texts."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=4).hexdigest()


def parts_in(folder: Path, suffix: str) -> list[Path]:
    """The files directly in a directory that end in `suffix`, except hidden ones, which may be unfinished."""
    return [file for file in folder.iterdir() if _is_part(file, suffix)]


def _is_part(path: Path, suffix: str) -> bool:
    return path.suffix == suffix and not path.name.startswith(".") and path.is_file()
