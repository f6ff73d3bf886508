"""Every key of the configuration: its default, its range, its meaning.

One tree of frozen structs. The annotations are the only place where ranges and meanings stand: the loader
checks against them and the reference is rendered from them. The structs themselves check nothing when
they are constructed in code; `processor.config.check_settings` does.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from processor.config.durations import parse_duration_ms

# The words of `extra` say in an error message what the pattern demands.
FunctionReference = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
        extra={"expected": '"package.module:function"'},
    ),
]
TopicName = Annotated[
    str,
    Meta(
        pattern=r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$",
        extra={"expected": "1 to 249 letters, digits, dots, underscores and hyphens"},
    ),
]
ClusterName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        extra={"expected": "1 to 200 letters, digits, dots, underscores and hyphens"},
    ),
]
_HOST_PORT = r"\s*([^\s,:\[\]]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}\s*"
BootstrapServers = Annotated[
    str,
    Meta(pattern=f"^{_HOST_PORT}(,{_HOST_PORT})*$", extra={"expected": "host:port, several separated by commas"}),
]

# A file is read when it is used, and again at each new connection: what it holds may be renewed meanwhile.
FilePath = Annotated[str, Meta(min_length=1, extra={"expected": "a path"})]
TokenEndpoint = Annotated[
    str, Meta(pattern=r"^https?://[^\s/@]+(/\S*)?$", extra={"expected": "an https:// or http:// URL"})
]

HostName = Annotated[
    str,
    Meta(pattern=r"^([A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]+)$", extra={"expected": "a host name or an IP address"}),
]
HttpOrigin = Annotated[
    str,
    Meta(
        pattern=r"^https?://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$",
        extra={"expected": "scheme://host or scheme://host:port, http or https"},
    ),
]


class LoopConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Modes and triggers of the feedback loop."""

    stability_threshold: Annotated[
        float, Meta(ge=0, le=1, description="Prune floor as a fraction of the baseline; higher is more cautious.")
    ] = 0.8
    max_exploration_steps: Annotated[
        int, Meta(ge=0, le=1_000_000_000, description="Longest exploration, in steps.")
    ] = 200
    min_exploration_steps: Annotated[int, Meta(ge=1, description="Shortest exploration, in steps.")] = 10
    recovery_steps: Annotated[int, Meta(ge=0, description="Steps of rest after an exploration.")] = 30
    novelty_high: Annotated[float, Meta(ge=0, le=1, description="Novelty above this starts an exploration.")] = 0.7
    novelty_low: Annotated[float, Meta(ge=0, le=1, description="Novelty below this starts an exploration.")] = 0.2
    stable_patience_steps: Annotated[
        int, Meta(ge=0, description="Stable steps after which an exploration starts anyway; 0: never.")
    ] = 50
    prune_patience_steps: Annotated[
        int, Meta(ge=1, description="Steps in a row below the floor that cut an exploration short.")
    ] = 1
    emergency_lambda_max: Annotated[
        float, Meta(ge=0, description="lambda_max above this is an emergency; 0: no such rule.")
    ] = 0.08
    emergency_exit_ratio: Annotated[
        float, Meta(ge=0, le=1, description="An emergency ends below this fraction of the limit; 0: at the limit.")
    ] = 0.5
    performance_weights: Annotated[
        tuple[float, float, float], Meta(description="Weights of novelty, aesthetic_score and minus volatility.")
    ] = (0.5, 0.5, 0.0)
    debug: Annotated[bool, Meta(description="Explain every injection in its action and in the log.")] = False


class ProfilesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How the time profile of an exploration is chosen and shaped."""

    selection: Annotated[str, Meta(min_length=1, description="auto, or one profile's name for all sessions.")] = "auto"
    params_mode: Annotated[
        Literal["static", "adaptive"], Meta(description="Fixed parameters, or parameters that follow the state.")
    ] = "static"
    params: Annotated[
        dict[str, dict[str, float]],
        Meta(
            description="Parameters by profile; they win over both modes.",
            extra={"expected": "a table of tables: profile, parameter, finite number"},
        ),
    ] = field(default_factory=dict)
    custom: Annotated[
        dict[str, FunctionReference],
        Meta(
            description='Profiles of your own: NAME = "package.module:function".',
            extra={"expected": 'a table: profile, "package.module:function"'},
        ),
    ] = field(default_factory=dict)
    selector: Annotated[
        FunctionReference | None,
        Meta(description='A selector of your own: "package.module:function".'),
    ] = None
    hints: Annotated[bool, Meta(description="Let conversation_stalled, temperature and user_comfort choose first.")] = (
        False
    )


class QualityConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The ridge model that predicts an exploration's gain."""

    scope: Annotated[Literal["session", "shared"], Meta(description="One model per session, or one per partition.")] = (
        "session"
    )
    min_samples: Annotated[int, Meta(ge=1, description="Samples before the first fit.")] = 20
    max_history: Annotated[int, Meta(ge=1, le=1_000_000, description="Samples a fit looks back on.")] = 500
    regularization: Annotated[float, Meta(gt=0, description="Ridge penalty.")] = 0.01
    retrain_interval: Annotated[int, Meta(ge=1, description="New samples between two fits.")] = 10
    feature_weights: Annotated[
        tuple[float, float, float, float, float, float] | None,
        Meta(description="Prior weights; given, they predict before the first fit."),
    ] = None
    pretrain_file: Annotated[
        str | None, Meta(description="JSON file with past explorations every new model learns from.")
    ] = None
    low_gain: Annotated[float, Meta(description="A predicted gain below this damps the amplitude.")] = 0.1
    high_gain: Annotated[float, Meta(description="A predicted gain above this raises the amplitude.")] = 0.5
    low_gain_multiplier: Annotated[float, Meta(description="How much it is damped.")] = 0.7
    high_gain_multiplier: Annotated[float, Meta(description="How much it is raised.")] = 1.2


class ExperimentConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A/B groups and gradual rollout."""

    mode: Annotated[Literal["off", "ab", "rollout"], Meta(description="Kind of experiment.")] = "off"
    salt: Annotated[str, Meta(description="Another salt, other groups.")] = ""
    treatment_share: Annotated[float, Meta(ge=0, le=1, description="Share of the A/B treatment group.")] = 0.5
    enhancement_percentage: Annotated[
        float, Meta(ge=0, le=1, description="Share (a fraction of 1) that a rollout enhances.")
    ] = 0.1


class StreamingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What the metrics stream carries."""

    interval_steps: Annotated[int, Meta(ge=0, description="Steps between a session's metrics; 0: none at all.")] = 10
    include_history: Annotated[bool, Meta(description="Carry the last 1000 performance points.")] = False
    include_predictions: Annotated[bool, Meta(description="Carry predicted_gain while exploring.")] = True
    trend_window: Annotated[int, Meta(ge=2, le=1000, description="Points a trend looks back on.")] = 100


class TopicsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Names and sizes of the five topics."""

    state: Annotated[TopicName, Meta(description="State events (input).")] = "tori.state"
    actions: Annotated[TopicName, Meta(description="Actions (output).")] = "tori.actions"
    metrics: Annotated[TopicName, Meta(description="Metrics (output).")] = "tori.metrics"
    dead_letters: Annotated[TopicName, Meta(description="Unusable input (output).")] = "tori.state.dead-letters"
    changelog: Annotated[TopicName, Meta(description="State and progress (private).")] = (
        "tori.creative-feedback.changelog"
    )
    partitions: Annotated[int, Meta(ge=1, le=10_000, description="Partitions of every topic; never changes.")] = 8
    replication_factor: Annotated[int, Meta(ge=1, le=100, description="Copies of every partition.")] = 3


class KafkaConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How the cluster is reached."""

    bootstrap_servers: Annotated[
        BootstrapServers, Meta(description="Brokers to ask first: host:port, comma-separated.")
    ] = "127.0.0.1:9092"
    request_timeout_ms: Annotated[int, Meta(ge=100, le=600_000, description="Longest wait for a reply.")] = 10_000
    connect_timeout_ms: Annotated[int, Meta(ge=100, le=600_000, description="Longest wait for the cluster.")] = 10_000
    require_verification: Annotated[
        bool,
        Meta(description="Refuse brokers that do not verify transactions (KIP-890); false is for a demo's stand-in."),
    ] = True
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Meta(description="Encryption (SSL) and login (SASL) of every connection, as the brokers' listener demands."),
    ] = "PLAINTEXT"
    ssl_ca_file: Annotated[
        FilePath | None,
        Meta(description="PEM file of the authorities that sign the brokers' certificates; none: the system's."),
    ] = None
    ssl_cert_file: Annotated[
        FilePath | None, Meta(description="PEM file of our own certificate and its chain, where brokers demand one.")
    ] = None
    ssl_key_file: Annotated[
        FilePath | None, Meta(description="PEM file of its private key; none: it is in ssl_cert_file.")
    ] = None
    ssl_key_password_file: Annotated[
        FilePath | None, Meta(description="File with the password of an encrypted private key.")
    ] = None
    ssl_check_hostname: Annotated[
        bool, Meta(description="The broker's certificate must name the host we connect to.")
    ] = True
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None,
        Meta(description="How to log in, with the SASL protocols."),
    ] = None
    sasl_username: Annotated[
        Annotated[str, Meta(min_length=1, extra={"expected": "a name"})] | None,
        Meta(description="User of PLAIN and SCRAM."),
    ] = None
    sasl_password_file: Annotated[
        FilePath | None, Meta(description="File with the user's password; a line break at its end does not count.")
    ] = None
    sasl_oauthbearer_token_file: Annotated[
        FilePath | None, Meta(description="File with an access token that somebody else keeps fresh.")
    ] = None
    sasl_oauthbearer_token_endpoint_url: Annotated[
        TokenEndpoint | None,
        Meta(description="Where to ask for an access token instead, with the client's credentials."),
    ] = None
    sasl_oauthbearer_client_id: Annotated[
        Annotated[str, Meta(min_length=1, extra={"expected": "a name"})] | None,
        Meta(description="Client id at the token endpoint."),
    ] = None
    sasl_oauthbearer_client_secret_file: Annotated[
        FilePath | None, Meta(description="File with the client's secret.")
    ] = None
    sasl_oauthbearer_scope: Annotated[
        Annotated[str, Meta(min_length=1, extra={"expected": "text"})] | None,
        Meta(description="Scope to ask for."),
    ] = None
    sasl_oauthbearer_ca_file: Annotated[
        FilePath | None,
        Meta(description="PEM file of the authorities that sign the token endpoint's certificate; none: the system's."),
    ] = None

    @property
    def encrypted(self) -> bool:
        """Whether connections use TLS."""
        return self.security_protocol in ("SSL", "SASL_SSL")

    @property
    def authenticated(self) -> bool:
        """Whether connections log in by SASL."""
        return self.security_protocol in ("SASL_PLAINTEXT", "SASL_SSL")


class EngineConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The exactly-once engine."""

    application_id: Annotated[
        ClusterName, Meta(description="Consumer group; instances of one application share it.")
    ] = "creative-feedback"
    instance_id: Annotated[
        ClusterName | None,
        Meta(description="Stable name of this instance; none: the host's name."),
    ] = None
    static_membership: Annotated[bool, Meta(description="Keep partitions over a quick restart.")] = False
    leave_on_stop: Annotated[
        bool, Meta(description="A static member that ends, unless killed, gives its partitions to the others at once.")
    ] = False
    session_timeout_ms: Annotated[
        int, Meta(ge=100, le=1_800_000, description="Silence after which the group gives partitions away.")
    ] = 10_000
    transaction_timeout_ms: Annotated[
        int,
        Meta(ge=100, le=900_000, description="Longest transaction; not given, at most the session time-out."),
    ] = 10_000
    rebalance_timeout_ms: Annotated[
        int, Meta(ge=100, le=3_600_000, description="How long a rebalance waits for this instance.")
    ] = 60_000
    stuck_timeout_ms: Annotated[
        int, Meta(ge=1_000, le=3_600_000, description="Without a successful transaction for this long: exit.")
    ] = 120_000
    commit_interval_ms: Annotated[int, Meta(ge=0, le=60_000, description="Shortest time between two commits.")] = 20
    max_commit_interval_ms: Annotated[
        int, Meta(ge=0, le=60_000, description="The same under load; not given, at least commit_interval_ms.")
    ] = 100
    max_batch_records: Annotated[int, Meta(ge=1, le=1_000_000, description="Records in one transaction.")] = 10_000
    max_batch_bytes: Annotated[int, Meta(ge=1024, le=2**30, description="Input bytes in one transaction.")] = (
        16 * 1024 * 1024
    )
    session_ttl: Annotated[
        str,
        Meta(
            description="Idle time (by record timestamps) that ends a session.",
            extra={"expected": "digits and ms, s, m, h or d (seconds without a unit)"},
        ),
    ] = "7d"
    max_event_bytes: Annotated[int, Meta(ge=1, le=2**26, description="Larger events are dead letters.")] = 1024 * 1024
    max_event_depth: Annotated[
        int, Meta(ge=2, le=128, description="Events that nest more containers are dead letters.")
    ] = 32
    shutdown_timeout_ms: Annotated[
        int, Meta(ge=100, le=600_000, description="Grace for the last commit after SIGTERM.")
    ] = 20_000

    @property
    def session_ttl_ms(self) -> int:
        """`session_ttl` in milliseconds. Raises `ConfigError` where it is no duration."""
        return parse_duration_ms("engine.session_ttl", self.session_ttl)


class HttpConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP surface: dashboard, API, stream, probes, metrics."""

    host: Annotated[HostName, Meta(description="Address to listen on; beyond this machine, set token_file too.")] = (
        "127.0.0.1"
    )
    port: Annotated[
        Annotated[int, Meta(ge=0, le=65_535)] | None,
        Meta(description="Port to listen on; 0: any free one; none: 8080, or a free one where that is taken."),
    ] = None
    advertised_url: Annotated[
        HttpOrigin | None,
        Meta(description="Where others reach this address, as told to them; none: host and port as they are."),
    ] = None
    token_file: Annotated[
        FilePath | None,
        Meta(description="File with the bearer token that everything with data in it demands; none: no token."),
    ] = None
    allowed_origins: Annotated[
        tuple[HttpOrigin, ...],
        Meta(
            description="Other sites whose pages may read the API and the stream.",
            extra={"expected": "a list of origins: scheme://host or scheme://host:port"},
        ),
    ] = ()
    max_connections: Annotated[
        int, Meta(ge=1, le=100_000, description="Connections at a time, subscribers of the stream not counted.")
    ] = 512
    max_subscribers: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Subscribers of the stream at a time; 0: none.")
    ] = 12_000
    request_timeout_ms: Annotated[
        int, Meta(ge=100, le=600_000, description="From a request's first byte to its answer's last.")
    ] = 10_000
    stuck_after_ms: Annotated[
        int, Meta(ge=100, le=3_600_000, description="Without progress for this long, something is not live.")
    ] = 10_000


class LogsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker logs to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="The least that is logged.")] = (
        "info"
    )
    format: Annotated[
        Literal["auto", "json", "console"], Meta(description="How; auto: console on a terminal, JSON elsewhere.")
    ] = "auto"
    session_lines_per_s: Annotated[
        int,
        Meta(ge=0, le=10_000, description="Transitions and explorations told a second; the others are counted."),
    ] = 20


class TracingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Traces, which the standard OTEL_* environment variables turn on."""

    session_ids: Annotated[bool, Meta(description="Name the session in its events' spans.")] = False
    max_spans_per_s: Annotated[
        int, Meta(ge=1, le=100_000, description="Sampled events that get a span a second; the others are counted.")
    ] = 100


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration."""

    loop: LoopConfig = field(default_factory=LoopConfig)
    profiles: ProfilesConfig = field(default_factory=ProfilesConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    experiment: ExperimentConfig = field(default_factory=ExperimentConfig)
    streaming: StreamingConfig = field(default_factory=StreamingConfig)
    topics: TopicsConfig = field(default_factory=TopicsConfig)
    kafka: KafkaConfig = field(default_factory=KafkaConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
    logs: LogsConfig = field(default_factory=LogsConfig)
    tracing: TracingConfig = field(default_factory=TracingConfig)
