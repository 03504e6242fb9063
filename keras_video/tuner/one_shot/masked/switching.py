"""`one_of`: the branch that is selected, or the sum of all where a warm-up mixes them."""

import keras
from keras import ops

MODES = ("switch", "sum")


def check_mode(mode):
    """Raises `ValueError` for a mode that `one_of` does not know."""
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {MODES}, got {mode!r}.")


def one_of(branches, shares, operands, mode="switch"):
    """The sum of branches, of which most often only one is not zero.

    Args:
        branches: list of functions of `(x, own)`. Each is zero where its own operand is.
        shares: list of float32 scalar tensors that sum to one: how far each is selected.
        operands: the pair of `x` and a list with each branch's own operand.
        mode: `"sum"` computes all branches; `"switch"` the selected one alone, or all where
            several are selected, which is faster (`benchmarks/super_network.py`).

    Returns:
        A tensor.
    """
    check_mode(mode)
    x, owns = operands
    if len(branches) == 1:
        return branches[0](x, owns[0])

    def everything(x, *owns):
        return sum(branch(x, own) for branch, own in zip(branches, owns, strict=True))

    if mode == "sum":
        return everything(x, *owns)
    if keras.backend.backend() == "torch":
        # What a branch does not use would have no gradient at all, which optimizers warn of.
        nothing = 0.0 * sum(ops.sum(own) for own in owns)
        owns = [own + nothing for own in owns]
    shares = ops.stack(shares)
    single = ops.max(shares) > 0.9999
    index = ops.where(single, ops.argmax(shares), len(branches))
    # A branch is handed all operands: its own is one of them.
    alone = [
        lambda x, *owns, i=i, branch=branch: branch(x, owns[i]) for i, branch in enumerate(branches)
    ]
    return switch(ops.cast(index, "int32"), [*alone, everything], x, *owns)


def switch(index, branches, *operands):
    """`keras.ops.switch` of branches that are linear in each operand.

    JAX's own gradient of a branch hands what all branches keep from the forward pass to the
    backward pass. Linear branches need their operands alone.
    """
    if keras.backend.backend() != "jax":
        return ops.switch(index, branches, *operands)
    import jax

    def pull(branch):
        return lambda gradient, *operands: jax.vjp(branch, *operands)[1](gradient)

    @jax.custom_vjp
    def chosen(index, *operands):
        return jax.lax.switch(index, branches, *operands)

    def backward(kept, gradient):
        index, *operands = kept
        pulls = [pull(branch) for branch in branches]
        return (None, *jax.lax.switch(index, pulls, gradient, *operands))

    chosen.defvjp(lambda *args: (chosen(*args), args), backward)
    return chosen(index, *operands)
