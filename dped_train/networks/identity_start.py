"""Identity initialisation: first weights with which the enhancer returns its input, nearly.

With the authors' small random weights the enhancer's first output is gray everywhere, and it takes thousands of steps
until it reproduces its input; only then does it begin to improve it. The architecture allows the identity: residual
blocks add to their input, and the output's tanh is nearly linear over the range of a photo. Ours; the losses and the
networks stay those of the recipe.
"""

from __future__ import annotations

import torch
from torch import nn

from dped_train.networks.compared import PhotoNetwork, Srcnn
from dped_train.networks.dped import OUTPUT_OFFSET, OUTPUT_SCALE, Enhancer

CARRIERS = 3  # channels that hold red, green and blue from the head to the tail
RAW_CARRIERS = 4  # or red, both greens and blue of a mosaic
_PIXELS_OF_GREEN = ((0.5, 0.5), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5))
"""Shares of G1 and G2 in the green of each pixel of a cell of 2x2: those beside which they lie."""
BRANCH_SCALE = 0.01  # of what the blocks add to these channels at first: 1 % of the photo's range. 0 would never learn
NORMED_MEAN, NORMED_SPREAD = 0.5, 0.25  # assumed mean and deviation of a batch, which batch normalisation removes
TAIL_GAIN = 1.17 / OUTPUT_SCALE  # of the straight line that fits tanh best over the photo's range (least squares)


def initialise_as_identity(enhancer: PhotoNetwork) -> None:
    """Change the weights of a freshly initialised `enhancer` so that it returns its input, within about 0.03.

    Of a mosaic that is each cell's red and blue on its 2x2 pixels, and the green beside each of them.

    All channels but the first `CARRIERS` keep their random weights, and every weight has a gradient. The network of
    Johnson et al. normalises the batch behind its first layer: it returns its input with another mean and deviation.
    """
    with torch.no_grad():
        if isinstance(enhancer, Srcnn):
            first, second, third = enhancer.convolutions()
            _pass_on(first)
            _pass_on(second)
            _output_of_carriers(third, gain=1.0, offset=0.0)
            return
        is_raw = isinstance(enhancer, Enhancer) and enhancer.input == "raw"
        carriers = RAW_CARRIERS if is_raw else CARRIERS
        layers = [enhancer.head]
        if isinstance(enhancer, Enhancer):
            layers += [enhancer.body1, enhancer.body2]
        else:
            enhancer.head_norm.weight[:CARRIERS] = NORMED_SPREAD
            enhancer.head_norm.bias[:CARRIERS] = NORMED_MEAN
            enhancer.tail.weight.mul_(BRANCH_SCALE)  # normalised channels are large, and nothing between shrinks them
        for layer in layers:
            _pass_on(layer, carriers)
        for block in enhancer.residual_blocks():
            block.norm2.weight[:carriers] = BRANCH_SCALE
        if is_raw:
            _output_of_cells(enhancer.tail, gain=TAIL_GAIN, offset=-TAIL_GAIN * OUTPUT_OFFSET)
        else:
            _output_of_carriers(enhancer.tail, gain=TAIL_GAIN, offset=-TAIL_GAIN * OUTPUT_OFFSET)


def _output_of_carriers(layer: nn.Conv2d, gain: float, offset: float) -> None:
    """Set the weights so that the layer's output is its first channels times `gain` plus `offset`."""
    assert layer.bias is not None
    middle = layer.weight.shape[-1] // 2
    layer.weight[:, :CARRIERS] = 0
    for channel in range(CARRIERS):
        layer.weight[channel, channel, middle, middle] = gain
    layer.bias.fill_(offset)


def _output_of_cells(layer: nn.Conv2d, gain: float, offset: float) -> None:
    """The same for the 12 channels that become 2x2 pixels: 4 of red, 4 of green, 4 of blue."""
    assert layer.bias is not None
    middle = layer.weight.shape[-1] // 2
    layer.weight[:, :RAW_CARRIERS] = 0
    for pixel, greens in enumerate(_PIXELS_OF_GREEN):
        layer.weight[pixel, 0, middle, middle] = gain
        layer.weight[8 + pixel, 3, middle, middle] = gain
        for carrier, share in enumerate(greens, start=1):
            layer.weight[4 + pixel, carrier, middle, middle] = gain * share
    layer.bias.fill_(offset)


def _pass_on(layer: nn.Conv2d, carriers: int = CARRIERS) -> None:
    """Set the weights so that the layer's first channels out are its first channels in."""
    assert layer.bias is not None
    layer.weight[:carriers] = 0
    nn.init.zeros_(layer.bias[:carriers])
    middle = layer.weight.shape[-1] // 2
    for channel in range(carriers):
        layer.weight[channel, channel, middle, middle] = 1
