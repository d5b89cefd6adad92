"""An archive on loopback that takes the documented v4 requests and no others."""

from __future__ import annotations

import hashlib
from typing import Any

from small_archive import (
    LICENCE_TEXT,
    SERIES,
    UID,
    Answer,
    SmallArchive,
    as_json,
    part10,
    zipped,
)

CC_BY_3 = {
    "LicenseName": "Creative Commons Attribution 3.0 Unported License",
    "LicenseURI": "http://creativecommons.org/licenses/by/3.0/",
}
CC_BY_NC_3 = {
    "LicenseName": "Creative Commons Attribution-NonCommercial 3.0 Unported License",
    "LicenseURI": "http://creativecommons.org/licenses/by-nc/3.0/",
}
ALLOWED = {
    "v4/getCollectionValuesAndCounts": {"format"},
    "v4/getSeries": {
        "Collection",
        "PatientID",
        "StudyInstanceUID",
        "Modality",
        "BodyPartExamined",
        "ManufacturerModelName",
        "Manufacturer",
        "SeriesInstanceUID",
        "format",
    },
    "v4/getSOPInstanceUIDs": {"SeriesInstanceUID"},
    "v4/getImage": {"SeriesInstanceUID", "NewFileNames", "IncludeMD5"},
    "v1/getUserAgreementTxt": set(),
}
"""Documented parameters of the endpoints that are served."""


def row(uid: str = UID, **changes: Any) -> dict[str, Any]:
    """A row of ``getSeries``; a value of None leaves its key out."""
    facts = {
        "SeriesInstanceUID": uid,
        "StudyInstanceUID": "61.7.0.999.9",
        "PatientID": "TWIN_001",
        "Collection": "Twin",
        "Modality": "CT",
        "ImageCount": SERIES.images,
        **CC_BY_3,
        **changes,
    }
    if "FileSize" not in facts:
        facts["FileSize"] = sum(len(data) for data in instances(uid).values())
    return {key: value for key, value in facts.items() if value is not None}


def instances(uid: str) -> dict[str, bytes]:
    """Five instances of a series, by SOPInstanceUID."""
    return {f"{uid}.{n}": part10(uid, f"{uid}.{n}") for n in range(1, 6)}


class StrictArchive(SmallArchive):
    """Lists `rows` and sends their instances; counts what breaks the rules.

    Attributes
    ----------
    rows : list of dict
        What ``getSeries`` lists.
    policy : str
        The user agreement; empty where it is not served.
    licence_text : str
        The LICENSE of the zips.
    ignores_filters : bool
        Every question is answered with all rows.
    sent : int
        How many instances of a zip are sent.
    listed : int
        How many instances ``getSOPInstanceUIDs`` names.
    knows_checksums : bool
        Whether ``IncludeMD5``, a parameter of late 2025, is taken.
    checksum_of_first : str
        Sent instead of the MD5 of the first instance.
    broken_rules : list of str
        Requests that no documentation allows.
    """

    def __init__(self, *rows: dict[str, Any]) -> None:
        super().__init__()
        self.rows = list(rows) or [row()]
        self.policy = "Name the collection. Do not identify anybody."
        self.licence_text = LICENCE_TEXT.decode()
        self.ignores_filters = False
        self.sent = self.listed = 5
        self.knows_checksums = True
        self.checksum_of_first = ""
        self.broken_rules: list[str] = []
        for endpoint in ALLOWED:
            self.on(f"/nbia/{endpoint}", self._plan(endpoint))

    def _plan(self, endpoint: str) -> Any:
        answers = {
            "v4/getCollectionValuesAndCounts": self._collections,
            "v4/getSeries": self._series,
            "v4/getSOPInstanceUIDs": self._sops,
            "v4/getImage": self._image,
            "v1/getUserAgreementTxt": self._policy,
        }

        def plan(count: int, query: dict[str, list[str]]) -> Answer:
            asked = self.asked[-1]
            unknown = set(query) - ALLOWED[endpoint]
            if unknown or "authorization" in {key.lower() for key in asked.headers}:
                self.broken_rules.append(f"{endpoint} {query}")
                return Answer(f"Invalid query parameter: {unknown}".encode(), 400)
            return answers[endpoint]({key: values[0] for key, values in query.items()})

        return plan

    def _collections(self, query: dict[str, str]) -> Answer:
        names = sorted({str(one.get("Collection", "")) for one in self.rows})
        return as_json([{"Collection": name, "Count": 1} for name in names])

    def _series(self, query: dict[str, str]) -> Answer:
        wanted = {key: value for key, value in query.items() if key != "format"}
        rows = [
            one
            for one in self.rows
            if self.ignores_filters
            or all(
                str(one.get(key, "")).upper() == value.upper()
                for key, value in wanted.items()
            )
        ]
        return as_json(rows) if rows else Answer()

    def _sops(self, query: dict[str, str]) -> Answer:
        uids = list(instances(query["SeriesInstanceUID"]))[: self.listed]
        return as_json([{"SOPInstanceUID": uid} for uid in uids]) if uids else Answer()

    def _image(self, query: dict[str, str]) -> Answer:
        files = list(instances(query["SeriesInstanceUID"]).values())[: self.sent]
        named = [(f"1-{n}.dcm", data) for n, data in enumerate(files, 1)]
        members = [("LICENSE", self.licence_text.encode()), *named]
        if "IncludeMD5" in query:
            if not self.knows_checksums:
                said = "Invalid query parameter: 'IncludeMD5'. Allowed parameters are: "
                return Answer(f"{said}[NewFileNames, SeriesInstanceUID]".encode(), 400)
            sums = [hashlib.md5(data, usedforsecurity=False) for data in files]
            first, *others = [one.hexdigest() for one in sums]
            listed = [self.checksum_of_first or first, *others]
            lines = [f"{n},{s}" for (n, _), s in zip(named, listed, strict=True)]
            table = "\n".join(["Filename,MD5Hash", *reversed(lines), ""])
            members.append(("md5hashes.csv", table.encode()))
        return Answer(zipped(members), chunked=True)

    def _policy(self, query: dict[str, str]) -> Answer:
        return Answer(self.policy.encode(), 200 if self.policy else 404)

    def images_asked(self) -> int:
        """How many series were asked for."""
        return self.count("/nbia/v4/getImage")
