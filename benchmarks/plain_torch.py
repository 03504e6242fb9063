"""MoViNet base in plain PyTorch, without tuning: the reference of the benchmarks.

`nn.Conv3d` (with `groups` for depthwise convolutions), `nn.BatchNorm3d` and `nn.SiLU` on contiguous
`(batch, channels, frames, height, width)`. It reads the same plan as the Keras model and loads the
same named weights, so that the results of both can be compared.
"""

import torch
from torch import nn
from torch.nn import functional as F


class ConvUnit(nn.Module):
    """Convolution, batch norm, activation; TensorFlow's `same` padding in space."""

    def __init__(self, row, activation=True):
        super().__init__()
        self.name = row.name
        self.kernel, self.strides = row.kernel, row.strides
        self.strided = max(row.strides) > 1  # `same` is then one-sided at even sizes
        self.conv = nn.Conv3d(
            row.in_channels,
            row.filters,
            row.kernel,
            row.strides,
            padding=0 if self.strided else tuple(k // 2 for k in row.kernel),
            groups=row.groups,
            bias=False,
        )
        self.norm = nn.BatchNorm3d(row.filters, eps=1e-3, momentum=0.01)
        self.activation = nn.SiLU() if activation else nn.Identity()

    def forward(self, x):
        if self.strided:
            x = pad_same(x, self.kernel, self.strides)
        return self.activation(self.norm(self.conv(x)))


def pad_same(x, kernel, strides):
    """Pads with zeros so that a convolution gives `ceil(size / stride)`, more at the end."""
    pads = []
    for size, k, stride in zip(x.shape[2:], kernel, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + k - size, 0)
        pads = [total // 2, total - total // 2, *pads]  # F.pad wants the last axis first
    return F.pad(x, pads) if any(pads) else x


class SkipPool(nn.Module):
    """Spatial 3x3 mean over the pixels that exist, at TensorFlow's `same` positions."""

    def __init__(self, row):
        super().__init__()
        self.kernel, self.strides = row.kernel, row.strides

    def forward(self, x):
        # An even size is padded at its end only: `ceil_mode` makes the half window there.
        pads = [
            (k - 1) // 2 if stride == 1 or size % 2 else 0
            for size, k, stride in zip(x.shape[2:], self.kernel, self.strides, strict=True)
        ]
        return F.avg_pool3d(x, self.kernel, self.strides, pads, True, False)


class SqueezeExcite(nn.Module):
    """Gates from the mean over the clip."""

    def __init__(self, row):
        super().__init__()
        self.name = row.name
        self.reduce = nn.Linear(row.in_channels, row.hidden)
        self.expand = nn.Linear(row.hidden, row.channels)

    def forward(self, x):
        gates = self.expand(F.silu(self.reduce(x.mean(dim=(2, 3, 4)))))
        return x * torch.sigmoid(gates)[:, :, None, None, None]


class Block(nn.Module):
    """Expand, convolve each channel, attend, project, scale, add."""

    def __init__(self, block):
        super().__init__()
        self.name = block.rezero.name
        self.expansion = ConvUnit(block.expansion)
        self.feature = ConvUnit(block.feature)
        self.squeeze_excite = SqueezeExcite(block.squeeze_excite)
        self.projection = ConvUnit(block.projection, activation=False)
        self.scale = nn.Parameter(torch.zeros(()))
        self.skip_pool = SkipPool(block.skip_pool) if block.skip_pool else nn.Identity()
        self.skip = ConvUnit(block.skip, activation=False) if block.skip else nn.Identity()

    def forward(self, x):
        skip = self.skip(self.skip_pool(x))
        x = self.squeeze_excite(self.feature(self.expansion(x)))
        return skip + self.scale * self.projection(x)


class Classifier(nn.Module):
    """Two dense layers on the mean over space and time."""

    def __init__(self, plan):
        super().__init__()
        self.hidden_name, self.name = plan.hidden.name, plan.classifier.name
        self.hidden = nn.Linear(plan.hidden.in_channels, plan.hidden.filters)
        self.classifier = nn.Linear(plan.classifier.in_channels, plan.classifier.filters)

    def forward(self, x):
        return self.classifier(F.silu(self.hidden(x.mean(dim=(2, 3, 4)))))


class PlainMoViNet(nn.Module):
    """A MoViNet base network.

    Args:
        config: `keras_video.applications.movinet.MoViNetConfig` of a base variant.
        classes: int.
    """

    def __init__(self, config, classes=600):
        super().__init__()
        variant = config.variant
        published = (variant.causal, variant.factorized, variant.squeeze, variant.activation)
        if published != (False, False, "3d", "swish"):
            raise ValueError(f"config: expected a base variant, got {variant}.")
        plan = config.plan(classes)
        self.stem = ConvUnit(plan.stem)
        self.blocks = nn.Sequential(*(Block(block) for block in plan.blocks))
        self.head = ConvUnit(plan.head)
        self.classifier = Classifier(plan)

    def forward(self, x):
        """Logits of clips `(batch, 3, frames, height, width)`."""
        return self.classifier(self.head(self.blocks(self.stem(x))))


TO_TORCH = {0: (), 1: (0,), 2: (1, 0), 5: (4, 3, 0, 1, 2)}  # axes of our kernels in torch's order


def load_named(model, named):
    """Copies weights `{"layer/variable": array}` in the Keras layouts; all must be used."""
    targets = {}
    for module in model.modules():
        if isinstance(module, ConvUnit):
            norm = module.norm
            targets[f"{module.name}/kernel"] = module.conv.weight
            targets[f"{module.name}/gamma"] = norm.weight
            targets[f"{module.name}/beta"] = norm.bias
            targets[f"{module.name}/moving_mean"] = norm.running_mean
            targets[f"{module.name}/moving_variance"] = norm.running_var
        elif isinstance(module, SqueezeExcite):
            for part in ("reduce", "expand"):
                targets[f"{module.name}/{part}_kernel"] = getattr(module, part).weight
                targets[f"{module.name}/{part}_bias"] = getattr(module, part).bias
        elif isinstance(module, Block):
            targets[f"{module.name}/scale"] = module.scale
        elif isinstance(module, Classifier):
            layers = {module.hidden_name: module.hidden, module.name: module.classifier}
            for name, layer in layers.items():
                targets[f"{name}/kernel"] = layer.weight
                targets[f"{name}/bias"] = layer.bias
    if set(targets) != set(named):
        raise ValueError(f"weights: these differ: {sorted(set(targets) ^ set(named))}.")
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(torch.from_numpy(named[name]).permute(TO_TORCH[named[name].ndim]))


def channels_first(clips):
    """NumPy clips `(batch, frames, height, width, 3)` as a contiguous torch tensor."""
    return torch.from_numpy(clips).permute(0, 4, 1, 2, 3).contiguous()
