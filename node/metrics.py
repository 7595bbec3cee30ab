"""A node's numbers for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

ROOT_BUCKETS_S = (
    *(0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 5.0),
)


class Metrics:
    """Counters of one node; nothing is registered globally."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.height = Gauge("tallystick_height", "Last committed height", registry=self.registry)
        self.round = Gauge("tallystick_round", "Current round", registry=self.registry)
        self.pending = Gauge("tallystick_pending", "Pending transactions", registry=self.registry)
        self.peers = Gauge("tallystick_peers_up", "Peers with a link", registry=self.registry)
        self.stopped = Gauge("tallystick_stopped", "1 if voting stopped", registry=self.registry)
        self.store_percent = Gauge(
            "tallystick_store_used_percent", "Used share of the store map", registry=self.registry
        )
        self.transactions = Counter(
            "tallystick_transactions", "Logged transactions", registry=self.registry
        )
        self.faults = Gauge(
            "tallystick_peer_faults",
            "Links closed because the other end broke the protocol; strangers have no name",
            ["peer"],
            registry=self.registry,
        )
        self.messages = Counter(
            "tallystick_peer_messages",
            "Messages that came over a peer's link",
            ["peer"],
            registry=self.registry,
        )
        self.failed_jobs = Counter(
            "tallystick_failed_jobs",
            "Jobs that broke off by a mistake of ours; the node's log tells of each",
            registry=self.registry,
        )
        self.finality = Histogram(
            "tallystick_finality_seconds",
            "From the first knowledge of work to the durable commit",
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0),
            registry=self.registry,
        )
        self.root_stall = Histogram(
            "tallystick_state_root_seconds",
            "How long the block that carries a state root waited for it",
            buckets=ROOT_BUCKETS_S,
            registry=self.registry,
        )

    def page(self) -> str:
        """Return the text page."""
        return generate_latest(self.registry).decode("utf-8")
