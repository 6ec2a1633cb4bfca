"""Write losses.json: what the authors' formulas give for seeded networks and photos, in TensorFlow and float64.

    python -m venv tf && tf/bin/pip install tensorflow && tf/bin/python tests/golden/make_losses.py

Written from the formulas of github.com/aiff22/DPED (models.py, train_model.py, vgg.py, ssim.py), not copied from them.
TensorFlow's own SAME padding, pooling, softmax and gradients are what a test of ours is held against.
"""

from __future__ import annotations

import json
from math import erf, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import seeded
import tensorflow as tf

VGG_STAGES = (2, 2, 4, 4, 4)
STRIDES = (4, 2, 1, 1, 2)
WEIGHTS = {"content": 10.0, "texture": 1.0, "colour": 0.5, "tv": 2000.0}
GRAY = (0.2989, 0.5870, 0.1140)
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def variables(arrays: seeded.Arrays) -> dict[str, Any]:
    return {name: tf.Variable(array.astype(np.float64)) for name, array in arrays.items()}


def normalised(x: Any, scale: Any, shift: Any) -> Any:
    mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
    return scale * (x - mean) / tf.sqrt(variance + 1e-3) + shift


def enhanced_by(v: dict[str, Any], photo: Any) -> Any:
    def convolved(x: Any, number: int) -> Any:
        return tf.nn.conv2d(x, v[f"W{number}"], 1, "SAME") + v[f"b{number}"]

    x = tf.nn.relu(convolved(photo, 1))
    for block in range(4):
        y = x
        for half in (1, 2):
            number = 2 * block + half
            y = tf.nn.relu(normalised(convolved(y, number + 1), v[f"scale{number}"], v[f"shift{number}"]))
        x = y + x
    x = tf.nn.relu(convolved(tf.nn.relu(convolved(x, 10)), 11))
    return tf.tanh(convolved(x, 12)) * 0.58 + 0.5


def leaky(x: Any) -> Any:
    return tf.maximum(x, 0.2 * x)  # tf.nn.leaky_relu rounds its slope to float32


def judged_by(v: dict[str, Any], photo: Any) -> Any:
    x = tf.tensordot(photo, tf.constant(GRAY, tf.float64), 1)[..., None]
    for number, stride in enumerate(STRIDES, start=1):
        x = leaky(tf.nn.conv2d(x, v[f"W{number}"], stride, "SAME") + v[f"b{number}"])
        x = normalised(x, v[f"scale{number}"], v[f"shift{number}"]) if number > 1 else x
    flat = tf.reshape(x, [seeded.PAIRS, -1])
    return tf.nn.softmax(leaky(flat @ v["W6"] + v["b6"]) @ v["W7"] + v["b7"])


def features(photo: Any) -> Any:
    layers = iter(seeded.vgg19())
    x = photo * 255 - tf.constant(seeded.MEAN, tf.float64)
    for stage, count in enumerate(VGG_STAGES):
        x = tf.nn.max_pool2d(x, 2, 2, "SAME") if stage else x
        for _ in range(count):
            kernel, bias = next(layers)
            x = tf.nn.relu(tf.nn.conv2d(x, kernel.astype(np.float64), 1, "SAME") + bias.astype(np.float64))
    return x


def blurred(photo: Any) -> Any:
    step = (2 * 3 + 1) / 21
    edges = np.linspace(-3 - step / 2, 3 + step / 2, 22)
    mass = np.diff([0.5 * (1 + erf(edge / sqrt(2))) for edge in edges])
    kernel = np.sqrt(np.outer(mass, mass))
    kernel = np.repeat((kernel / kernel.sum())[..., None, None], 3, axis=2)
    return tf.nn.depthwise_conv2d(photo, tf.constant(kernel), [1, 1, 1, 1], "SAME")


def verdict_loss(probability: Any, is_dslr: Any) -> Any:
    target = tf.stack([is_dslr, 1 - is_dslr], 1)
    return -tf.reduce_sum(target * tf.math.log(tf.clip_by_value(probability, 1e-10, 1.0)))


def losses_of(enhanced: Any, dslr: Any, disc: dict[str, Any]) -> dict[str, Any]:
    pairs, size = seeded.PAIRS, seeded.SIZE
    ours, theirs = features(enhanced), features(dslr)
    per_photo = 3 * size * (size - 1)
    found = {
        "content": 2 * tf.nn.l2_loss(theirs - ours) / (float(np.prod(ours.shape[1:])) * pairs),
        "texture": -verdict_loss(judged_by(disc, enhanced), tf.zeros(pairs, tf.float64)),
        "colour": tf.reduce_sum((blurred(dslr) - blurred(enhanced)) ** 2) / (2 * pairs),
        "tv": 2
        * (
            tf.nn.l2_loss(enhanced[:, 1:] - enhanced[:, :-1]) / per_photo
            + tf.nn.l2_loss(enhanced[:, :, 1:] - enhanced[:, :, :-1]) / per_photo
        )
        / pairs,
    }
    return found | {"total": sum(WEIGHTS[name] * loss for name, loss in found.items())}


def ms_ssim(first: Any, second: Any) -> Any:
    """Of the whole batch, as ssim.py has it: windows inside the photo, halved by the mean of 2x2."""
    terms: list[Any] = []
    for level in range(5):
        size = min(11, int(first.shape[1]))
        places = np.arange(size) - (size - 1) / 2
        window = np.exp(-(places[:, None] ** 2 + places[None, :] ** 2) / (2 * (1.5 * size / 11) ** 2))
        kernel = tf.constant(np.repeat((window / window.sum())[..., None, None], 3, axis=2))

        def mean(x: Any, kernel: Any = kernel) -> Any:
            return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID")

        m1, m2 = mean(first), mean(second)
        v1, v2, both = mean(first**2) - m1**2, mean(second**2) - m2**2, mean(first * second) - m1 * m2
        structure = (2 * both + 0.03**2) / (v1 + v2 + 0.03**2)
        luminance = (2 * m1 * m2 + 0.01**2) / (m1**2 + m2**2 + 0.01**2)
        terms.append(tf.reduce_mean(structure if level < 4 else structure * luminance))
        first, second = (tf.nn.avg_pool2d(x, 2, 2, "SAME") for x in (first, second))
    return tf.reduce_prod([term**weight for term, weight in zip(terms, SCALE_WEIGHTS, strict=True)])


def length(gradient: Any) -> float:
    return float(tf.norm(gradient))


def main() -> None:
    phone, dslr = (tf.constant(photo.astype(np.float64)) for photo in seeded.photos())
    made, disc = variables(seeded.enhancer()), variables(seeded.discriminator())
    is_dslr = tf.constant(seeded.SHOW_DSLR, tf.bool)
    with tf.GradientTape(persistent=True) as tape:
        enhanced = enhanced_by(made, phone)
        losses = losses_of(enhanced, dslr, disc)
        shown = tf.where(is_dslr[:, None, None, None], dslr, tf.stop_gradient(enhanced))
        predictions = judged_by(disc, shown)
        verdict = verdict_loss(predictions, tf.cast(is_dslr, tf.float64))
    right = tf.equal(tf.argmax(predictions, 1) == 0, is_dslr)
    golden = {
        "made_with": f"TensorFlow {tf.__version__}, float64",
        "enhanced_mean": float(tf.reduce_mean(enhanced)),
        "enhanced_corner": enhanced[0, 0, 0].numpy().tolist(),
        "losses": {name: float(loss) for name, loss in losses.items()},
        "gradients_at_enhanced": {name: length(tape.gradient(loss, enhanced)) for name, loss in losses.items()},
        "gradients_of_enhancer": {
            name: length(gradient) for name, gradient in tape.gradient(losses["total"], made).items()
        },
        "predictions": predictions.numpy().tolist(),
        "verdict_loss": float(verdict),
        "accuracy": float(tf.reduce_mean(tf.cast(right, tf.float64))),
        "gradients_of_discriminator": {
            name: length(gradient) for name, gradient in tape.gradient(verdict, disc).items()
        },
        "ms_ssim": float(ms_ssim(phone, dslr)),
    }
    Path(__file__).with_name("losses.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
