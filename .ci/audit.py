"""Looks up known vulnerabilities: of the installed packages, of the lowest versions that rayflow accepts, and of the
libraries inside of the packages that it needs.

What could not be looked up is never silent: a line NOT CHECKED, also in the summary at the end of `.ci/run`. Exit
codes: 1 for a vulnerability of an installed package; with --strict, also for one elsewhere, and 2 if anything was not
checked (for runs that can reach the services).
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from pathlib import Path
from urllib.request import Request, urlopen

from dependencies import NAME, USERS, lowest, needed
from summary import tell

OSV = "https://api.osv.dev/v1/querybatch"
INSTALLED = "installed packages"
BATCH = 1_000
"""Queries that OSV takes at once (https://google.github.io/osv.dev/post-v1-querybatch/)."""
KNOWN_THERE = ("pkg:cargo/", "pkg:pypi/", "pkg:npm/", "pkg:maven/", "pkg:golang/")
"""Kinds of packages that OSV has advisories for by version. It has none for C libraries."""
C_LIBRARIES = {
    "OpenSSL": re.compile(rb"OpenSSL (\d+\.\d+\.\d+[a-z]?) +\d\d? [A-Z][a-z]{2} \d{4}"),
    "zlib": re.compile(rb"deflate (\d+\.\d+(?:\.\d+)*) Copyright"),
    "libcurl": re.compile(rb"libcurl/(\d+\.\d+\.\d+)"),
}
"""Where a library that is linked into a binary says its version."""


class NoAnswer(Exception):
    """The advisory service could not be asked."""


def pip_audit(*arguments: str) -> list[dict]:
    """What pip-audit says of each package. Raises NoAnswer if it could look up none."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        raise NoAnswer from None
    if not any("vulns" in package for package in packages):
        raise NoAnswer
    return packages


def ask_osv(purls: list[str]) -> Iterator[tuple[str, str]]:
    """Each package of the list that has an advisory, with the advisory's id. Raises NoAnswer."""
    for at in range(0, len(purls), BATCH):
        some = purls[at : at + BATCH]
        body = json.dumps({"queries": [{"package": {"purl": purl}} for purl in some]}).encode()
        try:
            with urlopen(Request(OSV, body, {"Content-Type": "application/json"}), timeout=60) as answer:
                results = json.load(answer)["results"]
            yield from (
                (purl, bug["id"]) for purl, one in zip(some, results, strict=True) for bug in one.get("vulns", ())
            )
        except (OSError, ValueError, KeyError):
            raise NoAnswer from None


class Audit:
    """Runs the checks, and counts what they found and what they could not look up."""

    def __init__(self) -> None:
        self.found = 0
        self.elsewhere = 0
        self.unchecked = 0

    def packages(self, of: str, *arguments: str) -> None:
        """Packages that pip-audit finds by its arguments."""
        try:
            packages = pip_audit(*arguments)
        except NoAnswer:
            self.not_checked(of, "the advisory service gave no answer for any package")
            return
        known = [package for package in packages if "vulns" in package]
        self._tell(
            of,
            len(known),
            [(f"{each['name']} {each['version']}", bug["id"]) for each in known for bug in each["vulns"]],
        )
        unknown = sorted(package["name"] for package in packages if "vulns" not in package)
        if unknown:
            self.not_checked(of, f"the advisory service does not know {', '.join(unknown)}")

    def bundled(self, distributions: Iterable[Distribution]) -> None:
        """Libraries inside of packages, by their bills of materials (PEP 770), and C libraries by their binaries."""
        purls: dict[str, str] = {}
        unknown: set[str] = set()
        for one in distributions:
            for name, purl in bill_of_materials(one):
                if purl.startswith(KNOWN_THERE):
                    purls[purl] = one.name
                else:
                    unknown.add(f"{name} in {one.name}")
            unknown |= {f"{name} in {one.name}" for name in c_libraries(one)}
        of = "bundled libraries"
        try:
            found = [(f"{purl} in {purls[purl]}", bug) for purl, bug in ask_osv(sorted(purls))]
        except NoAnswer:
            self.not_checked(
                of, f"{OSV} gave no answer ({len(purls)} libraries of {len(set(purls.values()))} packages)"
            )
        else:
            self._tell(of, len(purls), found)
        if unknown:
            self.not_checked(of, f"no service has advisories by version for {', '.join(sorted(unknown))}")

    def _tell(self, of: str, number: int, found: list[tuple[str, str]]) -> None:
        if of == INSTALLED:
            self.found += len(found)
        else:
            self.elsewhere += len(found)
        for what, bug in found:
            tell(f"vulnerability, {of}: {what}: {bug}")
        tell(f"vulnerabilities, {of}: {len(found)} found in {number}")

    def not_checked(self, of: str, why: str) -> None:
        self.unchecked += 1
        tell(f"vulnerabilities, {of}: NOT CHECKED, {why}")


def bill_of_materials(package: Distribution) -> Iterator[tuple[str, str]]:
    """Name and version, and package URL, of each component that a wheel says it contains, and of each Python package
    that it has a copy of."""
    for file in package.files or ():
        if len(file.parts) > 2 and file.parts[-2].endswith(".dist-info") and file.name == "METADATA":
            name, _, version = file.parts[-2].removesuffix(".dist-info").partition("-")
            yield f"{name} {version}", f"pkg:pypi/{name.replace('_', '-').lower()}@{version}"
        if "sboms" not in file.parts or file.suffix != ".json":
            continue
        for component in json.loads(file.read_text()).get("components", ()):
            name = f"{component['name']} {component.get('version', '(no version)')}"
            yield name, re.split(r"[?#]", component.get("purl", ""))[0]


def c_libraries(package: Distribution) -> set[str]:
    """Name and version of C libraries that a package has linked into its binaries."""
    found = set()
    if package.name == "confluent-kafka":
        import confluent_kafka

        found.add(f"librdkafka {confluent_kafka.libversion()[0]}")
    elif package.name == "lmdb":
        import lmdb

        found.add(f"LMDB {'.'.join(map(str, lmdb.version()))}")
    for file in package.files or ():
        if ".so" in file.suffixes or file.suffix == ".dylib":
            content = Path(str(file.locate())).read_bytes()
            for name, version in C_LIBRARIES.items():
                found |= {f"{name} {each.decode()}" for each in version.findall(content)}
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail if anything could not be looked up")
    strict = parser.parse_args(arguments).strict
    audit = Audit()
    audit.packages(INSTALLED, "--skip-editable")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(lowest()))
        file.flush()
        audit.packages("lowest versions", "--no-deps", "--disable-pip", "--requirement", file.name)
    found, missing = needed(NAME, USERS)
    audit.bundled(found[name] for name in sorted(found) if name != NAME)
    if missing:
        audit.not_checked("bundled libraries", f"not installed: {', '.join(missing)}")
    if audit.found or (strict and audit.elsewhere):
        return 1
    return 2 if strict and audit.unchecked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
