"""Errors, named by the recovery they demand.

Every message names the thing and the remedy: an operator reads one line and knows what to do.
"""


class ProcessorError(Exception):
    """Base of all errors raised by this package."""


class ConfigError(ProcessorError):
    """A setting is wrong: correct it and start again. The message names the key."""


class Refused(ProcessorError):
    """What the log or the cluster says makes work impossible: nothing was written, an operator decides."""


class Fenced(ProcessorError):
    """The group or another producer took over: drop everything in flight, wait for the next assignment."""


class InDoubt(ProcessorError):
    """The fate of a request is unknown: take a new epoch, restore what is not clean, resume."""


class Halted(ProcessorError):
    """One partition cannot go on (poison): it stops with offset and cause, the others continue."""
