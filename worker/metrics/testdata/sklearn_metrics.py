"""What scikit-learn says of labels and scores.

`python sklearn_metrics.py SEED` prints samples and their metrics as JSON; sklearn.json is what
seed 20251123 gives with scikit-learn 1.9.1 and numpy 2.4.6. Labels and scores are float32's, as models
have them, and judged as float64.
"""

import json
import sys

import numpy as np
import sklearn
from sklearn import metrics
from sklearn.calibration import calibration_curve

BINS = 10


def calibration_error(y, p):
    """The gap of each bin of calibration_curve, weighted by its share of the rows."""
    true, said = calibration_curve(y, p, n_bins=BINS, strategy="uniform")
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], p)
    share = np.bincount(bins, minlength=BINS)
    return float(np.sum(np.abs(true - said) * share[share > 0]) / len(y))


def binary(y, p, threshold):
    yes = (p >= threshold).astype(int)
    return {
        "auc": metrics.roc_auc_score(y, p),
        "pr_auc": metrics.average_precision_score(y, p),
        "logloss": metrics.log_loss(y, p, labels=[0, 1]),
        "brier": metrics.brier_score_loss(y, p),
        "calibration_error": calibration_error(y, p),
        "accuracy": metrics.accuracy_score(y, yes),
        "precision": metrics.precision_score(y, yes),
        "recall": metrics.recall_score(y, yes),
        "f1": metrics.f1_score(y, yes),
    }


def regression(y, p, _):
    return {
        "rmse": metrics.root_mean_squared_error(y, p),
        "mae": metrics.mean_absolute_error(y, p),
        "r2": metrics.r2_score(y, p),
    }


def multiclass(y, p, _):
    said = np.argmax(p, axis=1)
    return {
        "ovr_auc": metrics.roc_auc_score(y, p, multi_class="ovr", average="macro"),
        "logloss": metrics.log_loss(y, p, labels=list(range(p.shape[1]))),
        "accuracy": metrics.accuracy_score(y, said),
        "macro_f1": metrics.f1_score(y, said, average="macro"),
    }


def rounded(x):
    """As float32 has it, which is what models say."""
    return np.asarray(x, dtype=np.float32).astype(np.float64)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def samples(seed):
    rng = np.random.default_rng(seed)
    z = 2 * rng.standard_normal(400)
    y = (rng.random(400) < sigmoid(z)).astype(int)  # a model knows z but for noise
    yield "binary", "smooth scores", y, rounded(sigmoid(z + rng.standard_normal(400))), 0.5
    yield "binary", "ties, and the edges of bins", y, rounded(np.round(sigmoid(z + rng.standard_normal(400)) * 8) / 8), 0.375
    rare = (rng.random(500) < 0.03).astype(int)
    yield "binary", "rare positives", rare, rounded(np.clip(0.02 + 0.1 * rare + 0.05 * rng.standard_normal(500), 0, 1)), 0.08
    yield "binary", "certain scores, some wrong", y, rounded(np.where(rng.random(400) < 0.9, y, 1 - y)), 0.5
    v = 50 + 12 * rng.standard_normal(300)
    yield "regression", "near", rounded(v), rounded(v + 3 * rng.standard_normal(300)), 0
    yield "regression", "far from 0", rounded(1e6 + v), rounded(1e6 + v + 20 * rng.standard_normal(300)), 0
    yield "regression", "worse than the mean", rounded(v), rounded(-v), 0
    for name, classes, rows in (("three classes", 3, 300), ("seven classes, one rare", 7, 210)):
        k = rng.integers(0, classes, rows)
        if classes == 7:
            k[(k == 6) & (rng.random(rows) < 0.8)] = 0
        margin = 1.5 * rng.standard_normal((rows, classes))
        margin[np.arange(rows), k] += 1.5
        e = np.exp(margin)
        yield "multiclass", name, k, rounded(e / e.sum(axis=1, keepdims=True)), 0


def short(x):
    """float32's shortest text."""
    x = float(np.format_float_scientific(np.float32(x), unique=True))
    return int(x) if x.is_integer() else x


def main():
    judges = {"binary": binary, "regression": regression, "multiclass": multiclass}
    out = []
    for kind, name, y, p, threshold in samples(int(sys.argv[1])):
        out.append({
            "kind": kind, "name": name, "classes": p.shape[1] if kind == "multiclass" else 0, "threshold": threshold,
            "labels": [short(v) for v in y], "scores": [short(v) for v in p.ravel()],
            "metrics": {k: float(v) for k, v in judges[kind](y, p, threshold).items()},
        })
    print('{"scikit-learn": %s, "samples": [' % json.dumps(sklearn.__version__))
    print(",\n".join(json.dumps(s, separators=(",", ":")) for s in out))
    print("]}")


main()
