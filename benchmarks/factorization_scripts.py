# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in processes of its own, so that its memory and its packages are its own."""

#: Arguments: store, dictionary with truth, phases, threads, folder of the benchmarks. A map of no
#: threads is left alone: what is to be compiled has been, and lies in the cache.
OURS = """
import json, resource, sys, time
store, saved, n_phases, threads, folder = sys.argv[1:]
sys.path.insert(0, folder)
import numpy as np, zarr
import mlatem

with np.load(saved) as file:
    columns, energy, truth = file["columns"], file["energy"], file["truth"]
from factorization_cases import ELEMENTS, matched

class Counted:
    def __init__(self, array):
        self.array, self.n_read = array, 0
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype
    def __getitem__(self, key):
        block = self.array[key]
        self.n_read += block.size
        return block

kinds = ["line"] * len(ELEMENTS) + ["background"] * 2
names = [*ELEMENTS, "continuum 1", "continuum 2"]
dictionary = mlatem.Dictionary.from_arrays(columns, energy, names, kinds, [*ELEMENTS, None, None])
array = zarr.open_array(store, mode="r")
small = np.asarray(array[:24, :24])
mlatem.factorize(small, dictionary, int(n_phases))  # compiles, or loads what was compiled
if int(threads) == 0:
    print("{}")
    sys.exit()
counts = Counted(array)
cpu, begun = time.process_time(), time.perf_counter()
result = mlatem.factorize(counts, dictionary, int(n_phases), threads=int(threads))
print(json.dumps({
    "wall": time.perf_counter() - begun,
    "cpu": time.process_time() - cpu,
    "angle": float(matched(truth, result["spectrum"].values)[1].mean()),
    "passes": counts.n_read / array.size,
    "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
}))
"""

#: Arguments: task, counts (pixels, channels), columns with start, iterations, phases.
ESPM = """
import contextlib, io, json, resource, sys, time, warnings
from importlib.metadata import version
warnings.filterwarnings("ignore")
task, dense, saved, n_iterations, n_phases = sys.argv[1:]
n_iterations, n_phases = int(n_iterations), int(n_phases)
import numpy as np
with contextlib.redirect_stdout(io.StringIO()):
    from espm.estimators import SmoothNMF
    from espm.estimators.updates import initialize_algorithms
    X = np.load(dense).T.astype(np.float64)
    with np.load(saved) as file:
        given = {name: file[name] for name in file.files}
    G = given["columns"].T
    result = {"version": version("espm")}
    if task == "start":
        _, W, H = initialize_algorithms(X, G, None, None, n_phases, None, 0, False, False)
        scale = W.sum(axis=0)
        np.savez(saved, abundance=(H * scale[:, None]).T, weight=(W / scale).T)
    else:
        seconds = {}
        for number in (1, 1, 1 + n_iterations, n_iterations):  # the first touches memory
            estimator = SmoothNMF(
                n_components=n_phases, G=G, simplex_W=False, simplex_H=False, max_iter=number,
                tol=0, no_stop_criterion=True, verbose=0,
            )
            W, H = given["weight"].T.copy(), given["abundance"].T.astype(np.float64)
            begun = time.process_time()
            estimator.fit_transform(X, W=W, H=H)
            seconds[number] = time.process_time() - begun
        result["seconds"] = (seconds[1 + n_iterations] - seconds[1]) / n_iterations
        model = (G @ estimator.W_) @ estimator.H_
        result["loss"] = float(np.sum(model) - np.sum(X[X > 0] * np.log(model[X > 0])))
        result["iterations"] = int(estimator.n_iter_)
result["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps(result))
"""
