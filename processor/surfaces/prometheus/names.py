"""Every metric, declared once: what writes, documents, graphs or alerts takes it from here.

Names follow Prometheus: base units (seconds, bytes) at the end, ``_total`` for what only grows. The names beginning
with ``tori_`` are those that TORI's dashboards have always asked for. No label holds a session: the values of each are
few and known beforehand (settings, codes, partitions, the workers of one process).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
Label = Literal["code", "mode", "outcome", "partition", "phase", "profile", "source", "version", "what", "worker"]
Unit = Literal["seconds", "bytes", "steps", "records", "events", "sessions", ""]


class Declared(NamedTuple):
    """One metric: its name in a query, and what a number of it means.

    ``buckets`` are a histogram's upper bounds, in its unit, without the infinite one.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[Label, ...] = ()
    unit: Unit = ""
    buckets: tuple[float, ...] = ()

    @property
    def family(self) -> str:
        """The name without a counter's ending, as OpenMetrics has it."""
        return self.name.removesuffix("_total") if self.kind == "counter" else self.name


# The story -----------------------------------------------------------------------------------------------------------

GAIN = Declared(
    "tori_creativity_gain", "gauge", "Sum of the cumulative creative gains of the sessions in this process's partitions"
)
EXPLORATION_DURATION = Declared(
    "tori_exploration_duration",
    "histogram",
    "Executed steps of completed explorations; those that creative_feedback_left_out_total counts as happenings may be "
    "missing, creative_feedback_exploration_steps_total misses none",
    unit="steps",
    buckets=(10, 25, 50, 75, 100, 125, 150, 175, 200, 250, 300, 500, 1000),
)
EXPLORATIONS = Declared("tori_explorations_total", "counter", "Completed explorations", ("profile",))
MODE = Declared("tori_creative_mode", "gauge", "Sessions in each mode", ("mode",), "sessions")
ERRORS = Declared("tori_creative_errors_total", "counter", "Unusable events, by what was wrong with them", ("code",))

STEPS = Declared(
    "creative_feedback_exploration_steps_total",
    "counter",
    "Executed steps of completed explorations",
    ("profile",),
    "steps",
)
ABORTED = Declared("creative_feedback_explorations_aborted_total", "counter", "Explorations that an emergency ended")
SUCCESSES = Declared(
    "creative_feedback_explorations_successful_total", "counter", "Completed explorations with a gain above 0.1"
)
GAIN_WON = Declared(
    "creative_feedback_gain_won_total",
    "counter",
    "What completed explorations added to the gain, netted by each worker every 100 ms; less what they took, the gain",
    ("profile",),
)
GAIN_LOST = Declared(
    "creative_feedback_gain_lost_total",
    "counter",
    "What completed explorations took from the gain, netted likewise, without the sign",
    ("profile",),
)
TRANSITIONS = Declared(
    "creative_feedback_transitions_total", "counter", "Changes of mode, by the mode entered", ("mode",)
)
EXPLORATION_LIMIT = Declared(
    "creative_feedback_exploration_limit_steps",
    "gauge",
    "Longest exploration that the settings allow (loop.max_exploration_steps)",
    unit="steps",
)

# Throughput and latency ----------------------------------------------------------------------------------------------

EVENTS = Declared("creative_feedback_events_total", "counter", "Input records of committed transactions", unit="events")
ACTIONS = Declared("creative_feedback_actions_total", "counter", "Committed actions")
METRICS = Declared("creative_feedback_metrics_total", "counter", "Committed metrics of sessions")
DUPLICATES = Declared(
    "creative_feedback_duplicates_total", "counter", "Events passed over since their session had a later sequence"
)
DEAD_LETTERS = Declared(
    "creative_feedback_dead_letters_total",
    "counter",
    "Committed dead letters: the same count as tori_creative_errors_total",
    ("code",),
)
TRANSACTIONS = Declared(
    "creative_feedback_transactions_total",
    "counter",
    "Transactions, committed or in_doubt: failed, or of unknown fate, and then settled by a new producer epoch",
    ("outcome",),
)
BATCH = Declared(
    "creative_feedback_batch_records",
    "histogram",
    "Input records of a committed transaction",
    unit="records",
    buckets=(1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000),
)
COMMIT = Declared(
    "creative_feedback_commit_duration_seconds",
    "histogram",
    "From the first request of a transaction to the broker's word that it is committed",
    unit="seconds",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10),
)
END_TO_END = Declared(
    "creative_feedback_end_to_end_latency_seconds",
    "histogram",
    "From the Kafka timestamp of the first event of a transaction's partition to its commit: the slowest ones",
    unit="seconds",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)

# Partitions and lag --------------------------------------------------------------------------------------------------

INPUT_PARTITIONS = Declared(
    "creative_feedback_input_partitions", "gauge", "Partitions that the input topic has (topics.partitions)"
)
PHASE = Declared(
    "creative_feedback_partition_phase",
    "gauge",
    "1 for the phase that a partition of this process is in, 0 for the others",
    ("partition", "phase"),
)
PHASE_AGE = Declared(
    "creative_feedback_partition_phase_seconds", "gauge", "Time in this phase", ("partition",), "seconds"
)
LAG_RECORDS = Declared(
    "creative_feedback_lag_records",
    "gauge",
    "Records between the position and the last stable offset",
    ("partition",),
    "records",
)
LAG = Declared(
    "creative_feedback_lag_seconds",
    "gauge",
    "Age of the last event processed, by its Kafka timestamp; 0 without lag",
    ("partition",),
    "seconds",
)
STANDING = Declared(
    "creative_feedback_standing_seconds",
    "gauge",
    "Time since the last progress; 0 without lag",
    ("partition",),
    "seconds",
)
RESTORES = Declared(
    "creative_feedback_restores_total",
    "counter",
    "Partitions made ready, from the changelog or with the memory that was kept over a rebalance",
    ("source",),
)
RESTORE_DURATION = Declared(
    "creative_feedback_restore_duration_seconds",
    "histogram",
    "Restores from the changelog, from their start until the partition works",
    unit="seconds",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900),
)
RESTORE_WAITING = Declared(
    "creative_feedback_restore_waiting",
    "gauge",
    "1 where a restore stands before its barrier, for an open transaction or for data",
    ("partition",),
)
RESTORE_POSITION = Declared(
    "creative_feedback_restore_position",
    "gauge",
    "Changelog offset where a waiting restore stands; 0 where none waits",
    ("partition",),
)
RESTORE_BARRIER = Declared(
    "creative_feedback_restore_barrier",
    "gauge",
    "Changelog offset up to which a waiting restore must read; 0 where none waits",
    ("partition",),
)
REBALANCES = Declared(
    "creative_feedback_rebalances_total", "counter", "Assignments that the group gave a worker", ("worker",)
)

# Sessions and learning -----------------------------------------------------------------------------------------------

SESSIONS_CREATED = Declared("creative_feedback_sessions_created_total", "counter", "Sessions begun", unit="sessions")
SESSIONS_EXPIRED = Declared(
    "creative_feedback_sessions_expired_total",
    "counter",
    "Idle sessions forgotten (engine.session_ttl)",
    unit="sessions",
)
FITS = Declared("creative_feedback_model_fits_total", "counter", "Fits of quality models")
MODELS_TRAINED = Declared("creative_feedback_models_trained", "gauge", "Quality models that have been fitted")
PREDICTIONS = Declared(
    "creative_feedback_predictions_total", "counter", "Completed explorations whose gain had been predicted"
)
SQUARED_ERROR = Declared(
    "creative_feedback_prediction_squared_error_total",
    "counter",
    "Sum of the squared differences between predicted and actual gain",
)

# Workers -------------------------------------------------------------------------------------------------------------

BUILD = Declared("creative_feedback_build_info", "gauge", "1; the label is the version", ("version",))
CONNECTED = Declared(
    "creative_feedback_worker_connected", "gauge", "1 while the worker tells how it is doing, else 0", ("worker",)
)
WORKER_PHASE = Declared(
    "creative_feedback_worker_phase", "gauge", "1 for the phase that the worker is in, 0 for the others",
    ("worker", "phase"),
)  # fmt: skip
SILENT = Declared(
    "creative_feedback_worker_silent_seconds", "gauge", "Time since a worker was last heard", ("worker",), "seconds"
)
STARTED = Declared(
    "creative_feedback_worker_start_time_seconds",
    "gauge",
    "When the worker's process began, seconds since the epoch",
    ("worker",),
    "seconds",
)
RESTARTS = Declared(
    "creative_feedback_worker_restarts_total", "counter", "Times the supervisor started a worker again", ("worker",)
)
DOUBT = Declared(
    "creative_feedback_doubt_seconds",
    "gauge",
    "For how long a worker has had no transaction that succeeds, or no producer; 0 while all is well",
    ("worker",),
    "seconds",
)
STALL = Declared(
    "creative_feedback_event_loop_stall_seconds",
    "gauge",
    "For how long a worker's event loop has not turned; 0 below a second",
    ("worker",),
    "seconds",
)
STALLED = Declared(
    "creative_feedback_event_loop_stalled_seconds_total",
    "counter",
    "Time in which a worker's event loop did not turn, in stalls of a second and more",
    ("worker",),
    "seconds",
)
LEFT_OUT = Declared(
    "creative_feedback_left_out_total",
    "counter",
    "What was committed but not shown since too much came at once: metrics of sessions, and happenings",
    ("what",),
)

# The stream ----------------------------------------------------------------------------------------------------------

SUBSCRIBERS = Declared("creative_feedback_stream_subscribers", "gauge", "Open WebSocket connections")
FRAMES = Declared(
    "creative_feedback_stream_frames_total", "counter", "WebSocket frames sent, by all connections together"
)
STREAM_BYTES = Declared("creative_feedback_stream_sent_bytes_total", "counter", "Bytes of these frames", unit="bytes")
STREAM_LEFT_OUT = Declared(
    "creative_feedback_stream_left_out_total", "counter", "Metrics that were sampled away, by all connections together"
)
SLOW_CLOSED = Declared(
    "creative_feedback_stream_slow_closed_total",
    "counter",
    "WebSocket connections closed since their client did not read",
)
REFUSED = Declared(
    "creative_feedback_stream_refused_total", "counter", "WebSocket connections refused since there are too many"
)
HOSTILE_CLOSED = Declared(
    "creative_feedback_stream_hostile_closed_total", "counter", "WebSocket connections closed for breaking the protocol"
)
ROUND = Declared(
    "creative_feedback_stream_round_seconds",
    "gauge",
    "Time between two rounds of pushing; grows with what a round costs",
    unit="seconds",
)

# The process that answers the scrape (with several workers: their supervisor); counted by prometheus-client -----------

PROCESS = (
    Declared("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", (), "seconds"),
    Declared("process_max_fds", "gauge", "Maximum number of open file descriptors."),
    Declared("process_open_fds", "gauge", "Number of open file descriptors."),
    Declared("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", (), "bytes"),
    Declared(
        "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", (), "seconds"
    ),
    Declared("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", (), "bytes"),
)

OWN: tuple[Declared, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Declared))
ALL = OWN + PROCESS
