"""What Prometheus may know of a server: its own registry, so that several apps in one process do not meet."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Requests by route and status, their times, what is open and what is kept."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "slidelake_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "slidelake_request_seconds",
            "Time until a request was answered.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_work = Gauge("slidelake_requests_in_work", "Requests in work now.", registry=self.registry)
        self.searches = Counter(
            "slidelake_searches", "Searches answered, by kind of query.", ["kind"], registry=self.registry
        )
        self.pictures = Counter(
            "slidelake_pictures",
            "Tiles, patches and thumbnails sent, by what their pixels are.",
            ["pixels"],
            registry=self.registry,
        )

    def watch(self, name: str, what: str, measure: Callable[[], float]) -> None:
        """A gauge that is measured when it is asked for."""
        Gauge(f"slidelake_{name}", what, registry=self.registry).set_function(measure)

    def text(self) -> bytes:
        """All of them, in Prometheus's text form."""
        return generate_latest(self.registry)
