"""What one sees of a one-shot search: a line per chunk, then one per candidate."""

from keras_tuner.engine.trial import TrialStatus

from keras_video.tuner.progress import Progress


class OneShotProgress(Progress):
    """Prints how quality, cost and entropy of a policy come along."""

    def origin(self, trial):
        values = trial.hyperparameters.values
        if values.get("tuner/kind") == "chunk":
            return self._place(values)
        return f"candidate, {values.get('tuner/origin')}"

    def on_trial_end(self, trial):
        values = trial.hyperparameters.values
        if trial.status != TrialStatus.COMPLETED or values.get("tuner/kind") != "chunk":
            super().on_trial_end(trial)
            return
        self._ended += 1
        metrics = {n: trial.metrics.get_best_value(n) for n in trial.metrics.metrics}
        parts = [self._place(values)]
        for name, text in [("reward", "reward"), ("val_accuracy", "accuracy")]:
            parts.append(f"{text} {metrics[name]:.4f}")
        if "cost_ratio" in metrics:
            parts.append(f"cost {metrics['cost_ratio']:.3f} of the target")
            parts.append(f"(drawn {metrics['mean_cost_ratio']:.3f})")
        parts.append(f"entropy {metrics['policy_entropy']:.2f} nats")
        parts.append(f"loss {metrics['loss']:.3f}")
        self._line("  ".join([*parts, self.summary()]))

    def _place(self, values):
        plan = self.oracle.plan
        chunk = plan.chunk(values["tuner/chunk"])
        stage = f"{chunk.stage.name} " if len(plan.stages) > 1 else ""
        return f"chunk {stage}{chunk.place + 1}/{chunk.stage.epochs}"
