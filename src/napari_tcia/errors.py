"""One exception tree; every leaf says what happened, to what, and what to do next.

::

    TciaError                                 exit 1
    ├─ UsageError                             exit 2
    ├─ AccessError                            exit 3
    │   ├─ TermsNotAccepted   ├─ TermsChanged      ├─ TermsUnknown
    │   ├─ ControlledAccess   └─ GrantMismatch
    ├─ NothingFound                           exit 4
    │   └─ NoDicom
    ├─ ArchiveError                           exit 5
    │   ├─ Unreachable        ├─ RemoteTimeout     ├─ RateLimited
    │   ├─ ServerFault        ├─ UnexpectedReply   ├─ ForbiddenHost
    │   └─ Truncated
    ├─ VerificationError                      exit 6
    │   ├─ CorruptData        ├─ UnsafeArchive     ├─ UnsupportedData
    │   ├─ MixedSeries        ├─ BrokenGeometry    ├─ GeometryMismatch
    │   ├─ WrongSeries        └─ UnreadableAnnotation
    ├─ StorageError                           exit 1
    │   ├─ DiskFull           └─ NotWritable
    ├─ MissingExtra                           exit 1
    └─ NoDisplay                              exit 1
    Cancelled (not an error)                  exit 130

Exit codes are those of the command line; `code` is the stable name in JSON.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

EXIT_ORDER = (3, 6, 5, 4, 1)
"""Of several failures, the first of these exit codes decides."""


class TciaError(Exception):
    """Something a user can act on.

    Parameters
    ----------
    message : str
        One sentence: what happened, to which file or series.
    hint : str
        What to do next; may be empty.
    numbers : Any
        Facts for a program (counts, UIDs, paths), put into JSON as they are.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "", **numbers: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.numbers = numbers

    @property
    def code(self) -> str:
        """Stable snake_case name of the error, e.g. ``terms_not_accepted``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(TciaError):
    """The request itself makes no sense."""

    exit_code = 2


class AccessError(TciaError):
    """Terms stand between the user and the data."""

    exit_code = 3


class TermsNotAccepted(AccessError):
    """Licence or data usage policy not accepted for this archive."""


class TermsChanged(AccessError):
    """The accepted words differ from the words of today."""


class TermsUnknown(AccessError):
    """The archive names no licence for the data."""


class ControlledAccess(AccessError):
    """The data is under controlled access and is not served here."""


class GrantMismatch(AccessError):
    """A request asked for pixels that its grant does not cover."""


class NothingFound(TciaError):
    """A well-formed request with no result."""

    exit_code = 4


class NoDicom(NothingFound):
    """A folder or file holds no DICOM image."""


class ArchiveError(TciaError):
    """The archive is unreachable or answers wrongly."""

    exit_code = 5


class Unreachable(ArchiveError):
    """No connection."""


class RemoteTimeout(ArchiveError):
    """Connected, then silence."""


class RateLimited(ArchiveError):
    """The archive asked for a pause that is longer than we wait."""


class ServerFault(ArchiveError):
    """A 5xx status."""


class UnexpectedReply(ArchiveError):
    """An answer that is not what the service documents."""


class ForbiddenHost(ArchiveError):
    """A request or redirect to a host outside the allow-list."""


class Truncated(ArchiveError):
    """Fewer instances or bytes than the archive declares."""


class VerificationError(TciaError):
    """Data that must not be trusted as it is."""

    exit_code = 6


class CorruptData(VerificationError):
    """Bytes that fail their checksum or do not parse."""


class UnsafeArchive(VerificationError):
    """A zip with members that could escape, repeat or explode."""


class UnsupportedData(VerificationError):
    """DICOM of a kind or encoding that is refused by name."""


class MixedSeries(VerificationError):
    """Several series where one was expected."""


class BrokenGeometry(VerificationError):
    """Slices that do not form a volume."""


class GeometryMismatch(VerificationError):
    """An annotation that does not lie on the grid of its volume."""


class WrongSeries(VerificationError):
    """An annotation, or an archive member, of another series."""


class UnreadableAnnotation(VerificationError):
    """An annotation file in no known form."""


class StorageError(TciaError):
    """The disk says no."""


class DiskFull(StorageError):
    """Not enough free space."""


class NotWritable(StorageError):
    """No permission to write."""


class MissingExtra(TciaError):
    """An optional package is needed; the hint holds the install line."""


class NoDisplay(TciaError):
    """A window was asked for where there is no screen."""


class Cancelled(Exception):
    """The user stopped the work; never shown as an error."""

    exit_code: ClassVar[int] = 130
