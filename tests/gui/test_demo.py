"""The demonstration without a user ends with everything that it promises."""

from __future__ import annotations

from napari_tcia._napari import demo, launch


def test_its_picture_is_taken_of_the_verified_case(
    tmp_path, capsys, make_napari_viewer, monkeypatch
):
    shown = []
    take = launch.screenshot

    def look(viewer, path):
        shown.append([layer.name for layer in viewer.layers])
        shown.append(viewer.canvas.overlays["napari_tcia_position"].text)
        read_out = viewer.canvas.overlays.get("napari_tcia_readout")
        shown.append(read_out is not None and read_out.visible)
        return take(viewer, path)

    monkeypatch.setattr(launch, "screenshot", look)
    made = make_napari_viewer(show=True)
    monkeypatch.setattr("napari.Viewer", lambda **_: made)
    demo.run(tmp_path / "window.png", "MED_LYMPH_021")
    layers, words, cursor = shown
    assert layers[:4] == [
        "CT - MED_LYMPH_021",
        "Nodes (reference)",
        "Nodes (published points)",
        "Node numbers",
    ]
    assert words.startswith("k ")
    assert not cursor  # nobody has pointed anywhere
    assert (tmp_path / "window.png").stat().st_size > 10_000
    assert "/v4/getImage" in capsys.readouterr().out
