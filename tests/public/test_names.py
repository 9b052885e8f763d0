"""The public names and their signatures: a change here is a change for every user, made on purpose."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import rayflow as rf

FROZEN = Path(__file__).parent / "names.txt"


def described() -> list[str]:
    lines: list[str] = []
    for name in sorted(rf.__all__):
        if name == "testing":
            continue
        public = getattr(rf, name)
        if inspect.isclass(public):
            bases = ", ".join(base.__name__ for base in public.__bases__ if base.__name__ not in ("object", "Misuse"))
            lines.append(f"class {name}({bases})")
            ours = {member for base in public.__mro__ if base.__module__.startswith("rayflow") for member in vars(base)}
            methods = (member for member in sorted(ours) if not member.startswith("_"))
            lines += [f"  {name}.{member}{_signature(getattr(public, member))}" for member in methods]
        elif callable(public):
            lines.append(f"{name}{_signature(public)}")
        else:
            lines.append(f"{name}: {type(public).__name__}")
    return lines


def _signature(member: object) -> str:
    """Names, kinds and defaults of parameters; annotations are the type checker's matter."""
    if not callable(member):
        return ""
    signature = inspect.signature(member)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def test_the_public_names_and_signatures_are_frozen() -> None:
    """To accept a change, write the lines of `described()` to names.txt and say why in the commit."""
    assert "\n".join(described()) + "\n" == FROZEN.read_text()


def test_every_public_name_is_there_and_documented() -> None:
    for name in rf.__all__:
        if name in ("testing", "__version__"):
            continue
        public = getattr(rf, name)
        assert inspect.getdoc(public), name
        if inspect.isclass(public) and public.__module__.startswith("rayflow.api"):
            for member in vars(public):
                if not member.startswith("_") and callable(getattr(public, member)):
                    assert inspect.getdoc(getattr(public, member)), f"{name}.{member}"


def test_importing_rayflow_imports_nothing_heavy() -> None:
    code = "import sys, rayflow; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"ray", "confluent_kafka", "obstore", "lmdb", "click", "rich", "asyncio", "structlog", "pydantic"}
    assert not heavy & set(done.stdout.split())
