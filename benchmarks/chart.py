"""The figures as a picture: a bar per contender, a group per workload; SVG, for the docs."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from statistics import median

from benchmarks.campaign import Run
from benchmarks.workloads import BY_HAND, BYTEWAX, KAFKA_STREAMS, QUIX, RAYFLOW

COLOURS = {RAYFLOW: "#e64a19", BY_HAND: "#9e9e9e", KAFKA_STREAMS: "#37474f", QUIX: "#90a4ae", BYTEWAX: "#cfd8dc"}
LEFT, BARS, RIGHT = 210, 560, 70
BAR, GAP, TOP = 16, 18, 44


def svg(runs: Sequence[Run], title: str) -> str:
    """Medians over the rounds, in CPU microseconds per record; shorter is better."""
    costs: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        costs.setdefault(run.workload, {}).setdefault(run.contender, []).append(run.microseconds)
    most = max((median(found) for group in costs.values() for found in group.values()), default=1.0)
    body: list[str] = []
    y = TOP
    for workload, group in costs.items():
        middle = y + len(group) * BAR / 2 + 4
        body.append(f'<text x="10" y="{middle:.0f}" font-weight="bold">{escape(workload)}</text>')
        for contender in sorted(group, key=list(COLOURS).index):
            cost = median(group[contender])
            width = max(1.0, cost / most * BARS)
            body.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(contender)}</text>')
            body.append(
                f'<rect x="{LEFT}" y="{y + 1}" width="{width:.1f}" height="{BAR - 3}" fill="{COLOURS[contender]}"/>'
            )
            body.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 12}">{cost:.1f}</text>')
            y += BAR
        y += GAP
    width = LEFT + BARS + RIGHT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" font-family="sans-serif"',
            ' font-size="12" fill="#222">',
            f'<rect width="{width}" height="{y}" fill="#fff"/>',
            f'<text x="10" y="22" font-size="14">{escape(title)}</text>',
            *body,
            "</svg>\n",
        ]
    )
