"""Names and UIDs of the twin's scans."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from napari_tcia.core.model import TWIN_UID_ROOT


@dataclass(frozen=True, slots=True)
class Identity:
    """Who and what a scan says it is.

    `body_part` may be empty. `manufacturer` is empty for converted volumes (CT
    Lymph Nodes), which are Implicit VR; with one, the CT is Explicit VR and
    carries what scanners write. All texts go into the header as they are.
    """

    collection: str
    patient_id: str
    description: str
    body_part: str
    sex: str = ""
    age: str = ""
    manufacturer: str = ""
    model: str = ""
    seg_description: str = ""
    node_code: str = "62683002"
    study_date: str = "20140914"

    def uid(self, *parts: object) -> str:
        """A UID of the twin, the same in every run and always 49 long."""
        text = "/".join(map(str, (self.collection, self.patient_id, *parts)))
        number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
        return f"{TWIN_UID_ROOT}{10**37 + number % (9 * 10**37)}"

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID, shared by CT and SEG."""
        return self.uid("study")

    @property
    def ct_uid(self) -> str:
        """SeriesInstanceUID of the CT."""
        return self.uid("ct")

    @property
    def seg_uid(self) -> str:
        """SeriesInstanceUID of the segmentation."""
        return self.uid("seg")

    @property
    def frame_uid(self) -> str:
        """FrameOfReferenceUID, shared by CT and SEG."""
        return self.uid("frame")
