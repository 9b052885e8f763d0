"""`rayflow topics`: the topics of the broker of the run, embedded or Kafka."""

import click

from rayflow.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("rayflow.cli.topics.list:list_topics", "All topics with their partitions and records."),
    "create": ("rayflow.cli.topics.create:create", "Create a topic."),
    "read": ("rayflow.cli.topics.read:read", "Print a topic's committed records."),
    "write": ("rayflow.cli.topics.write:write", "Write JSON lines from standard input."),
    "delete": ("rayflow.cli.topics.delete:delete", "Delete a topic and its records."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def topics() -> None:
    """List, create, read, write and delete topics of the broker of the run."""
