"""Bounding boxes (cSEBBs) beside a median filter on the same real scores: PSDS1 of clips that no setting was chosen on.

    python benchmarks/bench_csebbs.py --data ../shared/data/desed_scores --splits 50

The folder holds scores/, reference.tsv and durations.tsv: frame scores of a detection system. In each split, half of the clips, drawn
anew, choose the settings of both chains, per label or one for all labels, by PSDS1; on the other half each is scored, beside the scores
as they are and the published median filter of 7 frames, which chooses nothing. All settings of one split are those of the others'.
"""

import argparse
import json
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from dcasekit.metrics.psds import PSDS1, PSDS2, psds
from dcasekit.metrics.tuning import best_psds
from dcasekit.results import scoring
from dcasekit.scores import median_filter
from dcasekit.scores.postprocessing import csebbs_scores

BOXES = {
    "step_filter_length": (0.32, 0.48, 0.64, 0.96),
    "merge_threshold_abs": (0.15, 0.2, 0.3),
    "merge_threshold_rel": (1.5, 2.0, 3.0),
}
MEDIANS = {"frames": (1, 3, 5, 7, 11, 15, 21, 31)}
CHAINS = {"median filter": (partial(median_filter, pad="reflect"), MEDIANS), "cSEBBs": (csebbs_scores, BOXES)}
PUBLISHED = "median filter of 7, published"


def score(material, clips, chain, settings, setting=PSDS1):
    """Return PSDS of some clips."""
    scores = {clip: chain(material.scores[clip], **settings) for clip in clips}
    return psds({clip: material.reference[clip] for clip in clips}, scores, material.durations, **setting)["psds"]


def best_for_all(material, clips, chain, grid):
    """Return the settings, the same for all labels, of highest PSDS1."""
    candidates = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    return max(candidates, key=lambda settings: score(material, clips, chain, settings))


def split(material, rng):
    """Choose on half of the clips, score on the other half: chain -> PSDS1."""
    clips = rng.permutation(sorted(material.reference)).tolist()
    chosen_on, tested = clips[: len(clips) // 2], clips[len(clips) // 2 :]
    known = [{clip: each[clip] for clip in chosen_on} for each in (material.reference, material.scores, material.durations)]
    found = {
        "nothing": score(material, tested, lambda scores: scores, {}),
        PUBLISHED: score(material, tested, *CHAINS["median filter"][:1], {"frames": 7}),
    }
    for name, (chain, grid) in CHAINS.items():
        found[f"{name}, per label"] = score(material, tested, chain, best_psds(*known, chain, grid))
        found[f"{name}, one for all"] = score(material, tested, chain, best_for_all(material, chosen_on, chain, grid))
    found["cSEBBs, defaults"] = score(material, tested, csebbs_scores, {})
    return found


def main():
    """Print the table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/desed_scores"))
    parser.add_argument("--splits", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    material = scoring.read(args.data / "reference.tsv", args.data / "scores", durations=args.data / "durations.tsv")
    clips = sorted(material.reference)
    whole = {
        name: [score(material, clips, chain, settings, setting) for setting in (PSDS1, PSDS2)]
        for name, chain, settings in (
            ("as they are", lambda scores: scores, {}),
            (PUBLISHED, partial(median_filter, pad="reflect"), {"frames": 7}),
            ("cSEBBs, defaults", csebbs_scores, {}),
        )
    }
    print(f"{len(clips)} clips, nothing chosen".ljust(40), "PSDS1", " PSDS2")
    for name, values in whole.items():
        print(name.ljust(40), *(f"{value:.4f}" for value in values))
    rng = np.random.default_rng(args.seed)
    rounds = [split(material, rng) for _ in range(args.splits)]
    base = np.array([each[PUBLISHED] for each in rounds])
    print(f"\n{args.splits} splits, chosen on half".ljust(41), "PSDS1", " over the published filter (deviation of splits), better in")
    table = {}
    for name in rounds[0]:
        values = np.array([each[name] for each in rounds])
        gain = values - base
        table[name] = {"psds1": values.mean(), "gain": gain.mean(), "deviation": gain.std(ddof=1), "better": float((gain > 0).mean())}
        print(name.ljust(40), f"{values.mean():.4f} {gain.mean():+.4f} ({gain.std(ddof=1):.4f}) {(gain > 0).mean():.0%}")
    if args.out:
        args.out.write_text(json.dumps({"whole": whole, "splits": table}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
