"""Run an exported model without dcasekit: NumPy, soundfile and onnxruntime are enough."""

import json
import sys

import numpy as np
import onnxruntime
import soundfile


def main(model: str, recording: str) -> None:
    """Print the best label of each row of scores, and when it begins."""
    session = onnxruntime.InferenceSession(model)
    about = {
        name: json.loads(text)
        for name, text in session.get_modelmeta().custom_metadata_map.items()
    }
    sound, sr = soundfile.read(recording, dtype="float32", always_2d=True)
    if sr != about["sr"]:
        raise SystemExit(f"{recording} has {sr} Hz, the model takes {about['sr']} Hz")
    [scores] = session.run(None, {"waveform": sound.mean(axis=1)[np.newaxis]})[0]
    row = about["row"] or {"first": 0, "step": 0}  # none: one answer for the recording
    for number, values in enumerate(scores):
        start = row["first"] + (number - 1) * row["step"] if number else 0.0
        print(f"{start:.2f} s\t{about['labels'][values.argmax()]}\t{values.max():.3f}")


def check(folder):
    """Compare with dcasekit, which this file itself does not need."""
    import contextlib
    import io

    from dcasekit import audio, export, load

    model = load("esc10")
    path = audio.write(
        folder / "noise.wav",
        np.random.default_rng(0).normal(0, 0.1, 5 * model.features.sr).astype(np.float32),
        model.features.sr,
    )
    (expected,) = model.predict([path])
    with contextlib.redirect_stdout(io.StringIO()) as told:
        main(str(export.onnx(model, folder / "esc10.onnx")), str(path))
    rows = [line.split("\t") for line in told.getvalue().splitlines()]
    assert [row[1] for row in rows] == [
        expected.labels[k] for k in expected.values.argmax(axis=1)
    ]
    assert np.allclose(
        [float(row[0].split()[0]) for row in rows], expected.edges[:-1], atol=0.01
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
