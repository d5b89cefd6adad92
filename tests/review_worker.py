"""Paints and decides until it is killed; says what was confirmed.

Run as ``python review_worker.py FOLDER KILLS``: forks as many painters, one after the
other, on one draft, kills each at a random moment, and checks what it left.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np

from napari_tcia.review import draft as draft_module
from napari_tcia.review.autosave import Autosave
from napari_tcia.review.deltas import fingerprint
from napari_tcia.review.draft import open_draft
from napari_tcia.review.places import DraftCase
from napari_tcia.review.recovery import recover
from napari_tcia.review.watched import watched

SHAPE = (12, 64, 64)
CASE = DraftCase(
    series_uid="61.7.0.999.5",
    host="own",
    shape=SHAPE,
    affine=tuple(map(tuple, np.eye(4).tolist())),
)
NODE = "2.25.77"
OFTEN = 0.002


def paint(drafts: Path, say: int, seed: int) -> None:
    """Paint without end, saying after each flush what is on the disk."""
    draft_module.SNAPSHOT_EVERY = 7
    draft = open_draft(drafts, CASE, "R1")
    labels = watched(draft.labels)
    saving = Autosave(draft, labels)
    rng = np.random.default_rng(seed)
    count = int(saving.state.judgement(NODE).comment or 0)
    while True:
        k, j, i, value = (int(rng.integers(0, top)) for top in (*SHAPE, 9))
        labels[k, j : j + 6, i : i + 6] = value
        saving.tick()
        if rng.random() < 0.3:
            count += 1
            saving.record("decision", node=NODE, after={"comment": str(count)})
        if rng.random() < 0.2 and saving.flush():
            os.write(
                say,
                json.dumps([fingerprint(labels), len(draft.records), count]).encode()
                + b"\n",
            )


def confirmed(say: int) -> list[list[int]]:
    """Whole lines that a painter said."""
    said = b""
    while select.select([say], [], [], 0)[0]:
        part = os.read(say, 1 << 16)
        if not part:
            break
        said += part
    return [json.loads(line) for line in said.split(b"\n")[:-1]]


def main(folder: str, kills: int) -> None:
    drafts = Path(folder)
    rng = random.Random(5)
    edits = torn = 0
    for number in range(kills):
        ear, say = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ear)
            try:
                paint(drafts, say, number)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(say)
        if number < 5:  # it has to come as far as a draft
            select.select([ear], [], [], 30)
        time.sleep(rng.uniform(0.0, 0.09))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"painter {number} ended by itself"
        said = confirmed(ear)
        os.close(ear)
        found = recover(next(drafts.glob("own/*/R1-*")))
        states = [r.more["labels"] for r in found.records if "labels" in r.more]
        if said:
            labels, records, count = said[-1]
            assert len(found.records) >= records, "a confirmed record is gone"
            assert labels in states, "a confirmed edit is gone"
            assert int(found.state.judgement(NODE).comment or 0) >= count
        anew = recover(next(drafts.glob("own/*/R1-*")), anew=True)
        assert np.array_equal(found.labels, anew.labels)
        assert fingerprint(found.labels) == states[-1], "not the last confirmed edit"
        edits = sum(r.kind == "edit" for r in found.records)
        torn += sum(i.code == "torn_line" for i in found.issues)
    sys.stdout.write(json.dumps({"kills": kills, "edits": edits, "torn": torn}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
