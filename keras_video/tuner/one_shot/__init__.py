"""One-shot search: a policy and a super-network with shared weights are trained together.

Importing this package registers the super-networks of the library's spaces with `super_network`.
"""

from keras_video.tuner.one_shot import movinet, two_stream  # noqa: F401
