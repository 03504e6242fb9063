"""Runs a Functional graph without keeping what nobody needs any more."""

from keras import tree


def run_graph(model, inputs, operation_fn):
    """Computes a Functional model eagerly; every value is dropped after its last use.

    Keras keeps all values until the end, which on a backend that computes at once (torch) is the
    sum of all feature maps instead of the few that are alive together.

    Args:
        model: Functional model.
        inputs: list of tensors, one for each of `model.inputs`.
        operation_fn: function of an operation, such as a layer, to what is called.

    Returns:
        The outputs, in the structure of the model.
    """
    nodes = [
        node
        for depth in sorted(model._nodes_by_depth, reverse=True)
        for node in model._nodes_by_depth[depth]
        if not node.is_input
    ]
    last_use = {id(x): node for node in nodes for x in node.input_tensors}
    wanted = {id(x) for x in model.outputs}
    values = dict(zip(map(id, model.inputs), inputs, strict=True))
    for node in nodes:
        args, kwargs = node.arguments.fill_in(values)
        outputs = operation_fn(node.operation)(*args, **kwargs)
        values.update(zip(map(id, node.outputs), tree.flatten(outputs), strict=True))
        args = kwargs = outputs = None
        for key in {id(x) for x in (*node.input_tensors, *node.outputs)}:
            if key not in wanted and last_use.get(key, node) is node:
                values.pop(key, None)
    return tree.pack_sequence_as(model._outputs_struct, [values[id(x)] for x in model.outputs])
