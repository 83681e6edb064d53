"""What scikit-learn's estimators have learned, as plain arrays, and their answers computed from these arrays alone.

So a model is saved without pickle, loaded without running anything that the file names, and answers where scikit-learn is not installed.
The arrays of an estimator are one of five kinds:

- ``constant`` (classes,): the same answer for all.
- Trees: nodes of all trees in one row, ``left``, ``right``, ``feature``, ``threshold`` (nodes,), ``value`` (nodes, classes); ``roots``
  (trees,). A leaf is its own child.
- Linear: ``coef`` (classes, dims), or (1, dims) for two classes, ``intercept``, and ``one_vs_rest``.
- Kernel machines: ``support`` (vectors, dims), ordered by class, ``count`` (classes,) of them, ``dual`` (classes - 1, vectors),
  ``intercept`` (pairs of classes,), ``kernel``: number of its name, gamma, coef0, degree.
- Nearest neighbours: ``examples`` (examples, dims), ``votes`` (examples, classes), ``neighbours`` (1,): how many vote, each as the others.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Matrix = NDArray[np.float64]

_KINDS = (
    {"constant"},
    {"left", "right", "feature", "threshold", "value", "roots"},
    {"coef", "intercept", "one_vs_rest"},
    {"support", "count", "dual", "intercept", "kernel"},
    {"examples", "votes", "neighbours"},
)
_KERNELS = ("linear", "poly", "rbf", "sigmoid")


def extract_arrays(estimator: Any, rows: Matrix) -> Arrays:
    """Return what an estimator has learned from rows (rows, dims); empty if it is of no known kind.

    An estimator is of a kind if that kind's arrays answer as it does itself.
    """
    sample = rows[:256]
    if hasattr(estimator, "coef_") and not hasattr(estimator, "support_vectors_"):
        sample = np.concatenate([sample, _undecided(estimator, sample)])
    expected = answers(estimator, sample)
    for arrays in _candidates(estimator, rows):
        found = probabilities(arrays, sample)
        # Votes of a kernel machine may fall the other way where a decision is 0 but for rounding, and of two neighbours that are
        # equally far either may vote.
        enough = 0.9 if {"support", "examples"} & set(arrays) else 1.0
        if found.shape == expected.shape and np.isclose(found, expected, rtol=0, atol=1e-6).all(axis=1).mean() >= enough:
            return arrays
    return {}


def answers(estimator: Any, rows: Matrix) -> Matrix:
    """Ask an estimator itself for probabilities (rows, classes); of decisions they are the softmax, for two classes the sigmoid."""
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(rows), np.float64)
    return _softmax(estimator.decision_function(rows))


def probabilities(arrays: Arrays, rows: Matrix) -> Matrix:
    """Compute probabilities (rows, classes) from the arrays of one estimator."""
    if "constant" in arrays:
        return np.tile(arrays["constant"], (len(rows), 1))
    if "roots" in arrays:
        return _trees(arrays, rows)
    if "support" in arrays:
        return _softmax(_machine(arrays, rows))
    if "examples" in arrays:
        return _neighbours(arrays, rows)
    decisions = rows @ arrays["coef"].T + arrays["intercept"]
    # Sigmoids over their sum are the softmax of their logarithms, which does not divide by 0 where all of them are tiny.
    return _softmax(_log_sigmoid(decisions) if arrays["one_vs_rest"] and decisions.shape[1] > 1 else decisions)


def operations(arrays: Arrays) -> int:
    """Count multiply-accumulates for one row; of trees the mean of their answers, since comparing is none."""
    counted = {"constant": (), "roots": ("value",), "support": ("support", "dual"), "examples": ("examples",), "coef": ("coef",)}
    kind = next(name for name in counted if name in arrays)
    if kind == "roots":
        return int(arrays["roots"].size * arrays["value"].shape[1])
    return sum(arrays[name].size for name in counted[kind])


def check(arrays: Arrays) -> None:
    """Refuse arrays of no kind, and trees whose children do not come after them, with ValueError."""
    if set(arrays) not in _KINDS:
        raise ValueError(f"no kind of estimator has the arrays {sorted(arrays)}")
    if "roots" in arrays:
        nodes = np.arange(len(arrays["left"]))
        for child in (arrays["left"], arrays["right"]):
            if (child < nodes).any() or (child >= len(nodes)).any():
                raise ValueError("the nodes of the trees do not come before their children")


def _candidates(estimator: Any, rows: Matrix) -> Iterator[Arrays]:
    """Yield the arrays an estimator may mean by its attributes."""
    trees = getattr(estimator, "estimators_", [estimator])
    if all(hasattr(tree, "tree_") for tree in trees):
        yield _nodes([tree.tree_ for tree in trees])
    if hasattr(estimator, "support_vectors_"):
        if estimator.kernel in _KERNELS:
            yield _support(estimator, rows)
    elif getattr(estimator, "weights", None) == "uniform" and getattr(estimator, "effective_metric_", None) == "euclidean":
        votes = np.eye(len(estimator.classes_))[estimator._y]  # no public name tells the examples' classes
        yield {"examples": np.array(rows, np.float64), "votes": votes, "neighbours": np.array([estimator.n_neighbors])}
    elif hasattr(estimator, "coef_"):
        for one_vs_rest in (False, True):
            coef = np.atleast_2d(np.array(estimator.coef_, np.float64))
            intercept = np.array(np.broadcast_to(estimator.intercept_, len(coef)), np.float64)
            yield {"coef": coef, "intercept": intercept, "one_vs_rest": np.array([one_vs_rest])}


def _undecided(estimator: Any, rows: Matrix) -> Matrix:
    """Move rows to where a linear model's decisions are small; far from there a softmax and sigmoids over their sum answer the same."""
    coef = np.atleast_2d(np.asarray(estimator.coef_, np.float64))
    return rows / (np.abs(rows @ coef.T).max() or 1.0) - np.linalg.pinv(coef) @ np.broadcast_to(estimator.intercept_, len(coef))


def _nodes(trees: list[Any]) -> Arrays:
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])
    left, right, feature = (
        np.concatenate([getattr(tree, name) for tree in trees]) for name in ("children_left", "children_right", "feature")
    )
    leaf, own = left < 0, np.arange(roots[-1])
    offset = np.repeat(roots[:-1], np.diff(roots))
    value = np.concatenate([tree.value[:, 0] for tree in trees])
    return {
        "left": np.where(leaf, own, left + offset).astype(np.int32),
        "right": np.where(leaf, own, right + offset).astype(np.int32),
        "feature": np.where(leaf, 0, feature).astype(np.int32),
        "threshold": np.concatenate([tree.threshold for tree in trees]),
        "value": value / value.sum(axis=1, keepdims=True),
        "roots": roots[:-1].astype(np.int32),
    }


def _trees(arrays: Arrays, rows: Matrix) -> Matrix:
    """Go down all trees with all rows at once; then average the leaves. Rows hold float32 values, which is how scikit-learn compares."""
    index, node = np.arange(len(rows))[:, None], np.tile(arrays["roots"], (len(rows), 1))  # (rows, 1), (rows, trees)
    while True:
        goes_left = rows[index, arrays["feature"][node]] <= arrays["threshold"][node]
        below = np.where(goes_left, arrays["left"][node], arrays["right"][node])
        if np.array_equal(below, node):
            return arrays["value"][node].mean(axis=1)
        node = below


def _support(machine: Any, rows: Matrix) -> Arrays:
    gamma = {"scale": 1 / (rows.shape[1] * rows.var() or 1.0), "auto": 1 / rows.shape[1]}.get(machine.gamma, machine.gamma)
    return {
        "support": np.array(machine.support_vectors_, np.float64),
        "count": np.array(machine.n_support_, np.int32),
        "dual": np.array(machine.dual_coef_, np.float64),
        "intercept": np.array(machine.intercept_, np.float64),
        "kernel": np.array([_KERNELS.index(machine.kernel), gamma, machine.coef0, machine.degree], np.float64),
    }


def _machine(arrays: Arrays, rows: Matrix) -> Matrix:
    """Return decisions (rows, classes): each class's votes in its pairs, plus what its decisions sum to, squashed to less than a vote.

    Of two classes the decision (rows, 1). C.-C. Chang, C.-J. Lin, "LIBSVM: a library for support vector machines", 2011, section 4;
    the order between equal votes is scikit-learn's.
    """
    products = _kernel(arrays, rows)  # (rows, vectors)
    dual, intercept = arrays["dual"], arrays["intercept"]
    if len(dual) == 1:
        return products @ dual.T + intercept
    ends = np.cumsum([0, *arrays["count"]])
    votes, sums = np.zeros((2, len(rows), len(arrays["count"])))
    for number, (one, other) in enumerate(combinations(range(len(arrays["count"])), 2)):
        first, second = slice(ends[one], ends[one + 1]), slice(ends[other], ends[other + 1])
        decision = products[:, first] @ dual[other - 1, first] + products[:, second] @ dual[one, second] + intercept[number]
        votes[:, one] += decision >= 0
        votes[:, other] += decision < 0
        sums[:, one] += decision
        sums[:, other] -= decision
    return votes + sums / (3 * (np.abs(sums) + 1))


def _neighbours(arrays: Arrays, rows: Matrix) -> Matrix:
    """Let the nearest examples vote; of equally near ones the first."""
    nearest = np.argsort(_distances(rows, arrays["examples"]), axis=1, kind="stable")[:, : int(arrays["neighbours"][0])]
    found: Matrix = arrays["votes"][nearest].mean(axis=1)
    return found


def _distances(rows: Matrix, others: Matrix) -> Matrix:
    """Return the squared distances (rows, others)."""
    found: Matrix = np.square(rows).sum(axis=1)[:, None] + np.square(others).sum(axis=1) - 2 * rows @ others.T
    return found.clip(0)


def _kernel(arrays: Arrays, rows: Matrix) -> Matrix:
    number, gamma, coef0, degree = arrays["kernel"]
    products: Matrix = rows @ arrays["support"].T
    if _KERNELS[int(number)] == "rbf":
        return np.exp(-gamma * _distances(rows, arrays["support"]))
    if _KERNELS[int(number)] == "poly":
        return (gamma * products + coef0) ** degree
    return np.tanh(gamma * products + coef0) if _KERNELS[int(number)] == "sigmoid" else products


def _softmax(decisions: Matrix) -> Matrix:
    """Return probabilities (rows, classes); decisions (rows,) or (rows, 1) are those for the second of two classes."""
    columns = decisions.reshape(len(decisions), -1)
    if columns.shape[1] == 1:
        return np.exp(np.hstack([_log_sigmoid(-columns), _log_sigmoid(columns)]))
    powers = np.exp(columns - columns.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _log_sigmoid(decisions: Matrix) -> Matrix:
    return -np.logaddexp(0, -decisions)
