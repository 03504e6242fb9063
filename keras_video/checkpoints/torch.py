"""Reads the arrays of a PyTorch file, and nothing else that it may hold."""

WRAPPERS = ("state_dict", "model_state")


def read_state_dict(path):
    """All arrays of a state dict file.

    The file may hold the state dict itself, or a dict with it below one of `WRAPPERS`, as training
    writes it. Both of PyTorch's formats are read, with `weights_only=True`: nothing is executed.

    Args:
        path: string.

    Returns:
        dict of names to float32 NumPy arrays, without counters of batches, and without the prefix
        `module.` of names.

    Raises:
        ImportError: without torch.
        ValueError: if the file cannot be read, is refused, or holds something else.
    """
    try:
        import torch
    except ImportError:
        raise ImportError(f"weights: reading the PyTorch file {path} needs torch.") from None

    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "weights only load failed" in reason.lower():
            raise ValueError(
                f"weights: {path} is no readable PyTorch file: it is refused, because it is "
                "damaged, or holds more than arrays and plain values and might run code."
            ) from None
        raise ValueError(f"weights: {path} is no readable PyTorch file: {reason}") from None
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
            break
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise ValueError(f"weights: expected {path} to hold a dict of names to tensors.")
    return {
        str(name).removeprefix("module."): tensor.detach().float().numpy()
        for name, tensor in state.items()
        if not str(name).endswith(".num_batches_tracked")
    }
