"""The arrays of a PyTorch file, read without executing code in it."""

WRAPPERS = ("state_dict", "model_state")


def read_state_dict(path):
    """Read all arrays of a state dict file.

    The file contains a state dict, or, like training checkpoints, a dict with a state dict under a
    key in `WRAPPERS`. Both formats of PyTorch are read with `weights_only=True`, so no code is
    executed.

    Args:
        path: string.

    Returns:
        Dict of names to float32 NumPy arrays. The prefix `module.` of names and the counters
        `num_batches_tracked` are removed.

    Raises:
        ImportError: if torch is not installed.
        ValueError: if the file cannot be read, is not safe, or is not a state dict.
    """
    try:
        import torch
    except ImportError:
        raise ImportError(
            f"weights: expected torch to be installed, to read the PyTorch file {path}."
        ) from None

    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "weights only load failed" in reason.lower():
            raise ValueError(
                f"weights: expected a PyTorch file of arrays and plain values, got {path}, which "
                "is damaged or could execute code."
            ) from None
        raise ValueError(f"weights: expected a PyTorch file, got {path}: {reason}") from None
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
            break
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise ValueError(f"weights: expected a dict of names to tensors, got {path}.")
    return {
        str(name).removeprefix("module."): tensor.detach().float().numpy()
        for name, tensor in state.items()
        if not str(name).endswith(".num_batches_tracked")
    }
