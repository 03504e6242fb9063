"""bLVNet-TAM in plain PyTorch: the reference of the benchmark, and a check of our model.

Written from the paper (Fan et al. 2019) and from the names in the published state dicts, which it
uses. It is the direct form: both frames of a pair are kept, with equal features, and every temporal
aggregation runs over all of them. Our model must give the same logits.
"""

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, kernel, stride=1):
    """A convolution without bias, padded by half of its kernel."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Aggregation(nn.Module):
    """Weighted sum of neighbouring frames, then ReLU; zeros around the clip."""

    def __init__(self, channels, extent, frames):
        super().__init__()
        self.extent, self.frames = extent, frames
        if extent == 3:
            self.prev, self.curr, self.next = (scale(channels) for _ in range(3))
        else:
            self.blending_layers = nn.ModuleList(scale(channels) for _ in range(extent))

    def forward(self, x):
        weights = [self.prev, self.curr, self.next] if self.extent == 3 else self.blending_layers
        clips = x.view(-1, self.frames, *x.shape[1:])
        before = self.extent // 2
        after = self.extent - 1 - before
        padded = F.pad(clips, (0, 0) * 3 + (before, after))
        y = sum(
            padded[:, i : i + self.frames] * weight.weight.view(-1, 1, 1)
            for i, weight in enumerate(weights)
        )
        return F.relu(y).reshape(x.shape)


def scale(channels):
    """One weight for each channel, in the shape that the published files have."""
    return nn.Conv2d(channels, channels, 1, groups=channels, bias=False)


class Bottleneck(nn.Module):
    """Three convolutions and a shortcut."""

    def __init__(self, inputs, outputs, stride=1, relu=True, aggregation=None):
        super().__init__()
        middle = outputs // 4
        self.relu, self.tam = relu, aggregation
        self.conv1, self.bn1 = conv(inputs, middle, 1), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = conv(middle, middle, 3, stride), nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = conv(middle, outputs, 1), nn.BatchNorm2d(outputs)
        steps = [nn.AvgPool2d(3, stride, 1)] if stride > 1 else []
        if inputs != outputs:
            steps += [conv(inputs, outputs, 1), nn.BatchNorm2d(outputs)]
        self.downsample = nn.Sequential(*steps) if steps else None

    def forward(self, x):
        shortcut = x
        if self.tam is not None:
            x = self.tam(x)
        if self.downsample is not None:
            shortcut = self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x)) + shortcut
        return F.relu(x) if self.relu else x


class BigLittle(nn.Module):
    """A stage of two branches; both frames of a pair leave it with the same features."""

    def __init__(self, config, inputs, outputs, depth, stride):
        super().__init__()
        narrow = outputs // config.alpha
        self.tam = None
        if config.temporal == "tam":
            self.tam = Aggregation(inputs, config.blending_frames, config.num_frames)
        big = [Bottleneck(inputs, outputs, 2)]
        for i in range(1, depth - 1):
            big.append(Bottleneck(outputs, outputs, relu=i < depth - 2))
        little = [Bottleneck(inputs, narrow)]
        for _ in range(1, max(1, depth // config.beta - 1)):
            little.append(Bottleneck(narrow, narrow))
        self.big, self.little = nn.Sequential(*big), nn.Sequential(*little)
        self.little_e = nn.Sequential(conv(narrow, outputs, 1), nn.BatchNorm2d(outputs))
        self.fusion = nn.Sequential(Bottleneck(outputs, outputs, stride))

    def forward(self, x):
        if self.tam is not None:
            x = self.tam(x)
        little, big = self.little_e(self.little(x[0::2])), self.big(x[1::2])
        merged = F.relu(little + F.interpolate(big, little.shape[2:]))
        return self.fusion(merged).repeat_interleave(2, dim=0)


class Backbone(nn.Module):
    """All but the classifier."""

    def __init__(self, config):
        super().__init__()
        width, little = config.width, config.width // config.alpha
        extent, frames = config.blending_frames, config.num_frames
        self.frames, self.tam = frames, None
        if config.temporal == "tam":
            self.tam = Aggregation(width, extent, frames)
        self.conv1, self.bn1 = conv(config.input_channels, width, 7, 2), nn.BatchNorm2d(width)
        self.b_conv0, self.bn_b0 = conv(width, width, 3, 2), nn.BatchNorm2d(width)
        self.l_conv0, self.bn_l0 = conv(width, little, 3), nn.BatchNorm2d(little)
        self.l_conv1, self.bn_l1 = conv(little, little, 3, 2), nn.BatchNorm2d(little)
        self.l_conv2, self.bn_l2 = conv(little, width, 1), nn.BatchNorm2d(width)
        self.bl_init, self.bn_bl_init = conv(width, width, 1), nn.BatchNorm2d(width)
        depths = config.blocks
        self.layer1 = BigLittle(config, width, 4 * width, depths[0], 2)
        self.layer2 = BigLittle(config, 4 * width, 8 * width, depths[1], 2)
        self.layer3 = BigLittle(config, 8 * width, 16 * width, depths[2], 1)
        last = []
        for i in range(depths[3]):
            inputs = 32 * width if i else 16 * width
            tam = Aggregation(inputs, extent, frames // 2) if config.temporal == "tam" else None
            last.append(Bottleneck(inputs, 32 * width, 1 if i else 2, aggregation=tam))
        self.layer4 = nn.Sequential(*last)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if self.tam is not None:
            x = self.tam(x)
        big = self.bn_b0(self.b_conv0(x[1::2]))
        little = F.relu(self.bn_l0(self.l_conv0(x[0::2])))
        little = F.relu(self.bn_l1(self.l_conv1(little)))
        x = F.relu(self.bn_l2(self.l_conv2(little)) + big)
        x = F.relu(self.bn_bl_init(self.bl_init(x))).repeat_interleave(2, dim=0)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.layer4(x[1::2]).mean(dim=(2, 3))


class PlainBLVNetTAM(nn.Module):
    """A bLVNet-TAM.

    Args:
        config: `keras_video.applications.blvnet_tam.BLVNetTAMConfig`, `temporal` not `"shift"`.
        classes: int.
    """

    def __init__(self, config, classes=174):
        super().__init__()
        if config.temporal == "shift":
            raise ValueError("config: expected temporal 'tam' or 'none', got 'shift'.")
        self.baseline_model = Backbone(config)
        self.dropout = nn.Dropout(config.dropout)
        self.new_fc = nn.Linear(32 * config.width, classes)

    def forward(self, clips):
        """Logits of clips `(batch, frames, channels, height, width)`."""
        frames = clips.flatten(0, 1)
        features = self.dropout(self.baseline_model(frames))
        logits = self.new_fc(features)
        return logits.view(len(clips), -1, logits.shape[-1]).mean(dim=1)


def load_named(model, config, named):
    """Copies weights `{"layer/variable": array}` in our layouts; all must be used."""
    from keras_video.applications.blvnet_tam.checkpoints import published_names

    state, used = {}, set()
    for theirs, (ours, row) in published_names(config).items():
        array = torch.from_numpy(named[ours])
        used.add(ours)
        if row is not None:
            array = array[row][:, None, None, None]
        elif array.ndim == 5:
            array = array[0].permute(3, 2, 0, 1)
        elif array.ndim == 2:
            array = array.T
        state[theirs if theirs.startswith("new_fc") else f"baseline_model.{theirs}"] = array
    if used != set(named):
        raise ValueError(f"weights: these differ: {sorted(used ^ set(named))}.")
    counters = {k: v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")}
    model.load_state_dict(state | counters)


def channels_first(clips):
    """NumPy clips `(batch, frames, height, width, channels)` as a contiguous torch tensor."""
    return torch.from_numpy(clips).permute(0, 1, 4, 2, 3).contiguous()
