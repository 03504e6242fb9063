"""Reads the arrays of a PyTorch file, and nothing else that it may hold."""


def read_state_dict(path):
    """All arrays of a state dict file.

    The file may hold the state dict itself, or a dict with an entry `"state_dict"`, as training
    writes it. Both of PyTorch's formats are read, with `weights_only=True`: nothing is executed.

    Args:
        path: string.

    Returns:
        dict of names, as they stand in the file, to float32 NumPy arrays.

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
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise ValueError(f"weights: expected {path} to hold a dict of names to tensors.")
    return {str(name): tensor.detach().float().numpy() for name, tensor in state.items()}
