"""PARSEC against random search where the best network is known: 12 variables of 5 choices.

The score of a network is a sum over its choices plus noise. Its cost is another sum with a limit of
0.5. Neither search tries networks over the limit, and the budgets are equal. The answer of PARSEC
is the most probable value of each variable. It is compared with the best network that random search
has tried, by scores without noise. That favours random search, which cannot tell which of its
networks is the best. There are two toys. In one, score and cost of a choice are independent. In the
other, costly choices tend to be better, so that good networks lie at the limit.

    python benchmarks/parsec_toy.py
    python benchmarks/parsec_toy.py --quick
"""

import os
import tempfile
import time

import harness
import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("seeds", 5, "Pairs of searches, each with its own toy.", lower_bound=1)
flags.DEFINE_integer("trials", 2400, "Networks that each search may try.", lower_bound=1)
flags.DEFINE_float("noise", 0.01, "Standard deviation of the noise of the score.")
VARIABLES, CHOICES, LIMIT = 12, 5, 0.5
TOYS = {"independent": 0.0, "costlier is better": 0.5}
FORMS = {
    "8 draws": {},
    "8 draws, baseline": {"baseline": True},
    "8 draws, temperature 0.02": {"temperature": 0.02},
    "1 draw per 2 nats": {"samples": 16, "samples_per_nat": 0.5},
}
# Nothing here has to survive a power failure, and writing to memory saves most of the time.
FOLDER = "/dev/shm" if os.path.isdir("/dev/shm") else None


class Toy:
    """Tables of scores and costs. Both are between 0 and 1 for a whole network.

    Args:
        seed: int.
        share: float from 0 to 1, part of the score that equals the cost.
    """

    def __init__(self, seed, share=0.0):
        rng = np.random.default_rng(seed)
        self.costs = rng.uniform(size=(VARIABLES, CHOICES))
        own = rng.uniform(size=(VARIABLES, CHOICES))
        self.scores = (1 - share) * own + share * self.costs
        self._noise = rng

    def score(self, values):
        return self._mean(self.scores, values)

    def cost(self, values):
        return self._mean(self.costs, values)

    def noisy_score(self, values):
        return self.score(values) + FLAGS.noise * float(self._noise.normal())

    def _mean(self, table, values):
        return float(np.mean([table[j, values[f"variable_{j}"]] for j in range(VARIABLES)]))


def search(oracle, toy, folder):
    """Run a search. Return its oracle and the seconds it took."""
    from keras_video.tuner import SearchTuner, Space

    class ToySpace(Space):
        def declare(self, hp):
            for j in range(VARIABLES):
                hp.Choice(f"variable_{j}", list(range(CHOICES)))

        def costs(self, values):
            return {"macs": toy.cost(values)}

    class Instant(SearchTuner):
        def run_trial(self, trial, **_):
            return toy.noisy_score(trial.hyperparameters.values)

    began = time.perf_counter()
    Instant(oracle, ToySpace(), directory=folder, project_name="search").search(verbose=0)
    return oracle, time.perf_counter() - began


def compare(name, seed, trials):
    """Return the rows of one toy: a random search, and PARSEC with each set of options."""
    from keras_video.tuner import MaxMacs, ParsecOracle, SearchOracle

    common = {"max_trials": trials, "constraints": [MaxMacs(LIMIT)], "seed": seed}
    rows, reference = [], None
    for form, options in {"random": {}, **FORMS}.items():
        toy = Toy(seed, TOYS[name])
        cls, options = ParsecOracle, {"min_entropy": 0.5, **options}
        if form == "random":
            cls, options = SearchOracle, {}
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            oracle, seconds = search(cls(**common, **options), toy, folder)
        tried = [toy.score(t.hyperparameters.values) for t in oracle.trials.values()]
        row = {
            "toy": name,
            "seed": seed,
            "search": form,
            "trials": len(tried),
            "best_tried": max(tried),
        }
        if form == "random":
            reference = max(tried)
        else:
            best = oracle.best_architecture()
            row |= {
                "argmax": toy.score(best), "argmax_cost": toy.cost(best),
                "within_limit": int(toy.cost(best) <= LIMIT),
                "beats_random": int(toy.score(best) > reference and toy.cost(best) <= LIMIT),
                "updates": len(oracle.history), "draws": sum(r.draws for r in oracle.history),
                "entropy_before": oracle.history[0].entropy, "entropy": oracle.entropy,
            }  # fmt: skip
        row |= {"optimum": optimum(toy), "seconds": seconds}
        rows.append({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
    return rows


def optimum(toy, places=20_000):
    """Return the best score within the limit, by dynamic programming over 20,000 cost steps."""
    best = np.full(places + 1, -np.inf)  # by cost so far, rounded up
    best[0] = 0.0
    for scores, costs in zip(toy.scores, toy.costs, strict=True):
        better = np.full_like(best, -np.inf)
        for score, cost in zip(scores, costs, strict=True):
            spent = int(np.ceil(cost / (VARIABLES * LIMIT) * places))
            better[spent:] = np.maximum(better[spent:], best[: places + 1 - spent] + score)
        best = better
    return float(best.max()) / VARIABLES


def main(_):
    os.environ["KERAS_BACKEND"] = "numpy"  # nothing here needs another
    seeds, trials = (1, 60) if FLAGS.quick else (FLAGS.seeds, FLAGS.trials)
    context, rows = harness.describe_machine(), []
    for name in TOYS:
        own = []
        for seed in range(seeds):
            own += compare(name, seed, trials)
            print(f"{name}: {seed + 1} of {seeds}", flush=True)
        harness.print_table(own, [c for c in own[-1] if c not in ("toy", "seconds")])
        for form in FORMS:
            found = [row for row in own if row["search"] == form]
            wins, fits = (
                sum(row[key] for row in found) for key in ("beats_random", "within_limit")
            )
            print(f"  {form}: better than random on {wins} of {seeds}, within the limit on {fits}")
        rows += own
    harness.write("parsec_toy", [{"benchmark": "parsec_toy", **row, **context} for row in rows])


if __name__ == "__main__":
    app.run(main)
