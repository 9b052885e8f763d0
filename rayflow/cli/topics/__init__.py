"""`rayflow topics`: list, create, read, write and delete topics, embedded or in Kafka."""

import click

from rayflow.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("rayflow.cli.topics.list:list_topics", "List topics, their partitions and records."),
    "create": ("rayflow.cli.topics.create:create", "Create a topic."),
    "read": ("rayflow.cli.topics.read:read", "Print the committed records of a topic."),
    "write": ("rayflow.cli.topics.write:write", "Write records from standard input."),
    "delete": ("rayflow.cli.topics.delete:delete", "Delete a topic and all its records."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def topics() -> None:
    """List, create, read, write and delete topics, embedded or in Kafka."""
