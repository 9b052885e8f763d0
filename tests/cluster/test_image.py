"""The image: built from what it names, run by nobody special."""

from __future__ import annotations

import json
from fnmatch import fnmatch

from dockerfile_parse import DockerfileParser

from tests.cluster.files import CLUSTER, IMAGE, ROOT, SECRET


def steps() -> list[tuple[str, str]]:
    """Instruction and argument of each step of the Dockerfile."""
    parser = DockerfileParser(fileobj=(CLUSTER / "Dockerfile").open("rb"))
    return [(step["instruction"], step["value"]) for step in parser.structure if step["instruction"] != "COMMENT"]


def values(instruction: str) -> list[str]:
    return [value for name, value in steps() if name == instruction]


def test_the_image_ends_as_a_user_without_rights() -> None:
    user, group = values("USER")[-1].split(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000
    assert steps().index(("USER", f"{user}:{group}")) > max(
        number for number, (name, _) in enumerate(steps()) if name in ("RUN", "COPY")
    )


def test_base_images_are_pinned_to_a_version() -> None:
    bases = [value.split()[0] for value in values("FROM")]
    assert len(bases) == 2
    for base in bases:
        assert IMAGE.match(base), base


def test_there_is_no_secret_in_the_image() -> None:
    for value in values("ENV") + values("ARG"):
        for name in (word.split("=")[0] for word in value.split() if "=" in word):
            assert not SECRET.search(name), name
    assert not values("ADD")


def test_it_starts_without_a_shell_and_says_whether_it_is_well() -> None:
    assert json.loads(values("ENTRYPOINT")[-1]) == ["tini", "--"]
    assert json.loads(values("CMD")[-1]) == ["rayflow", "--help"]
    assert json.loads(values("HEALTHCHECK")[-1].split("CMD ", 1)[1]) == ["ray", "health-check"]


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    allowed = [
        line.removeprefix("!")
        for line in (CLUSTER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    for value in values("COPY"):
        *sources, _ = value.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, pattern) for pattern in allowed), source
