"""Networks trained with Keras on TensorFlow and written by tf2onnx.

    python3 make_keras.py [name ...]
"""

import importlib.metadata
import sys

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from keras import layers

import data
import record


def usps_keras():
    return [layers.Dense(28, "relu"), layers.Dense(28, "relu"), layers.Dense(10, "softmax")]


def digits_keras_conv():
    return [
        layers.Reshape((8, 8, 1)),
        layers.Conv2D(6, 3, padding="same", activation="relu"),
        layers.AveragePooling2D(2),
        layers.Conv2D(10, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, "softmax"),
    ]


# name: (layers, data, epochs, what it shows)
MODELS = {
    "usps_keras": (usps_keras, data.usps, 25, "MatMul and Add, dynamic batch, head Softmax"),
    "digits_keras_conv": (digits_keras_conv, data.digits, 60, "images with the channel last, transposed for Conv; AveragePool; head Softmax"),
}  # fmt: skip


def make(name):
    build, read, epochs, shows = MODELS[name]
    keras.utils.set_random_seed(1)
    x, y, x_test, y_test = read()
    net = keras.Sequential([layers.Input((x.shape[1],), name="input"), *build()])
    net.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    net.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    call = tf.function(lambda t: net(t, training=False), input_signature=[tf.TensorSpec((None, x.shape[1]), tf.float32, "input")])
    tf2onnx.convert.from_function(call, input_signature=call.input_signature, opset=15, output_path=record.model_path(name))
    scores = [round(float(np.mean(net.predict(a, verbose=0).argmax(1) == b)), 4) for a, b in ((x, y), (x_test, y_test))]
    versions = " ".join(f"{p} {importlib.metadata.version(d)}" for p, d in (("tf2onnx", "tf2onnx"), ("Keras", "keras"), ("TensorFlow", "tensorflow-cpu")))
    record.write(
        name, script="make_keras.py", exporter=versions, data=read.__name__, shows=shows,
        training=f"Adam lr 0.003, {epochs} epochs, batch 64, seed 1", train_accuracy=scores[0], test_accuracy=scores[1],
    )  # fmt: skip


if __name__ == "__main__":
    for wanted in sys.argv[1:] or MODELS:
        make(wanted)
