"""The graph of Python objects stored in TensorFlow 2 checkpoints."""

from collections import deque
from functools import lru_cache

from keras_video.converters.protobuf import read_fields, text

MAX_NODES = 500_000
MAX_PATH = 4096
VARIABLE = "VARIABLE_VALUE"


class ObjectGraph:
    """Objects with named children, some of them variables. Node 0 is the root.

    Several names can lead to one object, and children can point back at their parents.

    Args:
        data: bytes of a `TrackableObjectGraph` message.
        keys: the checkpoint keys that exist; variables with other keys are left out.
    """

    def __init__(self, data, keys):
        self.nodes = [node for number, node in read_fields(data) if number == 1]
        if not self.nodes or len(self.nodes) > MAX_NODES:
            raise ValueError(f"expected 1 to {MAX_NODES} objects, got {len(self.nodes)}")
        self.keys = keys
        self.children = lru_cache(4096)(self._children)
        for node in range(len(self.nodes)):  # whatever is damaged shows here
            self._children(node), self.variable(node)

    def _children(self, node):
        """`{name: node}` of the objects that hang on a node."""
        result = {}
        for number, child in read_fields(self.nodes[node]):
            if number == 1:
                fields = dict(read_fields(child))
                target = fields.get(1, 0)
                if not isinstance(target, int) or target >= len(self.nodes):
                    raise ValueError(f"object {node} has a child {target!r} that does not exist")
                result[text(fields.get(2, memoryview(b"")))] = target
        return result

    def variable(self, node):
        """`(checkpoint key, variable name)` of a node, or `(None, None)`."""
        for number, attribute in read_fields(self.nodes[node]):
            if number == 2:
                fields = dict(read_fields(attribute))
                name, full_name, key = (text(fields.get(i, memoryview(b""))) for i in (1, 2, 3))
                if name == VARIABLE and key in self.keys:
                    return key, full_name
        return None, None

    def node(self, *path, root=0):
        """The node at the end of a path of child names, or `None`."""
        for name in path:
            root = self.children(root).get(name)
            if root is None:
                return None
        return root

    def find(self, *path, root=0):
        """Checkpoint key of the variable at the end of a path of child names, or `None`."""
        node = self.node(*path, root=root)
        return None if node is None else self.variable(node)[0]

    def walk(self, root=0):
        """Yields `(path, node)` of everything below `root`, nearest first, each node once."""
        queue, seen = deque([("", root)]), {root}
        while queue:
            path, node = queue.popleft()
            if len(path) > MAX_PATH:
                raise ValueError(
                    f"weights: a path of child names has more than {MAX_PATH} characters."
                )
            yield path, node
            for name, child in self.children(node).items():
                if child not in seen:
                    seen.add(child)
                    queue.append((f"{path}/{name}" if path else name, child))

    def variables(self, root=0):
        """`{path of child names: checkpoint key}` below `root`, one path per variable."""
        found = {path: self.variable(node)[0] for path, node in self.walk(root)}
        return {path: key for path, key in found.items() if key is not None}

    def names(self):
        """`{variable name: checkpoint key}`, the names that TensorFlow gave the variables."""
        found = (self.variable(node) for node in range(len(self.nodes)))
        return {name: key for key, name in found if key is not None}
