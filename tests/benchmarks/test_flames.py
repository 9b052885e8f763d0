"""Flame graphs: as wide as the samples, readable as XML, without what says nothing."""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.budget import PARTS, part_of
from benchmarks.flames import WIDTH, draw, tree_of

SVG = "{http://www.w3.org/2000/svg}"
RUN = "main (x.py:1);LocalRuntime.run (rayflow/runtimes/local/runtime.py:5)"
LINES = [
    f"{RUN};KafkaReader.poll (rayflow/connectors/kafka/reader.py:68) 60",
    f"{RUN};KafkaReader.poll (rayflow/connectors/kafka/reader.py:70) 20",
    f"{RUN};loop (<rayflow loop 12>:4) 20",
    "run (threading.py:982);_worker (concurrent/futures/thread.py:81) 500",
]


def picture() -> ElementTree.Element:
    return ElementTree.fromstring(draw("a & b", tree_of(LINES, part_of), list(PARTS)))


def test_each_function_is_as_wide_as_its_share() -> None:
    found = {
        group.findtext(f"{SVG}title"): float(group.find(f"{SVG}rect").attrib["width"])  # type: ignore[union-attr]
        for group in picture().iter(f"{SVG}g")
    }
    assert found == {
        "LocalRuntime.run (rayflow/runtimes/local/runtime.py) 100.0%": WIDTH,
        "KafkaReader.poll (rayflow/connectors/kafka/reader.py) 80.0%": WIDTH * 0.8,
        "loop (<rayflow loop 12>) 20.0%": WIDTH * 0.2,
    }


def test_the_legend_names_the_parts_with_their_shares() -> None:
    texts = [text.text for text in picture().findall(f"{SVG}text")]
    assert texts == ["a & b", "consume 80%", "operators 20%"]
