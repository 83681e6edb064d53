"""The drawing of the data flow, and players for the sounds of the gallery."""

import base64
import tempfile
from pathlib import Path

_STEPS = (
    ("Dataset", "files on disk", "clips, labels,\nprotocol"),
    ("AugmentedDataset", "optional", "and changed\ncopies"),
    ("FeatureExtractor", "audio", "frames x dims,\nstored"),
    ("DataGenerator", "+ Scaler", "windows x\nframes x dims"),
    ("ModelContainer", "train, predict", "Scores:\nframes x labels"),
    ("to_events", "threshold, filter", "Event: onset,\noffset, label"),
    ("Results", "metrics", "numbers with\nintervals"),
    ("Report", "", "JSON, Markdown,\nHTML"),
)


def draw_data_flow(path: Path) -> None:
    """Draw the way of the data as one picture."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    style = {"svg.fonttype": "path", "font.size": 11, "svg.hashsalt": "dcasekit"}
    with rc_context(style):
        figure = Figure(figsize=(9.6, 4.4))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, 4), ylim=(0, 2))
        ax.axis("off")
        places = [(n, 1.45) for n in range(4)] + [(3 - n, 0.45) for n in range(4)]
        for number, ((name, how, gives), (x, y)) in enumerate(zip(_STEPS, places, strict=True)):
            color = "#0a6ab0" if number < 6 else "#b84a00"
            box = FancyBboxPatch(
                (x + 0.1, y - 0.3),
                0.8,
                0.6,
                boxstyle="round,pad=0.02,rounding_size=0.06",
                fc="#ffffff",
                ec=color,
                lw=1.6,
            )
            ax.add_patch(box)
            ax.text(x + 0.5, y + 0.2, name, ha="center", va="center", weight="bold", color=color)
            ax.text(x + 0.5, y + 0.06, how, ha="center", va="center", color="#5a6675", size=9.5)
            ax.text(x + 0.5, y - 0.16, gives, ha="center", va="center", color="#17202b", size=9.5)
        for first, second in zip(places, places[1:], strict=False):
            (x, y), (to_x, to_y) = first, second
            if y == to_y:
                a, b = ((x + 0.93, y), (to_x + 0.07, y)) if to_x > x else ((x + 0.07, y), (to_x + 0.93, y))
            else:
                a, b = (x + 0.5, y - 0.33), (x + 0.5, to_y + 0.33)
            ax.add_patch(FancyArrowPatch(a, b, arrowstyle="-|>", mutation_scale=14, color="#5a6675", lw=1.4))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None}, facecolor="#ffffff")


class AudioScraper:
    """Show what a gallery script keeps in ``sounds``, title -> (audio, rate), as players in its page."""

    def __repr__(self) -> str:
        return "AudioScraper"

    def __call__(self, block, block_vars, gallery_conf) -> str:  # noqa: ARG002 - sphinx-gallery calls it
        """Give a player for each sound of a block; the sound itself stands in the page."""
        from dcasekit import audio

        sounds, players = block_vars["example_globals"].pop("sounds", {}), []
        with tempfile.TemporaryDirectory() as folder:
            for title, (samples, rate) in sounds.items():
                encoded = base64.b64encode(audio.write(f"{folder}/sound.ogg", samples, rate).read_bytes()).decode()
                players.append(f"   <p>{title}<br><audio controls preload='none' src='data:audio/ogg;base64,{encoded}'></audio></p>")
        return "\n.. raw:: html\n\n" + "\n".join(players) + "\n" if players else ""
