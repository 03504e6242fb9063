"""`Measuring`: the measured tier of the constraints, in the worker, before anything is trained."""

import contextlib
import math
import time

from keras_video.tuner.constraints import MeasurementError

PAUSES = (5.0, 15.0, 45.0)  # seconds before a machine that was too busy is tried again


class Measuring:
    """Builds and measures the network of a trial, and keeps it for the training.

    Args:
        constraints: tuple of measured constraints.

    Attributes:
        numbers: dict, what was measured of the network, by name of the constraint.
    """

    def __init__(self, constraints):
        self.constraints = constraints
        self.forget()

    def forget(self):
        """Lets go of the network."""
        self.numbers, self._model = {}, None

    def reject(self, trial, hypermodel):
        """Measures a trial's network.

        Args:
            trial: `Trial`.
            hypermodel: what builds it.

        Returns:
            `None`, or if a limit is exceeded the values `"tuner/rejected"`, name of the constraint,
            and `"tuner/measured"`: the number, infinite if the network cannot be measured.

        Raises:
            MeasurementError: if the machine is too busy to tell.
        """
        self.forget()
        if not self.constraints:
            return None
        import keras

        keras.backend.clear_session()
        self._model = hypermodel.build(trial.hyperparameters)
        for constraint in self.constraints:
            number = self._measure(constraint)
            if not number <= constraint.limit:
                self.forget()
                return {"tuner/rejected": constraint.name, "tuner/measured": number}
            self.numbers[constraint.name] = number
        return None

    def _measure(self, constraint):
        for pause in (*PAUSES, None):
            try:
                return float(constraint.measure(self._model))
            except MeasurementError as error:
                if not error.transient:
                    return math.inf
                if pause is None:
                    raise
                time.sleep(pause)

    def take(self):
        """The network that was measured, once; or `None`."""
        model, self._model = self._model, None
        return model

    @contextlib.contextmanager
    def giving_way(self):
        """Callbacks for the training, which pauses while others on this machine measure."""
        if not self.constraints:
            yield []
            return
        from keras_video.tuner.give_way import GiveWay

        give_way = GiveWay()
        try:
            yield [give_way]
        finally:
            give_way.release()
