"""What the tests ask of the real XGBoost.

    partner.py version            its version
    partner.py exchange FOLDER    for every case in FOLDER/request.json: margins of our model, our model
                                  saved again, and a model of its own with its margins
    partner.py fixtures FOLDER    small models with margins, for the tests that need no XGBoost
    partner.py bench FOLDER       seconds and memory of one training, on FOLDER/request.json
"""

import json
import os
import resource
import sys
import time

import numpy
import xgboost


def params(case):
    # At the default verbosity 1.7 warns about the loading of models.
    return dict(case["params"], tree_method="hist", verbosity=0)


def read(folder, request, label):
    values = numpy.fromfile(os.path.join(folder, "data.f32"), dtype="<f4")
    columns = values.reshape(request["cols"], request["rows"])
    return columns.T, numpy.fromfile(os.path.join(folder, label), dtype="<f4")


def save(booster, path):
    booster.save_model(path + ".json")
    booster.save_model(path + ".ubj")


def exchange(folder):
    with open(os.path.join(folder, "request.json")) as f:
        request = json.load(f)
    for case in request["cases"]:
        x, y = read(folder, request, case["name"] + ".label.f32")
        # XGBoost compares the names with those in the model.
        everything = xgboost.DMatrix(x, feature_names=request["names"])

        ours = xgboost.Booster(params(case))
        ours.load_model(os.path.join(folder, case["name"], "xgboost-model"))
        ours.predict(everything, output_margin=True).astype("<f4").tofile(os.path.join(folder, case["name"], "ours.margin"))
        save(ours, os.path.join(folder, case["name"], "again"))

        n = request["train_rows"]
        train, valid = (xgboost.DMatrix(x[part], y[part], feature_names=request["names"]) for part in (slice(n), slice(n, None)))
        theirs = xgboost.train(params(case), train, case["rounds"], evals=[(valid, "valid")], early_stopping_rounds=50, verbose_eval=False)
        theirs.predict(everything, output_margin=True).astype("<f4").tofile(os.path.join(folder, case["name"], "theirs.margin"))
        save(theirs, os.path.join(folder, case["name"], "theirs"))
        os.mkdir(os.path.join(folder, case["name"], "container"))
        theirs.save_model(os.path.join(folder, case["name"], "container", "xgboost-model"))


def fixtures(folder):
    rng = numpy.random.default_rng(7)
    x = rng.normal(size=(600, 3)).astype("f4")
    x[rng.random(x.shape) < 0.1] = numpy.nan
    a, b = numpy.nan_to_num(x[:, 0]), numpy.nan_to_num(x[:, 1])
    for name, objective, y in (
        ("ubj-logistic", {"objective": "binary:logistic"}, a * b > 0.1),
        ("ubj-softmax", {"objective": "multi:softprob", "num_class": 3}, (a > 0).astype(int) + (b > 0.5)),
        ("softmax", {"objective": "multi:softprob", "num_class": 3}, (a > 0).astype(int) + (b > 0.5)),
    ):
        data = xgboost.DMatrix(x, y, feature_names=["a", "b", "c"])
        booster = xgboost.train(dict(objective, max_depth=3, tree_method="hist"), data, 4)
        path = os.path.join(folder, "xgboost-%s-%s" % (xgboost.__version__, name))
        booster.save_model(path + (".ubj" if name.startswith("ubj") else ".json"))
        some = xgboost.DMatrix(x[:30], feature_names=["a", "b", "c"])
        margin = booster.predict(some, output_margin=True)
        with open(path + ".expected.json", "w") as f:
            rows = [[None if v != v else float(v) for v in row] for row in x[:30]]
            bits = margin.astype("<f4").ravel().view("<u4").tolist()
            json.dump({"rows": rows, "margin_bits": bits, "prediction": booster.predict(some).ravel().tolist()}, f)


def bench(folder):
    with open(os.path.join(folder, "request.json")) as f:
        request = json.load(f)
    case = request["cases"][0]
    x, y = read(folder, request, case["name"] + ".label.f32")
    n = request["train_rows"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.monotonic(), time.process_time()
    booster = xgboost.train(params(case), xgboost.DMatrix(x[:n], y[:n], nthread=case["params"]["nthread"]), case["rounds"])
    seconds, cpu = time.monotonic() - start, time.process_time() - cpu
    booster.predict(xgboost.DMatrix(x), output_margin=True).astype("<f4").tofile(os.path.join(folder, "theirs.margin"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"version": xgboost.__version__, "seconds": seconds, "cpu_seconds": cpu, "before_kib": before, "peak_kib": peak}))


if __name__ == "__main__":
    if sys.argv[1] == "version":
        print(xgboost.__version__)
    else:
        {"exchange": exchange, "fixtures": fixtures, "bench": bench}[sys.argv[1]](sys.argv[2])
