"""What the audit looks up, and that what it could not look up is told."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import confluent_kafka
import pytest
from packaging.requirements import Requirement

from tests.ci.conftest import FOLDER

Services = Callable[..., ModuleType]


@pytest.fixture
def services(ci: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> Services:
    """The audit, with services that say this: `python` of packages by pip-audit, `osv` of package URLs; None: no
    answer."""

    def saying(python: dict[str, list[str]] | None, osv: dict[str, str] | None) -> ModuleType:
        audit = ci["audit"]

        def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
            if python is None:
                return subprocess.CompletedProcess(command, 1, stdout="", stderr="no network")
            dependencies: list[dict[str, Any]] = [
                {"name": name, "version": "1", "vulns": [{"id": bug} for bug in bugs]} for name, bugs in python.items()
            ]
            dependencies.append({"name": "ours", "skip_reason": "not on the index"})
            return subprocess.CompletedProcess(command, 0, stdout=json.dumps({"dependencies": dependencies}), stderr="")

        def ask(purls: list[str]) -> Iterator[tuple[str, str]]:
            if osv is None:
                raise audit.NoAnswer
            return ((purl, osv[purl]) for purl in purls if purl in osv)

        monkeypatch.setattr(audit.subprocess, "run", run)
        monkeypatch.setattr(audit, "ask_osv", ask)
        return audit

    return saying


def test_without_an_answer_the_summary_says_what_was_not_checked_and_a_strict_run_fails(
    services: Services, summary: Path
) -> None:
    audit = services(None, None)
    assert audit.main([]) == 0
    told = summary.read_text()
    for of in ("installed packages", "lowest versions", "bundled libraries"):
        assert f"- vulnerabilities, {of}: NOT CHECKED, " in told
    assert audit.main(["--strict"]) == 2


def test_what_a_service_does_not_know_is_told_by_name(services: Services, summary: Path) -> None:
    services({"click": []}, {}).main([])
    told = summary.read_text()
    assert "installed packages: 0 found in 1\n" in told
    assert "installed packages: NOT CHECKED, the advisory service does not know ours\n" in told
    assert f"librdkafka {confluent_kafka.libversion()[0]}" in told
    assert "LMDB 0.9" in told
    assert "OpenSSL " in told


def test_a_vulnerability_of_a_package_fails(services: Services, summary: Path) -> None:
    assert services({"click": ["PYSEC-1"]}, {}).main([]) == 1
    assert "- vulnerability, installed packages: click 1: PYSEC-1\n" in summary.read_text()
    assert "- vulnerability, lowest versions: click 1: PYSEC-1\n" in summary.read_text()


def test_a_vulnerability_of_a_bundled_library_is_told_and_fails_a_strict_run(
    services: Services, ci: dict[str, ModuleType], summary: Path
) -> None:
    for package, kind in (("obstore", "pkg:cargo/"), ("ray", "pkg:pypi/aiohttp@")):
        purls = [purl for _, purl in ci["audit"].bill_of_materials(distribution(package))]
        purl = next(purl for purl in purls if purl.startswith(kind))
        audit = services({"click": []}, {purl: "BUG-1"})
        assert (audit.main([]), audit.main(["--strict"])) == (0, 1)
        assert f"- vulnerability, bundled libraries: {purl} in " in summary.read_text()


def test_osv_is_asked_in_batches_and_its_silence_is_no_answer(
    ci: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    class Osv(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            asked.append([query["package"]["purl"] for query in queries])
            results = [{"vulns": [{"id": "BUG-2"}]} if purl == "b" else {} for purl in asked[-1]]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"results": results}).encode())

        def log_message(self, *_: object) -> None:
            pass

    audit = ci["audit"]
    monkeypatch.setattr(audit, "BATCH", 2)
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        monkeypatch.setattr(audit, "OSV", f"http://127.0.0.1:{server.server_address[1]}")
        Thread(target=server.serve_forever, daemon=True).start()
        assert list(audit.ask_osv(["a", "b", "c"])) == [("b", "BUG-2")]
        server.shutdown()
    assert asked == [["a", "b"], ["c"]]
    with pytest.raises(audit.NoAnswer):
        list(audit.ask_osv(["a"]))


def test_the_lowest_versions_are_those_of_every_dependency_that_users_get(ci: dict[str, ModuleType]) -> None:
    lowest = ci["dependencies"].lowest()
    assert {"click==8.1", "msgpack==1.0.8", "ray==2.60"} <= set(lowest)
    assert not [pin for pin in lowest if pin.startswith(("pytest", "mkdocs", "rayflow"))]
    assert all(Requirement(pin) for pin in lowest)


def test_a_dependency_without_a_lower_bound_is_refused(
    ci: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ci["dependencies"].PROJECT, "dependencies", ["click<9"])
    with pytest.raises(ValueError, match="click has no lower bound"):
        ci["dependencies"].lowest()


def test_licences_include_those_of_the_extras(
    ci: dict[str, ModuleType], summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    licences = ci["licences"]
    assert licences.main() == 0
    assert "licences: permissive" in summary.read_text()
    monkeypatch.setattr(licences, "IN_EXTRAS", {})
    assert licences.main() == 1
    assert "licences: REFUSED" in summary.read_text()


def test_the_licence_of_a_package_that_is_not_installed_is_not_taken_for_checked(
    ci: dict[str, ModuleType], summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ci["dependencies"].needed
    monkeypatch.setattr(ci["licences"], "needed", lambda name, extras=frozenset(): (found(name, extras)[0], ["ray"]))
    assert ci["licences"].main() == 2
    assert "licences: NOT CHECKED: ray" in summary.read_text()


def test_a_needed_package_that_is_missing_is_named(ci: dict[str, ModuleType]) -> None:
    assert ci["dependencies"].needed("no-such-distribution") == ({}, ["no-such-distribution"])
    found, missing = ci["dependencies"].needed("rayflow-streams", frozenset({"ray"}))
    assert {"ray", "certifi", "click"} <= found.keys()
    assert missing == []


def test_the_run_ends_with_the_summary() -> None:
    text = (FOLDER / "run").read_text()
    assert text.index("export CI_SUMMARY") < text.index("trap ") < text.index("make test")
