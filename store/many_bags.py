"""Many bags, one after the other, several of them being read at once: for remote and cold stores."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.store.bag import Bag

__all__ = ["read_many"]


def read_many(
    bags: Iterable[Bag | Callable[[], Bag]], name: str = "features", in_flight: int = 16
) -> Iterator[NDArray[Any]]:
    """The array `name` of each bag, in their order, while up to `in_flight` are read or wait to be taken.

    So memory holds `in_flight` arrays at most. A bag may be given as a function that opens it, such as
    `functools.partial(store.bag, slide_id, space)`: then it is opened in flight too. On a warm local disk one
    thread is fastest: use `in_flight=1`, or `Bag.read` alone. Raises UsageError, and at its turn what reading a
    bag raised.
    """
    if in_flight < 1:
        raise UsageError(f"{in_flight} bags in flight read nothing", remedy="Give at least 1.")
    return _read(bags, name, in_flight)


def _read(bags: Iterable[Bag | Callable[[], Bag]], name: str, in_flight: int) -> Iterator[NDArray[Any]]:
    def read(bag: Bag | Callable[[], Bag]) -> NDArray[Any]:
        return (bag if isinstance(bag, Bag) else bag()).read(name)

    waiting: deque[Future[NDArray[Any]]] = deque()
    with ThreadPoolExecutor(in_flight, thread_name_prefix="slidelake-read") as pool:
        try:
            for bag in bags:
                waiting.append(pool.submit(read, bag))
                if len(waiting) == in_flight:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()
