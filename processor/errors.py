"""Errors, named by the recovery they demand.

Every message names the thing and the remedy: an operator reads one line and knows what to do.
"""


class ProcessorError(Exception):
    """Base of all errors raised by this package."""


class ConfigError(ProcessorError):
    """A setting is wrong: correct it and start again. The message names the key."""


class Unreachable(ProcessorError):
    """No broker answers: check the address and the network."""


class Refused(ProcessorError):
    """What the log or the cluster says makes work impossible: nothing was written, an operator decides."""


class InputLost(Refused):
    """The input log no longer holds the records that come next."""

    def __init__(self, partition: int, message: str) -> None:
        super().__init__(message)
        self.partition = partition


class InputMoved(InputLost):
    """The partition was gone for a moment: what is there now may be another log, so look before reading on."""


class InstanceIdInUse(Refused):
    """Another process runs under the same instance id."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(
            f"instance id {instance_id!r} is used by another process: give every instance its own "
            "(engine.instance_id or `run --instance`)"
        )


class Stuck(ProcessorError):
    """Nothing moves and nothing says why: the process ends, and whoever supervises it starts it anew."""


class OutOfMemory(ProcessorError):
    """No memory, which says nothing about the input: the process ends, and whoever supervises it starts it anew."""


class Fenced(ProcessorError):
    """The group says the token is void: drop what is in flight, wait for the next assignment."""


class InstanceFenced(Fenced):
    """The group knows another process under our static name by now."""


class InDoubt(ProcessorError):
    """The fate of a request is unknown, or a transaction cannot go on: a new epoch, restore what is not clean."""


class TimedOut(InDoubt):
    """A transaction was not answered in time: smaller ones may be."""


class ProducerFenced(InDoubt):
    """The transactional id has a newer epoch: our own transaction timed out, or somebody uses our id."""


class Rejected(InDoubt):
    """The broker definitely refused a batch of one partition; the same batch would be refused again."""

    def __init__(self, partition: int, topic: str, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.partition = partition
        self.topic = topic
        self.too_large = too_large
