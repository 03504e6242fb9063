"""Costs of selections and of values, and the extremes of a space."""

import itertools

import numpy as np
import pytest
from keras import ops

from keras_video.tuner import Choice, ChoiceSpace, CostTable
from keras_video.tuner.spaces.choices import active_values, one_hot
from keras_video.tuner.spaces.costs import Cost
from tests.helpers import to_numpy
from tests.tuner.one_shot import toy


class Chained(ChoiceSpace):
    """Layers whose cost is the product of two widths, or 0 without a kernel."""

    def __init__(self, layers=4, seed=0):
        super().__init__(name="chained")
        rng = np.random.default_rng(seed)
        widths = [Choice(f"w{i}", (8, 16, 24), "filters") for i in range(layers)]
        kernels = [Choice(f"k{i}", ("none", "a", "b")) for i in range(1, layers)]
        self.choices = (*widths, *kernels)
        self.terms = []
        for i in range(1, layers):
            base = np.multiply.outer([8, 16, 24], [8, 16, 24])
            array = np.multiply.outer(base, [0, *rng.integers(1, 9, 2)])
            self.terms.append(((f"w{i - 1}", f"w{i}", f"k{i}"), array))

    def cost_table(self, name):
        return CostTable(self.choices, self.terms, constant=100)


def all_costs(space, cost):
    picks = itertools.product(*(range(len(c.values)) for c in space.choices))
    return [cost.of(active_values(space.choices, p)) for p in picks]


@pytest.mark.parametrize("seed", range(3))
def test_extremes_are_those_of_all_networks(seed):
    space = Chained(seed=seed)
    cost = Cost(space, "macs")
    costs = all_costs(space, cost)
    assert cost.extremes() == (min(costs), max(costs))
    held = {"w0": 24, "k2": "b"}
    low, high = cost.extremes(held)
    assert min(costs) < low < high <= max(costs)
    some = [
        cost.of(values)
        for p in itertools.product(*(range(len(c.values)) for c in space.choices))
        if (values := active_values(space.choices, p)).items() >= held.items()
    ]
    assert (low, high) == (min(some), max(some))


def test_a_function_of_the_selection_is_a_cost():
    space = toy.ToySpace()

    def widths(selection):
        """Sum of all widths, of closed sites as well."""
        return sum(ops.sum(v * np.array([1.0, 2.0], "float32"))
                   for n, v in selection.items() if n.endswith("width"))  # fmt: skip

    cost = Cost(space, widths)
    assert cost.name == "widths"
    assert cost.of(toy.BEST) == 6
    low, high = cost.extremes()
    assert low == 5 and high == 10
    selection = {n: ops.convert_to_tensor(v) for n, v in one_hot(space.choices, toy.BEST).items()}
    assert float(to_numpy(cost(selection))) == 6
    table = Cost(space, "macs")
    assert float(to_numpy(table(selection))) == table.of(toy.BEST) == toy.TARGET
    with pytest.raises(ValueError, match="cost: .*got 3"):
        Cost(space, 3)
