"""The one error tree. Every error says what is wrong and what to do.

SlidelakeError                      exit code 1 unless said otherwise
├── UsageError (ValueError)         exit code 2: the request itself is wrong
│   ├── GridError                   a grid that cannot be (patch of 0 px, no mpp)
│   ├── ManifestError               a manifest that cannot be read, or lacks its columns
│   ├── FilterError                 a filter on an unknown column, or of the wrong type
│   ├── AnnotationError             GeoJSON that is not of the form
│   ├── QueryError                  a query that no search can answer (not an image, NaN, wrong dimensions)
│   └── UnknownNameError (LookupError)
│       ├── UnknownEncoderError
│       ├── UnknownAggregatorError
│       ├── UnknownSpaceError       no such space, or a short name that fits several
│       └── UnknownSlideError       no such slide in the lake
├── SlideError                      one slide cannot go in; `reason` is what quarantine records
│   ├── UnreadableSlideError (OSError)         unreadable
│   ├── UnsupportedSlideError                  unsupported-format
│   ├── DamagedSlideError                      damaged-pixels
│   ├── MissingMppError                        mpp-missing
│   ├── ImplausibleMppError                    mpp-implausible
│   ├── FluorescenceError                      fluorescence
│   ├── SlideTooSmallError                     too-small
│   ├── TooCoarseError                         too-coarse
│   ├── NoTissueError                          no-tissue
│   ├── DuplicateSlideError                    duplicate-slide-id
│   ├── SourceChangedError                     source-changed
│   ├── EncodingFailedError                    encoding-failed
│   ├── FeatureFileError                       feature-file
│   ├── MissingFactError                       fact-missing
│   └── WorkerLostError                        worker-lost
├── ReportError                 one report cannot go in; the others do
├── StoreError
│   ├── NotAStoreError (FileNotFoundError)
│   ├── StoreVersionError
│   ├── StoreNotWritableError (PermissionError)
│   ├── StoreFullError (OSError)
│   ├── StoreUnreachableError (ConnectionError)  a remote store's server is away, or refuses us
│   ├── AlreadyCommittedError       another writer won; its data stands
│   ├── EditConflictError           what is to be changed is not what was read
│   ├── GridMismatchError           rows that do not belong to the committed coords
│   ├── SlideDeletedError           the slide, its patient, source or content is on the deny-list
│   ├── NotFiniteError (ValueError)
│   └── DamagedStoreError           exit code 5
├── EncoderError
│   ├── WeightsError (OSError)
│   └── MissingDependencyError (ImportError)
├── IndexStateError
│   ├── IndexMissingError
│   └── IndexStaleError             the index is older than the store
├── EndpointError                   an endpoint that writes answers refuses, breaks off or sends no completion
│   └── EndpointTimeoutError (TimeoutError)
├── ServiceError                    what a server refuses; `status` is HTTP's
│   ├── SignInError (PermissionError)          no token, or a wrong one
│   ├── NotAllowedError (PermissionError)      a token without the scope, or another page's request
│   ├── TooLargeError                          a body, or what it asks for, beyond the limit
│   ├── TooBusyError                           as many requests in work as there may be
│   └── TooSlowError (TimeoutError)            no answer within the time of a request
└── KernelError (ValueError)        shapes or dtypes that the kernel cannot take
"""

from typing import ClassVar

__all__ = [
    "AlreadyCommittedError",
    "AnnotationError",
    "DamagedSlideError",
    "DamagedStoreError",
    "DuplicateSlideError",
    "EditConflictError",
    "EncoderError",
    "EncodingFailedError",
    "EndpointError",
    "EndpointTimeoutError",
    "FeatureFileError",
    "FilterError",
    "FluorescenceError",
    "GridError",
    "GridMismatchError",
    "ImplausibleMppError",
    "IndexMissingError",
    "IndexStaleError",
    "IndexStateError",
    "KernelError",
    "ManifestError",
    "MissingDependencyError",
    "MissingFactError",
    "MissingMppError",
    "NoTissueError",
    "NotAStoreError",
    "NotAllowedError",
    "NotFiniteError",
    "QueryError",
    "ReportError",
    "ServiceError",
    "SignInError",
    "SlideDeletedError",
    "SlideError",
    "SlideTooSmallError",
    "SlidelakeError",
    "SourceChangedError",
    "StoreError",
    "StoreFullError",
    "StoreNotWritableError",
    "StoreUnreachableError",
    "StoreVersionError",
    "TooBusyError",
    "TooCoarseError",
    "TooLargeError",
    "TooSlowError",
    "UnknownAggregatorError",
    "UnknownEncoderError",
    "UnknownNameError",
    "UnknownSlideError",
    "UnknownSpaceError",
    "UnreadableSlideError",
    "UnsupportedSlideError",
    "UsageError",
    "WeightsError",
    "WorkerLostError",
]


class SlidelakeError(Exception):
    """Root of every error raised on purpose.

    `problem` says what is wrong, `remedy` what to do about it, `slide` which slide it concerns (its id or
    URI; empty where none). `str()` joins the three.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, problem: str, *, remedy: str = "", slide: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.slide = slide

    def __str__(self) -> str:
        head = f"{self.slide}: {self.problem}" if self.slide else self.problem
        return f"{head}. {self.remedy}" if self.remedy else head

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (Ray): keyword arguments must survive the pickle.
        return _rebuild, (type(self), self.problem, self.remedy, self.slide)


def _rebuild(kind: type[SlidelakeError], problem: str, remedy: str, slide: str) -> SlidelakeError:
    return kind(problem, remedy=remedy, slide=slide)


class UsageError(SlidelakeError, ValueError):
    exit_code = 2


class GridError(UsageError):
    pass


class ManifestError(UsageError):
    pass


class FilterError(UsageError):
    pass


class AnnotationError(UsageError):
    pass


class QueryError(UsageError):
    pass


class UnknownNameError(UsageError, LookupError):
    pass


class UnknownEncoderError(UnknownNameError):
    pass


class UnknownAggregatorError(UnknownNameError):
    pass


class UnknownSpaceError(UnknownNameError):
    pass


class UnknownSlideError(UnknownNameError):
    pass


class SlideError(SlidelakeError):
    """One slide cannot go in. `reason` is the short name under which quarantine records it."""

    reason: ClassVar[str] = "failed"


class UnreadableSlideError(SlideError, OSError):
    reason = "unreadable"


class UnsupportedSlideError(SlideError):
    reason = "unsupported-format"


class DamagedSlideError(SlideError):
    reason = "damaged-pixels"


class MissingMppError(SlideError):
    reason = "mpp-missing"


class ImplausibleMppError(SlideError):
    reason = "mpp-implausible"


class FluorescenceError(SlideError):
    reason = "fluorescence"


class SlideTooSmallError(SlideError):
    reason = "too-small"


class TooCoarseError(SlideError):
    reason = "too-coarse"


class NoTissueError(SlideError):
    reason = "no-tissue"


class DuplicateSlideError(SlideError):
    reason = "duplicate-slide-id"


class SourceChangedError(SlideError):
    reason = "source-changed"


class EncodingFailedError(SlideError):
    reason = "encoding-failed"


class FeatureFileError(SlideError):
    """A file of features from another program is damaged, unsafe, or no such file."""

    reason = "feature-file"


class MissingFactError(SlideError):
    """What a file of another program does not tell, and a person has to."""

    reason = "fact-missing"


class WorkerLostError(SlideError):
    reason = "worker-lost"


class ReportError(SlidelakeError):
    """One report cannot go in: its file, row or ids. `slide` says where it stands, file and line."""


class StoreError(SlidelakeError):
    pass


class NotAStoreError(StoreError, FileNotFoundError):
    pass


class StoreVersionError(StoreError):
    pass


class StoreNotWritableError(StoreError, PermissionError):
    pass


class StoreFullError(StoreError, OSError):
    pass


class StoreUnreachableError(StoreError, ConnectionError):
    pass


class AlreadyCommittedError(StoreError):
    pass


class EditConflictError(StoreError):
    pass


class GridMismatchError(StoreError):
    pass


class SlideDeletedError(StoreError):
    pass


class NotFiniteError(StoreError, ValueError):
    pass


class DamagedStoreError(StoreError):
    exit_code = 5


class EncoderError(SlidelakeError):
    pass


class WeightsError(EncoderError, OSError):
    pass


class MissingDependencyError(EncoderError, ImportError):
    pass


class IndexStateError(SlidelakeError):
    pass


class IndexMissingError(IndexStateError):
    pass


class IndexStaleError(IndexStateError):
    pass


class EndpointError(SlidelakeError):
    pass


class EndpointTimeoutError(EndpointError, TimeoutError):
    pass


class ServiceError(SlidelakeError):
    """What a server answers instead of doing it; `status` is the HTTP status."""

    status: ClassVar[int] = 400


class SignInError(ServiceError, PermissionError):
    status = 401


class NotAllowedError(ServiceError, PermissionError):
    status = 403


class TooLargeError(ServiceError):
    status = 413


class TooBusyError(ServiceError):
    status = 429


class TooSlowError(ServiceError, TimeoutError):
    status = 504


class KernelError(SlidelakeError, ValueError):
    pass
