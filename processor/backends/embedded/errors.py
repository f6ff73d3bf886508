"""Why a broker of our own could not be had; each class is one remedy."""

from __future__ import annotations

from processor.errors import Unreachable


class BrokerError(Unreachable):
    """The embedded broker cannot be used. The message is one line with the remedy."""


class NotInstalled(BrokerError):
    """The extra with the Java runtime and the fetcher is missing: install it."""


class NotFetched(BrokerError):
    """Kafka's jars are neither cached nor within reach: another kind of broker may stand in."""


class NotStarted(BrokerError):
    """The broker process refused to start or to become ready: its folder, port or settings are at fault."""


INSTALL_EXTRA = "pip install 'creative-feedback[broker]'"
