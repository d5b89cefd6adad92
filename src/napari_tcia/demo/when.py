"""When faults happen: ``NAME[@key=value[,key=value...]]``, joined by ``+``.

========= ==============================================================
key       meaning
========= ==============================================================
path      only requests whose path has this text, in place of the fault's own
after     so many of these requests go well first
count     only so many times
every     only every so many of them
chance    only with this probability, from 0 to 1
seed      decides the chances; 0 without one
bytes     how much is sent before it happens, or how large the thing is
seconds   how long it takes
========= ==============================================================

Several faults go by clocks of their own; those that a request meets at once
happen to it in the order in which they were named.
"""

from __future__ import annotations

import random
import re
import threading
from functools import reduce

from napari_tcia.demo.faults import FAULTS, HEALTHY, Fault, both
from napari_tcia.demo.hooks import Shot
from napari_tcia.demo.messages import Request
from napari_tcia.errors import UsageError

_WHOLE = ("after", "count", "every", "seed", "bytes")
_REAL = ("chance", "seconds")
_KEYS = ("path", *_WHOLE, *_REAL)


class Triggers:
    """Decides, request by request, which faults are in force.

    Parameters
    ----------
    text : str or None
        Names of `FAULTS`, each with or without a when, joined by ``+``; None
        or empty for a healthy archive.
    stop : threading.Event
        Set when the archive stops.

    Raises
    ------
    UsageError
        Unknown fault or key, or a value that does not fit.
    """

    def __init__(self, text: str | None, stop: threading.Event) -> None:
        # A plus before a digit belongs to a number.
        named = re.split(r"\+(?=\D|$)", text) if text else []
        self._triggers = [_Trigger(one, stop) for one in named]

    def for_request(self, request: Request) -> Fault:
        """The faults that this request meets, as one; `HEALTHY` for none."""
        met = [trigger.for_request(request) for trigger in self._triggers]
        return reduce(both, [one for one in met if one is not HEALTHY] or [HEALTHY])


class _Trigger:
    """Decides for one fault."""

    def __init__(self, text: str, stop: threading.Event) -> None:
        name, options = _parse(text)
        self._fault = FAULTS[name]
        self._path = options.pop("path", None)
        numbers = {key: _number(key, value) for key, value in options.items()}
        self._after = int(numbers.get("after", self._fault.after))
        self._count = numbers.get("count")
        self._every = int(numbers.get("every", 1))
        self._chance = numbers.get("chance", 1.0)
        self._random = random.Random(int(numbers.get("seed", 0)))
        size = numbers.get("bytes")
        shot = Shot(None if size is None else int(size), numbers.get("seconds"), stop)
        self._shot = shot
        self._met = self._happened = 0
        self._lock = threading.Lock()

    def for_request(self, request: Request) -> Fault:
        """The fault that this request meets, or `HEALTHY`."""
        if self._path is None:
            concerned = self._fault.on(request)
        else:
            concerned = self._path in "/".join((request.service, *request.parts))
        if not concerned:
            return HEALTHY
        with self._lock:
            self._met += 1
            if self._met <= self._after:
                return HEALTHY
            if self._count is not None and self._happened >= self._count:
                return HEALTHY
            if (self._met - self._after) % self._every:
                return HEALTHY
            if self._chance < 1 and self._random.random() >= self._chance:
                return HEALTHY
            self._happened += 1
        return self._fault.with_shot(self._shot)


def _parse(text: str) -> tuple[str, dict[str, str]]:
    name, *given = re.split("[@,]", text)
    if name not in FAULTS:
        raise UsageError(
            f"There is no fault named {name!r}.", f"One of: {', '.join(FAULTS)}."
        )
    options = {}
    for part in given:
        key, equals, value = part.partition("=")
        if key not in _KEYS or not equals or not value:
            raise UsageError(
                f"{part!r} does not say when a fault happens.",
                f"Write NAME@key=value,key=value with keys {', '.join(_KEYS)}.",
            )
        options[key] = value
    return name, options


def _number(key: str, value: str) -> float:
    try:
        number = float(value) if key in _REAL else int(value)
    except ValueError:
        number = -1
    least = 1 if key == "every" else 0
    if not number >= least or (key == "chance" and number > 1):
        raise UsageError(
            f"{key}={value} does not fit.",
            "chance goes from 0 to 1, every from 1 up, the others from 0 up.",
        )
    return number
