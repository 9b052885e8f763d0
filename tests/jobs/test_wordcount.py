"""jobs/wordcount.py in memory."""

import rayflow as rf
from tests.jobs.conftest import job_of


def counts(driver: rf.testing.Driver) -> dict[str, int]:
    return {result.key: result.count for result in driver.read("word-counts")}


def test_words_are_counted_whatever_their_case_and_punctuation() -> None:
    with rf.testing.Driver(job_of("wordcount")) as driver:
        driver.send("lines", "The fox, the dog")
        driver.send("lines", "THE END.")
        assert counts(driver) == {"the": 3, "fox": 1, "dog": 1, "end": 1}


def test_a_word_that_comes_again_is_counted_on() -> None:
    with rf.testing.Driver(job_of("wordcount")) as driver:
        driver.send("lines", "fox")
        driver.send("lines", "fox")
        assert counts(driver)["fox"] == 2
