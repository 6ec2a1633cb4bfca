"""First weights with which the enhancer hands the photo through, instead of painting it gray.

With the authors' small random weights the enhancer starts at gray and needs thousands of steps to give back what it
was shown; only then does it begin to improve it. The architecture can pass a photo on: its residual blocks add to what
they get, and the output's tanh is nearly straight. Ours; the losses and the networks stay those of the recipe.
"""

from __future__ import annotations

import torch
from torch import nn

from dped_train.networks.compared import PhotoNetwork, Srcnn
from dped_train.networks.dped import OUTPUT_OFFSET, OUTPUT_SCALE, Enhancer

CARRIERS = 3  # the channels that carry red, green and blue from the head to the tail
BRANCH_SCALE = 0.01  # what the blocks may add to the carriers at first: 1 % of the photo's range. 0 would never learn
NORMED_MEAN, NORMED_SPREAD = 0.5, 0.25  # what a batch's photos are taken to have where a normalisation hides it
TAIL_GAIN = 1.17 / OUTPUT_SCALE  # least squares fit of tanh to a straight line over the photo's range


def hand_photo_through(enhancer: PhotoNetwork) -> None:
    """Change the weights of a freshly initialised `enhancer` so that it returns its input, within about 0.03.

    Every channel but the carriers keeps its random weights, and every weight can still learn. The network of Johnson
    et al. normalises the batch behind its first layer: it returns its input with the batch's mean and spread replaced.
    """
    with torch.no_grad():
        if isinstance(enhancer, Srcnn):
            first, second, third = enhancer.convolutions()
            _carry(first)
            _carry(second)
            _paint(third, gain=1.0, offset=0.0)
            return
        layers = [enhancer.head]
        if isinstance(enhancer, Enhancer):
            layers += [enhancer.body1, enhancer.body2]
        else:
            enhancer.head_norm.weight[:CARRIERS] = NORMED_SPREAD
            enhancer.head_norm.bias[:CARRIERS] = NORMED_MEAN
            enhancer.tail.weight.mul_(BRANCH_SCALE)  # normalised channels are large, and nothing between shrinks them
        for layer in layers:
            _carry(layer)
        for block in enhancer.residual_blocks():
            block.norm2.weight[:CARRIERS] = BRANCH_SCALE
        _paint(enhancer.tail, gain=TAIL_GAIN, offset=-TAIL_GAIN * OUTPUT_OFFSET)


def _paint(layer: nn.Conv2d, gain: float, offset: float) -> None:
    """Let the layer's output be the carriers times `gain` plus `offset`."""
    assert layer.bias is not None
    middle = layer.weight.shape[-1] // 2
    layer.weight[:, :CARRIERS] = 0
    for channel in range(CARRIERS):
        layer.weight[channel, channel, middle, middle] = gain
    layer.bias.fill_(offset)


def _carry(layer: nn.Conv2d) -> None:
    """Let the layer's first channels out be its first channels in."""
    assert layer.bias is not None
    layer.weight[:CARRIERS] = 0
    nn.init.zeros_(layer.bias[:CARRIERS])
    middle = layer.weight.shape[-1] // 2
    for channel in range(CARRIERS):
        layer.weight[channel, channel, middle, middle] = 1
