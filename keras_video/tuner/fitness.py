"""How a network of a search is trained unless one says otherwise, and what its fitness is."""

import keras


class Fitness(keras.callbacks.Callback):
    """Adds `fitness = val_top1 + val_top5` to each epoch's logs (Piergiovanni et al. 2019)."""

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None and "val_top1" in logs and "val_top5" in logs:
            logs["fitness"] = logs["val_top1"] + logs["val_top5"]


def compile_classifier(model, labels=None):
    """Compiles a network that ends in logits: AdamW, cross entropy, top-1 and top-5 accuracy.

    Args:
        model: `keras.Model` with outputs `(batch, classes)`.
        labels: array of some labels, ints `(batch,)` or one-hot floats `(batch, classes)`; `None`
            stands for ints.

    Raises:
        ValueError: for labels of several classes each.
    """
    top = min(5, model.output_shape[-1])
    if labels is not None and labels.ndim == 2 and labels.shape[1] > 1:
        from keras_video.training.losses import is_multi_label

        if is_multi_label(labels):
            raise ValueError(
                "compile: expected a function that compiles for videos of several classes each, "
                "with metrics named top1 and top5 or another objective; got None."
            )
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        first = keras.metrics.CategoricalAccuracy(name="top1")
        more = keras.metrics.TopKCategoricalAccuracy(top, name="top5")
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        first = keras.metrics.SparseCategoricalAccuracy(name="top1")
        more = keras.metrics.SparseTopKCategoricalAccuracy(top, name="top5")
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=1e-4, global_clipnorm=1.0)
    model.compile(optimizer, loss, metrics=[first, more])


def some_labels(x=None, y=None, **_):
    """Labels from the arguments of `fit`, or `None` where they cannot be looked at."""
    import numpy as np

    if y is None and isinstance(x, keras.utils.PyDataset):
        batch = x[0]
        y = batch[1] if isinstance(batch, tuple) and len(batch) > 1 else None
    if y is None and hasattr(x, "element_spec"):  # tf.data: nothing but the shape is known
        spec = x.element_spec[1] if isinstance(x.element_spec, tuple) else None
        if spec is not None and spec.shape.rank == 2 and spec.shape[1] and spec.shape[1] > 1:
            return np.eye(spec.shape[1], dtype="float32")
    return None if y is None else np.asarray(y[:32])
