import msgspec
import pytest

from benchmarks.answers import Answers, Record, WrongResult
from benchmarks.orders import BEGIN, orders

encode = msgspec.json.encode
Outputs = dict[str, list[Record]]
COUNT = 50_000
"""50 s of orders: windows close, and some stay open."""


def partition_of(key: bytes) -> int:
    return int(key[1:]) % 4


@pytest.fixture(scope="module")
def source() -> list[Record]:
    return [(key, value, time, partition_of(key)) for key, value, time in orders(COUNT)]


@pytest.fixture(scope="module")
def answers(source: list[Record]) -> Answers:
    return Answers(source)


@pytest.fixture(scope="module")
def outputs(source: list[Record]) -> Outputs:
    """What a right program writes, by the name of the check."""
    made: dict[str, list[Record]] = {"identity": source, "map": []}
    rows: dict[str, list[float]] = {}
    windows: dict[tuple[str, int, int], list[float]] = {}
    for name in ("updates_per_user", "updates_per_item"):
        made[name] = []
    for key, value, time, partition in source:
        order = msgspec.json.decode(value)
        revenue = order["price"] * order["qty"]
        if order["price"] > 20:
            made["map"].append((key, encode({"user": order["user"], "total": revenue}), time, partition))
        for name, group in (("updates_per_user", order["user"]), ("updates_per_item", order["item"])):
            row = rows.setdefault(group, [0, 0.0])
            row[0] += 1
            row[1] += revenue
            update = encode({"key": group, "count": row[0], "revenue": row[1]})
            made[name].append((group.encode(), update, time, 0))
        window = windows.setdefault((order["user"], time - time % 60_000, partition), [0, 0.0])
        window[0] += 1
        window[1] += revenue
    for all_windows in ("windows", "closed_windows"):
        made[all_windows] = [
            (user.encode(), encode({"key": user, "window_start": start, "count": n, "revenue": r}), start + 59_999, 0)
            for (user, start, _), (n, r) in windows.items()
            if all_windows == "windows" or start + 65_000 <= BEGIN + COUNT - 50
        ]
    made["newest_per_user"] = list({record[0]: record for record in made["updates_per_user"]}.values())
    made["newest_per_item"] = list({record[0]: record for record in made["updates_per_item"]}.values())
    return made


CHECKS = [
    "identity",
    "map",
    "updates_per_user",
    "newest_per_user",
    "updates_per_item",
    "newest_per_item",
    "windows",
    "closed_windows",
]


@pytest.mark.parametrize("name", CHECKS)
def test_a_right_result_is_right(name: str, answers: Answers, outputs: Outputs) -> None:
    assert answers.check(name, outputs[name]) == len(outputs[name])


@pytest.mark.parametrize("name", CHECKS)
def test_a_missing_record_is_a_wrong_result(name: str, answers: Answers, outputs: Outputs) -> None:
    with pytest.raises(WrongResult):
        answers.check(name, outputs[name][:-1])


@pytest.mark.parametrize("name", CHECKS)
def test_a_record_that_comes_twice_is_a_wrong_result(name: str, answers: Answers, outputs: Outputs) -> None:
    with pytest.raises(WrongResult):
        answers.check(name, [*outputs[name], outputs[name][-1]])


@pytest.mark.parametrize("name", CHECKS)
def test_a_record_with_another_value_is_a_wrong_result(name: str, answers: Answers, outputs: Outputs) -> None:
    key, value, time, partition = outputs[name][-1]
    changed = msgspec.json.decode(value)
    field = next(field for field in ("price", "total", "revenue") if field in changed)
    changed[field] += 1
    with pytest.raises(WrongResult):
        answers.check(name, [*outputs[name][:-1], (key, encode(changed), time, partition)])


@pytest.mark.parametrize("name", CHECKS[1:])
def test_a_value_that_cannot_be_read_is_a_wrong_result(name: str, answers: Answers, outputs: Outputs) -> None:
    key, _, time, partition = outputs[name][-1]
    with pytest.raises(WrongResult, match="cannot be read"):
        answers.check(name, [*outputs[name][:-1], (key, b"{", time, partition)])


@pytest.mark.parametrize("name", ["map", "updates_per_user", "updates_per_item"])
def test_a_key_that_the_input_does_not_have_is_a_wrong_result(name: str, answers: Answers, outputs: Outputs) -> None:
    _, _, time, partition = outputs[name][-1]
    value = encode({"user": "u99999", "total": 1.0, "key": "u99999", "count": 1, "revenue": 1.0})
    with pytest.raises(WrongResult):
        answers.check(name, [*outputs[name], (b"u99999", value, time, partition)])
