"""Layers made by hand for the speed of CPUs, in place of torch's own; DPED_PLAIN_TORCH=1 leaves plain PyTorch.

Every room of the trainer may enter, by what this file hands on alone; weights and their names are the same either way.
"""

from dped_train.cpu.fused_instance_norm import NORM_EPSILON as NORM_EPSILON
from dped_train.cpu.fused_instance_norm import instance_norm as instance_norm
from dped_train.cpu.rgb_convolution import RgbConv2d as RgbConv2d
from dped_train.cpu.rgb_convolution import taps_by_row as taps_by_row
from dped_train.cpu.strip_passes import scaled_relu as scaled_relu
from dped_train.cpu.winograd import Conv3x3 as Conv3x3
from dped_train.cpu.winograd import conv3x3 as conv3x3
from dped_train.cpu.winograd import weight_planes as weight_planes
