"""The released recipe's training step as a TensorFlow graph, for `benchmarks/training.py --tensorflow PYTHON`.

Runs in an interpreter that has TensorFlow (and no torch of ours): a static graph, channels last, float32, two
`session.run` per step (enhancer, then discriminator, each with its own batch), VGG-19 over enhanced and DSLR patches,
gradients by `Adam.minimize`, patches read by h5py's fancy indexing. This is how the authors' training code works
(https://github.com/aiff22/DPED, train_model.py); the graph is written from its description in `dped_train`.
Prints JSON rows like the other variants.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import h5py
import numpy as np
import tensorflow.compat.v1 as tf

LAYERS = ((48, 11, 4), (128, 5, 2), (192, 3, 1), (192, 3, 1), (128, 3, 2))
VGG_CONVOLUTIONS = (2, 2, 4, 4, 4)
CONTENT, TEXTURE, COLOUR, TOTAL_VARIATION = 10.0, 1.0, 0.5, 2000.0
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def variable(name: str, shape: tuple[int, ...], value: float | None = None) -> Any:
    """A trained variable: constant, or normal with standard deviation 0.01."""
    start = tf.truncated_normal_initializer(stddev=0.01) if value is None else tf.constant_initializer(value)
    return tf.get_variable(name, shape, initializer=start)


def convolution(x: Any, name: str, channels: int, size: int, stride: int = 1) -> Any:
    """A convolution with bias and SAME padding."""
    kernel = variable(f"{name}_kernel", (size, size, int(x.shape[-1]), channels))
    return tf.nn.conv2d(x, kernel, [1, stride, stride, 1], "SAME") + variable(f"{name}_bias", (channels,), 0.01)


def normalise(x: Any, name: str) -> Any:
    """Instance normalisation from moments, as TensorFlow 1 code writes it."""
    mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
    channels = int(x.shape[-1])
    scaled = (x - mean) / tf.sqrt(variance + 1e-3)
    return variable(f"{name}_scale", (channels,), 1.0) * scaled + variable(f"{name}_shift", (channels,), 0.0)


def enhance(photo: Any) -> Any:
    """The enhancer (figure 7)."""
    x = tf.nn.relu(convolution(photo, "head", 64, 9))
    for block in range(4):
        y = tf.nn.relu(normalise(convolution(x, f"block{block}a", 64, 3), f"norm{block}a"))
        x = tf.nn.relu(normalise(convolution(y, f"block{block}b", 64, 3), f"norm{block}b")) + x
    x = tf.nn.relu(convolution(x, "body1", 64, 3))
    x = tf.nn.relu(convolution(x, "body2", 64, 3))
    return tf.nn.tanh(convolution(x, "tail", 3, 9)) * 0.58 + 0.5


def discriminate(gray: Any) -> Any:
    """The discriminator: probabilities of (DSLR, enhanced)."""
    x = gray
    for number, (channels, size, stride) in enumerate(LAYERS):
        x = tf.nn.leaky_relu(convolution(x, f"layer{number}", channels, size, stride), 0.2)
        x = normalise(x, f"norm{number}") if number else x
    flat = int(np.prod(x.shape[1:]))
    units = tf.matmul(tf.reshape(x, [-1, flat]), variable("dense_weight", (flat, 1024)))
    units = tf.nn.leaky_relu(units + variable("dense_bias", (1024,), 0.01), 0.2)
    return tf.nn.softmax(tf.matmul(units, variable("out_weight", (1024, 2))) + variable("out_bias", (2,), 0.01))


def vgg_features(photo: Any, arrays: Any) -> Any:
    """VGG-19 up to relu5_4, of (N, S, S, 3) photos in [0, 1]."""
    x, number = (photo - tf.constant(IMAGENET_MEAN)) / tf.constant(IMAGENET_STD), 0
    for stage, count in enumerate(VGG_CONVOLUTIONS):
        x = tf.nn.max_pool2d(x, 2, 2, "SAME") if stage else x
        for _ in range(count):
            kernel = tf.constant(arrays[f"conv{number}.weight"].transpose(2, 3, 1, 0), tf.float32)
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + tf.constant(arrays[f"conv{number}.bias"]))
            number += 1
    return x


def blur(photo: Any) -> Any:
    """The colour loss's blur: 21 taps, standard deviation 3, each channel by itself."""
    taps = np.exp(-((np.arange(21) - 10.0) ** 2) / 18)
    kernel = np.outer(taps, taps) / taps.sum() ** 2
    return tf.nn.depthwise_conv2d(
        photo, tf.constant(np.repeat(kernel[..., None, None], 3, axis=2), tf.float32), [1, 1, 1, 1], "SAME"
    )


def losses(phone: Any, dslr: Any, show_dslr: Any, vgg: Any, batch: int) -> tuple[Any, Any]:
    """The enhancer's and the discriminator's loss, released recipe."""
    with tf.variable_scope("enhancer"):
        enhanced = enhance(phone)
    gray = [tf.image.rgb_to_grayscale(photo) for photo in (enhanced, dslr)]
    shown = gray[0] * (1 - show_dslr[:, None, None]) + gray[1] * show_dslr[:, None, None]
    with tf.variable_scope("discriminator"):
        probability = discriminate(shown)
    target = tf.concat([show_dslr, 1 - show_dslr], 1)
    discriminator = -tf.reduce_sum(target * tf.log(tf.clip_by_value(probability, 1e-10, 1.0)))
    features = [vgg_features(photo, vgg) for photo in (enhanced, dslr)]
    size = float(np.prod(features[0].shape[1:])) * batch
    content = 2 * tf.nn.l2_loss(features[0] - features[1]) / size
    colour = tf.reduce_sum((blur(dslr) - blur(enhanced)) ** 2) / (2 * batch)
    side = int(phone.shape[1])
    count = 3 * side * (side - 1)
    down = tf.nn.l2_loss(enhanced[:, 1:] - enhanced[:, :-1]) / count
    right = tf.nn.l2_loss(enhanced[:, :, 1:] - enhanced[:, :, :-1]) / count
    smooth = 2 * (down + right) / batch
    return CONTENT * content - TEXTURE * discriminator + COLOUR * colour + TOTAL_VARIATION * smooth, discriminator


def read(file: h5py.File, indices: Any) -> list[Any]:
    """Patches as float32 in [0, 1], by h5py's fancy indexing."""
    unique, inverse = np.unique(indices, return_inverse=True)
    return [np.float32(file[name][unique][inverse]) / 255 for name in ("phone", "dslr")]


def steps(shard: Path, vgg_file: Path, batch: int, count: int, threads: int) -> list[dict[str, float]]:
    """Run the steps and time each."""
    tf.disable_eager_execution()
    rows = []
    rng = np.random.default_rng(0)
    with h5py.File(shard) as file, np.load(vgg_file) as vgg:
        patches, side = file["phone"].shape[:2]
        phone, dslr = (tf.placeholder(tf.float32, (None, side, side, 3)) for _ in range(2))
        show_dslr = tf.placeholder(tf.float32, (None, 1))
        enhancer_loss, discriminator_loss = losses(phone, dslr, show_dslr, vgg, batch)
        train = [
            tf.train.AdamOptimizer(5e-4).minimize(loss, var_list=tf.trainable_variables(scope))
            for loss, scope in ((enhancer_loss, "enhancer"), (discriminator_loss, "discriminator"))
        ]
        config = tf.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads)
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            for _ in range(count):
                start, cpu, waited = perf_counter(), process_time(), 0.0
                figures = []
                for loss, step, shown in ((enhancer_loss, train[0], 0.0), (discriminator_loss, train[1], 0.5)):
                    begin = perf_counter()
                    pair = read(file, rng.integers(0, patches, batch))
                    waited += perf_counter() - begin
                    coin = np.float32(rng.random((batch, 1)) < shown)
                    figures.append(session.run([loss, step], {phone: pair[0], dslr: pair[1], show_dslr: coin})[0])
                seconds, cpu_s = perf_counter() - start, process_time() - cpu
                row = {"seconds": seconds, "cpu_s": cpu_s, "waited_s": waited, "total": float(figures[0])}
                rows.append(row)
    return rows


def main() -> None:
    """Parse, run, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shard", type=Path)
    parser.add_argument("vgg", type=Path)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    rows = steps(options.shard, options.vgg, options.batch_size, options.steps, options.threads)
    print(json.dumps({"rows": rows, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
