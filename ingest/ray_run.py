"""The run on Ray: actors with an encoder each, fed slide by slide, replaced when they die."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slidelake._version
from slidelake.errors import MissingDependencyError, SlideError, SlidelakeError, WorkerLostError
from slidelake.ingest.report import SlideOutcome
from slidelake.ingest.run import outcome_of
from slidelake.ingest.task import SlideTask, WorkerOptions

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["run_on_ray"]

log = logging.getLogger(__name__)

#: A slide that was being made when this many workers died is taken for the cause.
DEATHS = 2
#: After so many seconds without a result the driver looks whether there still is a cluster.
_LOOK = 1.0

Finished = Callable[[SlideTask, "SlideOutcome | SlideError"], None]


class _Worker:
    """What runs in an actor: a store handle and an encoder, made once."""

    def __init__(self, store: "FeatureStore", options: WorkerOptions) -> None:
        from slidelake.encoders import create_encoder

        order = options.encoder
        self._store = store
        self._options = options
        self._encoder = create_encoder(
            order.name, weights=order.weights, device=order.device, **order.options
        )

    def make(self, task: SlideTask) -> "SlideOutcome | SlideError":
        return outcome_of(self._store, task, self._options, self._encoder)


def run_on_ray(
    store: "FeatureStore",
    tasks: Sequence[SlideTask],
    options: WorkerOptions,
    workers: int,
    finished: Finished,
    progress: Callable[..., None] | None = None,
) -> None:
    """Make the slides on `workers` actors; `finished` is called here for each, as it ends.

    Uses the cluster of RAY_ADDRESS, else starts one on this machine. Raises StoreError of any worker.
    """
    if store.url.startswith("memory://"):
        from slidelake.errors import UsageError

        raise UsageError(
            "workers are processes of their own and cannot see a store in this one's memory",
            remedy="Use a folder or an object store, or --workers 0.",
        )
    try:
        # Ray's decorators are typed for literal use only; here classes and options are values.
        ray: Any = import_module("ray")
    except ImportError as exc:
        raise MissingDependencyError(
            "Ray is not installed", remedy="Install slidelake[ray], or pass --workers 0."
        ) from exc

    with _cluster(ray, workers):
        # One slide at a time an actor; on a machine with GPUs each takes one, or its share of one.
        gpus = ray.cluster_resources().get("GPU", 0.0)
        resources = {"num_cpus": 1, "num_gpus": min(1.0, gpus / workers)}
        actor = ray.remote(max_restarts=0, max_task_retries=0, **resources)(_Worker)
        _feed(
            ray,
            lambda: actor.remote(store, options),
            deque(tasks),
            min(workers, len(tasks)),
            finished,
            progress,
        )


def _feed(
    ray: Any,
    start: Callable[[], Any],
    waiting: "deque[SlideTask]",
    workers: int,
    finished: Finished,
    progress: Callable[..., None] | None,
) -> None:
    idle: list[Any] = []
    running: dict[Any, tuple[SlideTask, Any]] = {}
    deaths: dict[str, int] = {}
    try:
        idle += [start() for _ in range(workers)]
        while waiting or running:
            while idle and waiting:
                worker, task = idle.pop(), waiting.popleft()
                running[worker.make.remote(task)] = (task, worker)
            if progress:
                progress("waiting")
            ready, _ = ray.wait(list(running), num_returns=1, timeout=_LOOK)
            if not ready:
                _check_alive(ray)
                continue
            done = ready[0]
            task, worker = running.pop(done)
            try:
                result = ray.get(done)
            except ray.exceptions.RayActorError as error:
                idle.append(start())
                deaths[task.uri] = deaths.get(task.uri, 0) + 1
                why = str(error).splitlines()[0]
                log.warning("worker lost", extra={"slide_id": task.slide_id, "why": why})
                if deaths[task.uri] < DEATHS:
                    waiting.append(task)  # last, so that the others are safe before it is tried again
                else:
                    finished(task, _lost(task))
                continue
            except ray.exceptions.RayTaskError as error:
                idle.append(worker)
                raise error.cause if isinstance(error.cause, Exception) else error from None
            idle.append(worker)
            if progress and isinstance(result, SlideOutcome):
                progress("patches", slide_id=task.slide_id, n=result.patches)
            finished(task, result)
    finally:
        # A cluster that was there before goes on: nobody may write to the store after the run has ended.
        for worker in (*idle, *(worker for _, worker in running.values())):
            ray.kill(worker)


def _check_alive(ray: Any) -> None:
    """Without a node left nothing would ever come back: Ray itself waits for one to join."""
    if not any(node["Alive"] for node in ray.nodes()):
        raise SlidelakeError(
            "the Ray cluster is gone: no node of it is alive",
            remedy="Run the same command again: what is committed stays, the rest is made.",
        )


def _lost(task: SlideTask) -> WorkerLostError:
    return WorkerLostError(
        f"{DEATHS} workers died while they worked on it (killed, out of memory, or a crash in a library)",
        remedy="Look at the machine's memory; try this slide alone with --workers 0.",
        slide=task.slide_id,
    )


@contextmanager
def _cluster(ray: Any, workers: int) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    # Workers of a local cluster inherit the environment: they must find this very slidelake.
    source = str(Path(slidelake._version.__file__).resolve().parents[1])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, before]))
    remote = os.environ.get("RAY_ADDRESS")
    local = {} if remote else {"num_cpus": max(workers, os.cpu_count() or 1), "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **local)
        yield
    finally:
        ray.shutdown()
        if before is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = before
