"""The layer calls of a Functional model: which layer makes a tensor, and which layers use it.

Keras has no public way to read them. `_nodes_by_depth` is the only private attribute of Keras that
the mobile package reads, and it is read here only.
"""

from collections import Counter


class Graph:
    """The layer calls of a Functional model.

    Args:
        model: Functional model.

    Attributes:
        nodes: list of Keras nodes in the order of computation. Their `operation` (the layer),
            `arguments`, `input_tensors`, `outputs` and `is_input` are used.
        uses: `{id of a tensor: number of uses}`, by layers and as outputs of the model.
    """

    def __init__(self, model):
        by_depth = model._nodes_by_depth
        self.nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
        self._users, self._outputs = {}, {}
        for node in self.nodes:
            self._outputs.setdefault(id(node.operation), []).extend(node.outputs)
            for tensor in node.input_tensors:
                self._users.setdefault(id(tensor), []).append(node.operation)
        self.uses = Counter({tensor: len(users) for tensor, users in self._users.items()})
        self.uses.update(id(tensor) for tensor in model.outputs)

    def users(self, tensor):
        """Return a list of the layers that take a tensor."""
        return self._users.get(id(tensor), [])

    def next_layers(self, layer):
        """Return a list of the layers that take an output of a layer."""
        return [user for t in self._outputs.get(id(layer), []) for user in self.users(t)]
