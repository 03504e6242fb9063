"""How workers and their chief talk: JSON over gRPC, one method, all calls repeatable.

KerasTuner's own messages carry metrics in single precision, drop the reasons of failures, and send
and print the whole space each time.
"""

import json
from concurrent import futures

import grpc

from keras_video.tuner import records

SERVICE = "keras_video.tuner.Oracle"
METHODS = (
    "create_trial", "end_trial", "get_best_trials", "get_trial", "heartbeat", "remaining_trials",
    "update_trial",
)  # fmt: skip


def encode(content):
    """Bytes of plain values."""
    return json.dumps(content).encode()


def decode(message):
    """Plain values of bytes."""
    return json.loads(message.decode())


def caller(channel):
    """The function that sends bytes over a channel and returns the answer's bytes."""
    return channel.unary_unary(f"/{SERVICE}/Call")


def listen(answer, address):
    """Starts a server.

    Args:
        answer: function of the bytes of a question; returns the bytes of the answer.
        address: string, `"ip:port"`.

    Returns:
        The `grpc.Server`.

    Raises:
        RuntimeError: if the address cannot be listened to, for example because another chief does.
    """
    handler = grpc.unary_unary_rpc_method_handler(lambda message, context: answer(message))
    # Two chiefs at one port would share the workers without knowing of each other. There are more
    # threads than workers, so that none is missed while others wait for a network to be drawn.
    options = [("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=128), options=options)
    generic = grpc.method_handlers_generic_handler(SERVICE, {"Call": handler})
    server.add_generic_rpc_handlers((generic,))
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise RuntimeError(
            f"chief: expected {address} to be free, cannot listen to it; is another chief running "
            f"there? ({error})"
        ) from None
    server.start()
    return server


def pack(result):
    """A result of the oracle as plain values: trials are told by a key of their own."""
    if hasattr(result, "trial_id"):
        return {"trial": records.to_dict(result)}
    if isinstance(result, list):
        return [pack(item) for item in result]
    return result


def unpack(content, blank):
    """The inverse of `pack`.

    Args:
        content: plain values.
        blank: function that returns new `SearchHyperParameters` of the space.
    """
    if isinstance(content, dict) and set(content) == {"trial"}:
        return records.from_dict(content["trial"], blank())
    if isinstance(content, list):
        return [unpack(item, blank) for item in content]
    return content
