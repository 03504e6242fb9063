"""X3D in plain PyTorch, without tuning: the reference of `x3d.py`.

`nn.Conv3d` (with `groups` for depthwise convolutions), `nn.BatchNorm3d`, `nn.SiLU` on contiguous
`(batch, channels, frames, height, width)`. It is written from the paper and the published names of
the weights, not from our plan, and is therefore an independent check: its state dict has the form
of the published files, and our models load it in the same way.
"""

import math

import torch
from torch import nn

TO_TORCH = {1: (0,), 2: (1, 0), 5: (4, 3, 0, 1, 2)}  # axes of our kernels in torch's order


def multiple_of_8(value):
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def conv(inputs, outputs, kernel=(1, 1, 1), stride=1, groups=1, bias=False):
    padding = tuple(k // 2 for k in kernel)
    return nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), padding, 1, groups, bias)


class SqueezeExcite(nn.Module):
    """Gates from the mean over the clip."""

    def __init__(self, channels):
        super().__init__()
        hidden = multiple_of_8(channels / 16)
        reduce, expand = conv(channels, hidden, bias=True), conv(hidden, channels, bias=True)
        self.block = nn.Sequential(reduce, nn.ReLU(), expand, nn.Sigmoid())

    def forward(self, x):
        return x * self.block(x.mean(dim=(2, 3, 4), keepdim=True))


class Branch(nn.Module):
    """Expand, convolve each channel, attend, project."""

    def __init__(self, inputs, inner, outputs, stride, attends):
        super().__init__()
        self.conv_a, self.norm_a = conv(inputs, inner), nn.BatchNorm3d(inner)
        self.conv_b = conv(inner, inner, (3, 3, 3), stride, inner)
        attention = SqueezeExcite(inner) if attends else nn.Identity()
        self.norm_b = nn.Sequential(nn.BatchNorm3d(inner), attention)
        self.conv_c, self.norm_c = conv(inner, outputs), nn.BatchNorm3d(outputs)
        self.relu, self.swish = nn.ReLU(), nn.SiLU()

    def forward(self, x):
        x = self.relu(self.norm_a(self.conv_a(x)))
        x = self.swish(self.norm_b(self.conv_b(x)))
        return self.norm_c(self.conv_c(x))


class Block(nn.Module):
    """The branch added to its input, or to a convolution of it."""

    def __init__(self, inputs, outputs, stride, attends):
        super().__init__()
        changes = inputs != outputs
        self.branch1_conv = self.branch1_norm = nn.Identity()
        if changes or stride > 1:
            self.branch1_conv = conv(inputs, outputs, stride=stride)
        if changes:
            self.branch1_norm = nn.BatchNorm3d(outputs)
        self.branch2 = Branch(inputs, int(2.25 * outputs), outputs, stride, attends)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.branch1_norm(self.branch1_conv(x)) + self.branch2(x))


class Stage(nn.Module):
    def __init__(self, inputs, outputs, depth):
        super().__init__()
        self.res_blocks = nn.Sequential(
            *(
                Block(outputs if i else inputs, outputs, 1 if i else 2, i % 2 == 0)
                for i in range(depth)
            )
        )

    def forward(self, x):
        return self.res_blocks(x)


class StemConvolutions(nn.Module):
    """Space, then time; the published names say the opposite."""

    def __init__(self, width):
        super().__init__()
        self.conv_t = conv(3, width, (1, 3, 3), 2)
        self.conv_xy = conv(width, width, (5, 1, 1), groups=width)

    def forward(self, x):
        return self.conv_xy(self.conv_t(x))


class Stem(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.norm, self.relu = StemConvolutions(width), nn.BatchNorm3d(width), nn.ReLU()

    def forward(self, x):
        return self.relu(self.norm(self.conv(x)))


class Pool(nn.Module):
    """A convolution, the mean over the clip, a wide layer."""

    def __init__(self, inputs, inner):
        super().__init__()
        self.pre_conv, self.pre_norm = conv(inputs, inner), nn.BatchNorm3d(inner)
        self.post_conv, self.relu = conv(inner, 2048), nn.ReLU()

    def forward(self, x):
        x = self.relu(self.pre_norm(self.pre_conv(x)))
        return self.relu(self.post_conv(x.mean(dim=(2, 3, 4), keepdim=True)))


class Head(nn.Module):
    def __init__(self, inputs, inner, classes):
        super().__init__()
        self.pool, self.dropout = Pool(inputs, inner), nn.Dropout(0.5)
        self.proj = nn.Linear(2048, classes)

    def forward(self, x):
        return self.proj(self.dropout(self.pool(x).flatten(1)))


class PlainX3D(nn.Module):
    """An X3D.

    Args:
        width, depth: floats, factors of the base network's channels and blocks.
        classes: int.
    """

    def __init__(self, width=2.0, depth=2.2, classes=400):
        super().__init__()
        inputs = multiple_of_8(12 * width)
        blocks = [Stem(inputs)]
        for base, count in ((12, 1), (24, 2), (48, 5), (96, 3)):
            outputs = multiple_of_8(base * width)
            blocks.append(Stage(inputs, outputs, math.ceil(count * depth)))
            inputs = outputs
        blocks.append(Head(inputs, int(2.25 * inputs), classes))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x):
        """Logits of clips `(batch, 3, frames, height, width)`."""
        return self.blocks(x)


def randomize(model, seed=0):
    """Random weights and statistics that keep activations near one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            draws = torch.randn(value.shape, generator=generator)
            if value.ndim > 1:
                value.copy_(draws * (2.0 / value[0].numel()) ** 0.5)
            elif name.endswith(("running_var", "weight")):  # of batch norm
                value.copy_(1.0 + 0.1 * draws.abs())
            else:
                value.copy_(0.1 * draws)
    return model


def load_named(model, named, names):
    """Copies weights `{our name: array}` in the Keras layouts; all must be used.

    Args:
        names: `{our name: published name}`, `applications.x3d.checkpoints.published_names`.
    """
    targets = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    if set(targets) != set(names.values()) or set(named) != set(names):
        raise ValueError("weights: expected one array for each weight of the network.")
    with torch.no_grad():
        for ours, theirs in names.items():
            value = torch.from_numpy(named[ours])
            value = value.permute(TO_TORCH[value.ndim])
            targets[theirs].copy_(value.reshape(targets[theirs].shape))
    return model
