"""The benchmarks' jobs on the embedded log, cut into batches and epochs by counts alone: every run does the same work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.command import JOBS
from benchmarks.orders import BEGIN, PARTITIONS
from rayflow.api.job import Job
from rayflow.plan.compile import plan_of
from rayflow.plan.load import load_job
from rayflow.runtimes import hosted_worker
from rayflow.runtimes.local.runtime import LocalRuntime
from rayflow.runtimes.options import Progress, RunOptions
from tests.e2e.brokers import Broker

