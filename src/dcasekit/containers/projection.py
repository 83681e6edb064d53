"""Clips as points: vectors of a model's layer or of a feature, in two dimensions, and which clips are alike."""

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcasekit.annotations import Clip
from dcasekit.containers.base import ModelContainer
from dcasekit.core import discover
from dcasekit.core.units import FloatArray, PathLike
from dcasekit.datasets.base import Dataset
from dcasekit.errors import MissingExtraError, ModelError
from dcasekit.features.base import FeatureExtractor

METHODS = ("pca", "tsne", "umap")
_BEFORE = 50  # dimensions that t-SNE and UMAP are given


def layer_vectors(model: ModelContainer, layer: str, data: Any) -> FloatArray:
    """Return a vector for each clip: the output of a layer, averaged over time, frequency and windows.

    Parameters
    ----------
    model : a trained model.
    layer, data : as for `ModelContainer.embed`.

    Returns
    -------
    array (clips, values) : one value per channel of a convolution, or per unit of any other layer.
    """
    last = discover.address(type(model)).startswith("keras")  # where the channels of a map are
    return np.stack([_average(found, last=last) for found in model.embed(layer, data)])


def feature_vectors(
    features: FeatureExtractor, dataset: Dataset, clips: Sequence[Clip] | None = None, *, over_time: Literal["mean", "max"] = "mean"
) -> FloatArray:
    """Return a vector for each clip: the mean or the maximum over time of a feature, such as an embedding, that was extracted before.

    Parameters
    ----------
    features, dataset : the feature and the dataset that it was extracted from.
    clips : clips of the dataset; ``None``: all.
    over_time : ``"mean"``, or ``"max"`` for short sounds in long clips.

    Returns
    -------
    array (clips, dims).

    Raises
    ------
    FeatureError : the feature of a clip has not been extracted yet.
    """
    store = features.store(dataset)
    pool = np.max if over_time == "max" else np.mean
    return np.stack([pool(store.read(clip.id), axis=0) for clip in (dataset.clips if clips is None else clips)])


def _average(found: FloatArray, *, last: bool) -> FloatArray:
    inner = found.mean(axis=0)  # over windows
    if inner.ndim == 3 and not last:
        return np.asarray(inner.mean(axis=(1, 2)))
    return np.asarray(inner.mean(axis=tuple(range(inner.ndim - 1)))) if inner.ndim > 1 else np.atleast_1d(inner)


def project(vectors: ArrayLike, method: Literal["pca", "tsne", "umap"] = "pca", *, seed: int = 0) -> FloatArray:
    """Project vectors to two dimensions; the same vectors and seed give the same points.

    Each value is first standardised to mean 0 and standard deviation 1 over the vectors, so that no value outweighs the others by its
    size; values that are equal in all vectors are left out. t-SNE and UMAP are then given the first 50 principal components. Up to three
    vectors are always projected by PCA.

    Parameters
    ----------
    vectors : (clips, values), all finite.
    method : ``"pca"``: the two directions of largest variance, with signs that make the largest loading positive; ``"tsne"``: t-SNE of
        scikit-learn, initialised by PCA, with perplexity 30 (a third of the number of clips if that is less); ``"umap"``: UMAP of
        umap-learn with 15 neighbours.
    seed : seed of t-SNE and UMAP.

    Returns
    -------
    array (clips, 2), float32.

    Raises
    ------
    MissingExtraError : scikit-learn or umap-learn is not installed.
    ModelError : the vectors are not finite, or there is no such method.

    Examples
    --------
    >>> project([[0], [4]]).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    if method not in METHODS:
        raise ModelError(f"a projection is one of {', '.join(METHODS)}; got {method!r}")
    points = _principal(_standardise(_checked(vectors)), 2 if method == "pca" else _BEFORE)
    if method == "tsne" and len(points) > 3:
        points = _tsne(points, seed)
    elif method == "umap" and len(points) > 3:
        points = _umap(points, seed)
    return np.asarray(points[:, :2], dtype=np.float32)


def nearest(vectors: ArrayLike, query: int | FloatArray, k: int = 10, *, standardise: bool = True) -> list[tuple[int, float]]:
    """Find the `k` vectors with the highest cosine similarity to one vector.

    Parameters
    ----------
    vectors : (clips, values), all finite.
    query : position of one of the vectors, which is then not among the results; or another vector (values,).
    k : number of vectors to find.
    standardise : first bring each value to mean 0 and standard deviation 1 over all vectors, as `project` does. This is right for values of
        very different size, as those of a layer; use ``False`` for embeddings, whose directions were learned.

    Returns
    -------
    list of (position, cosine similarity), the most similar first.

    Raises
    ------
    ModelError : the vectors are not finite, or there is no such position.

    Examples
    --------
    >>> nearest([[0, 0], [9, 1], [8, 1], [1, 9]], 1, k=1)[0][0]
    2
    >>> nearest([[9, 1], [0, 2]], np.array([0, 1]), k=1, standardise=False)
    [(1, 1.0)]
    """
    points = _checked(vectors)
    if isinstance(query, int | np.integer):
        if not 0 <= query < len(points):
            raise ModelError(f"there are {len(points)} vectors, counted from 0; query {query} is not one of them")
        place = int(query)
    else:
        place = len(points)
        points = _checked(np.concatenate((points, np.asarray(query)[None])))
    points = _standardise(points) if standardise else points
    length = np.linalg.norm(points, axis=1)
    cosine = points @ points[place] / np.maximum(length * length[place], np.finfo(np.float64).tiny)
    order = [int(at) for at in np.argsort(-cosine, kind="stable") if at != place]
    return [(at, float(cosine[at])) for at in order[:k]]


def find_alike(
    recording: PathLike, dataset: Dataset, features: FeatureExtractor, k: int = 10, *, jobs: int | None = None, progress: bool = False
) -> list[tuple[Clip, float]]:
    """Find the clips of a dataset that sound most like a recording, by the cosine similarity of a feature's maxima over time.

    Maxima are used because a sound may be short: the mean would mostly describe the silence around it. The features of the dataset are
    extracted where they are missing, so a second search only computes the recording, and nothing if that is a clip of the dataset. Clips
    that cannot be read are left out, with a warning.

    Parameters
    ----------
    recording : an audio file; if it is a clip of the dataset, it is not among the results.
    dataset : where to search; use `Folder` for your own recordings.
    features : preferably an embedding, such as `YAMNetEmbedding`.
    k : number of clips to find.
    jobs, progress : as for `FeatureExtractor.extract`.

    Returns
    -------
    list of (clip, cosine similarity), the most similar first; empty if no clip could be read.

    Raises
    ------
    AudioError : the recording cannot be read.
    FeatureError : the feature cannot be computed for it, or a file that the feature needs is missing.

    Examples
    --------
    ::

        find_alike("dog.wav", Folder("my/recordings"), YAMNetEmbedding())
    """
    store = features.extract(dataset, jobs=jobs, on_error="skip", progress=progress)
    asked = os.path.realpath(recording)
    own = [clip for clip in dataset.clips if os.path.realpath(clip.path) == asked]
    whole = next((clip for clip in own if clip.channel is None and clip.id in store.entries), None)
    frames = [store.read(whole.id)] if whole else list(features.compute_file(recording))
    clips = [clip for clip in dataset.clips if clip.id in store.entries and clip not in own]
    if not clips:
        return []
    vectors = feature_vectors(features, dataset, clips, over_time="max")
    found = nearest(vectors, np.concatenate(frames).max(axis=0), k, standardise=False)
    return [(clips[at], cosine) for at, cosine in found]


def _checked(vectors: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(vectors, dtype=np.float64)
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise ModelError(f"expected vectors (clips, values), all finite; got shape {found.shape}")
    return found


def _standardise(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    centred, deviation = vectors - vectors.mean(axis=0), vectors.std(axis=0)
    varied = deviation > 1e-9 * np.maximum(np.abs(vectors).max(axis=0), 1e-300)
    return np.asarray(centred[:, varied] / deviation[varied]) if varied.any() else np.zeros((len(vectors), 1))


def _principal(points: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the first principal components, (clips, count) or as many as there are, at least two."""
    if len(points) > points.shape[1]:  # the same directions from a triangle of their lengths: many clips cost little
        _, _, directions = np.linalg.svd(np.linalg.qr(points, mode="r"), full_matrices=False)
    else:
        _, _, directions = np.linalg.svd(points, full_matrices=False)
    directions = directions[:count]
    directions *= np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])[:, None]
    found = points @ directions.T
    return np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1]))))


def _tsne(points: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "sklearn") from error
    return np.asarray(TSNE(perplexity=min(30.0, (len(points) - 1) / 3), init="pca", random_state=seed).fit_transform(points))


def _umap(points: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingExtraError("umap-learn", "umap") from error
    return np.asarray(UMAP(n_neighbors=min(15, len(points) - 1), random_state=seed, n_jobs=1).fit_transform(points))
