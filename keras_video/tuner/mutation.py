"""One change to a network: a block more or less, another kind of layer, another number."""

from keras_video.tuner.declared import network_values


class Mutator:
    """Changes networks at one site (Piergiovanni et al. 2019, section 3.1).

    The paper changes either something global (image size, frames, number of blocks) or something
    within a random block, and gives no probabilities. Here the operator is drawn first, each with
    the same probability, and then its target. Otherwise the many numbers inside of blocks would
    leave little chance to the rest. The operators are

    - `grow`: a new random copy at a random place of a slot group (a block among the blocks);
    - `shrink`: takes one copy away; the others keep what they are in both;
    - `global`: another value outside of the slots;
    - `kind`: in a slot, another value of a hyperparameter that others depend on; what comes with
      the new value is drawn, what belonged to the old one goes;
    - `local`: another value of another hyperparameter in a random slot.

    Args:
        space: `DeclaredSpace`.
        slots: sequence of groups with `count`, `prefix` and `start`, see
            `keras_video.tuner.spaces.Slots`.

    Raises:
        ValueError: if a count is no hyperparameter of the space.
    """

    def __init__(self, space, slots=()):
        self.space = space
        self.slots = tuple(slots)
        self.counts = {}
        for group in self.slots:
            found = [p for p in space.parameters if p.name == group.count]
            if not found:
                # A fixed number of copies is not declared: there is nothing to grow.
                continue
            self.counts[group.count] = found[0]

    def mutate(self, values, rng):
        """Changes a copy of a network.

        Args:
            values: dict of whole values; keys of the tuner are left out of the child.
            rng: `random.Random`.

        Returns:
            The pair of the child's values and a string that says what was changed; or `None` if
            the space leaves nothing to change.
        """
        parent = network_values(values)
        targets = {name: found for name, found in self.targets(parent).items() if found}
        if not targets:
            return None
        operator = rng.choice(sorted(targets))
        target = rng.choice(targets[operator])
        if operator == "local":
            target = rng.choice(target)
        if operator in ("grow", "shrink"):
            return getattr(self, f"_{operator}")(parent, target, rng)
        return self._change(parent, target, rng)

    def targets(self, values):
        """What each operator could be applied to: `{operator: list}`."""
        targets = {"grow": [], "shrink": [], "kind": [], "global": [], "local": []}
        for group in self.slots:
            if group.count in self.counts:
                count = values[group.count]
                legal = self.counts[group.count].legal
                targets["grow"] += [group] if legal(count + 1) else []
                targets["shrink"] += [group] if legal(count - 1) else []
        within = {}
        for name, parameter in self.space.active(values).items():
            if name in self.counts or not _has_choice(parameter):
                continue
            slot = self._slot(name)
            if slot is None:
                targets["global"].append(name)
            elif name in self.space.parents:
                targets["kind"].append(name)
            else:
                within.setdefault(slot, []).append(name)
        targets["local"] = list(within.values())
        return targets

    def _slot(self, name):
        """`"block_2"` for the hyperparameters of that slot, None outside of all."""
        head, _, rest = name.partition("/")
        for group in self.slots:
            if rest and head.startswith(group.prefix) and head[len(group.prefix) :].isdigit():
                return head
        return None

    def _change(self, values, name, rng):
        parameter = self.space.active(values)[name]
        new = parameter.draw(rng)
        while new == values[name]:
            new = parameter.draw(rng)
        child = self.space.complete({**values, name: new}, rng)
        return child, f"{name}: {_text(values[name])} -> {_text(new)}"

    def _grow(self, values, group, rng):
        count = values[group.count]
        place = group.start + rng.randrange(count + 1)
        child = _renamed(values, group, lambda i: i + (i >= place))
        child[group.count] = count + 1
        return self.space.complete(child, rng), f"+{group.prefix}{place}"

    def _shrink(self, values, group, rng):
        count = values[group.count]
        place = group.start + rng.randrange(count)
        child = _renamed(values, group, lambda i: None if i == place else i - (i > place))
        child[group.count] = count - 1
        return self.space.complete(child, rng), f"-{group.prefix}{place}"


def _has_choice(parameter):
    if parameter.options is not None:
        return len(parameter.options) > 1
    return parameter.hp.min_value < parameter.hp.max_value


def _renamed(values, group, place_of):
    """Values with the slots of a group at other places; those whose place is None are left out."""
    result = {}
    for name, value in values.items():
        head, separator, rest = name.partition("/")
        index = head[len(group.prefix) :]
        if separator and head.startswith(group.prefix) and index.isdigit():
            place = place_of(int(index))
            if place is None:
                continue
            name = f"{group.prefix}{place}/{rest}"
        result[name] = value
    return result


def _text(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
