"""Our summaries share no long run of words with the texts that they sum up."""

import re
from pathlib import Path

import pytest

from napari_tcia.terms.licence import LICENCES
from napari_tcia.terms.policy import POLICY_POINTS, licence_points

SHARED = Path(__file__).resolve().parents[3] / "shared"
TEXTS = (
    SHARED / "reference" / "tcia-policy-and-collection.txt",
    SHARED / "data" / "nbia" / "text" / "userAgreement.txt",
)
RUN = 8

pytestmark = pytest.mark.skipif(
    not all(path.is_file() for path in TEXTS),
    reason="the official texts are not beside this checkout (../shared)",
)


def runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}


def test_no_run_of_eight_words_is_shared():
    points = [
        *POLICY_POINTS,
        *(p for one in LICENCES.values() for p in licence_points(one)),
    ]
    ours = set().union(*(runs(sentence) for _, sentence in points))
    theirs = set().union(*(runs(path.read_text(encoding="utf-8")) for path in TEXTS))
    assert len(ours) > 50
    assert len(theirs) > 300
    assert not ours & theirs
