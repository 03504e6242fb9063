"""The layer calls of a Functional model: which layer makes a tensor, and which layers use it.

Keras has no public way to read them; see `graph_nodes`.
"""

from collections import Counter

from keras_video.models.video_classifier import graph_nodes


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
        self.nodes = graph_nodes(model)
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
