"""Reads the weights in a PyTorch file without executing anything that is in it."""

WRAPPERS = ("state_dict", "model_state")


def read_state_dict(path):
    """All weights of a state dict file by their names, as NumPy arrays.

    The file may hold the state dict itself, or a dict with it below one of `WRAPPERS`. It is read
    with `weights_only=True`. Counters of batches are left out, and the prefix `module.` of names.

    Raises:
        ImportError: without torch.
        ValueError: if the file is damaged or holds something else.
    """
    try:
        import torch
    except ImportError:
        raise ImportError(f"weights: reading the PyTorch file {path} needs torch.") from None

    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"weights: {path} is no readable PyTorch file: {reason}") from None
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
            break
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise ValueError(f"weights: expected {path} to hold a dict of names to tensors.")
    return {
        name.removeprefix("module."): tensor.detach().float().numpy()
        for name, tensor in state.items()
        if not name.endswith(".num_batches_tracked")
    }
