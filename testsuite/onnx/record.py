"""Records onnxruntime's predictions on the first samples of each data set in ../shared.

    python testsuite/onnx/record.py ../shared > testsuite/onnx/predictions.txt

Optimisations are off: with them onnxruntime refuses two of the graphs. What it cannot run (QONNX,
Add of version 1) is recorded from the same network in another dialect.
"""

import sys

import numpy as np
import onnxruntime as ort

COUNT = 200
MODELS = [
    ("digits/digits_cnn_bn_float", "digits-test-360", "unit"),
    ("digits/digits_cnn_w4a4_qcdq", "digits-test-360", "unit"),
    ("digits/digits_cnn_w4a4_qdq_int4", "digits-test-360", "unit"),
    ("digits/digits_cnn_w8a8_qdq", "digits-test-360", "unit"),
    ("digits/digits_cnn_w2a2_qcdq", "digits-test-360", "unit"),
    ("digits/digits_mlp_w4a4_qcdq", "digits-test-360", "unit"),
    *[
        (f"trained/fmnist_lenet_{kind}", "fashion-mnist-test-10000", "unit")
        for kind in (
            "bn_float bn_float_torchexport folded_float w4a4_qcdq w4a4_qdq_int4 w3a3_qcdq "
            "w2a2_qcdq int8_qdq_ort u8s8_qdq_ort int8_qoperator_ort"
        ).split()
    ],
    *[
        (f"trained/fmnist_resnet8_{kind}", "fashion-mnist-test-10000", "unit")
        for kind in "bn_float w4a4_qcdq int8_qdq_ort u8s8_qdq_ort".split()
    ],
    *[
        (f"trained/mnist_mlp_{kind}", "mnist-test-10000", "unit")
        for kind in "float w4a4_qcdq w4a4_qdq_int4".split()
    ],
    *[
        (f"cifar/cifar10_{kind}", "cifar10-test-800", "unit")
        for kind in (
            "resnet8_nchw_float resnet8_w8a8_ptq_qcdq resnet8_w4a4_qat_qcdq resnet20_bn_float"
        ).split()
    ],
    ("mlperf-tiny/pretrainedResnet", "cifar10-test-800", "nhwc-bytes"),
    ("mlperf-tiny/pretrainedResnet_quant", "cifar10-test-800", "nhwc-signed"),
    ("mlperf-tiny/kws_ref_model", "speech-commands-mfcc-1000-i8", "as-is"),
    ("mlperf-tiny/kws_ref_model_float32", "speech-commands-mfcc-1000", "as-is"),
    ("qonnx/TFC_2W2A_lowered", "mnist-test-10000", "unit"),
    ("snn-toolbox/mnist_lenet5_9914", "mnist-test-10000", "unit"),
    ("zoo/mnist-8", "mnist-test-10000", "bytes"),
]
SAME = [
    ("qonnx/TFC_2W2A", "qonnx/TFC_2W2A_lowered"),
    ("zoo/mnist-opset1", "zoo/mnist-8"),
]


def fed(x, form):
    if form == "unit":
        return x.astype(np.float32) * np.float32(1 / 255)
    if form == "bytes":
        return x.astype(np.float32)
    if form == "nhwc-bytes":
        return x.transpose(0, 2, 3, 1).astype(np.float32)
    if form == "nhwc-signed":
        return (x.transpose(0, 2, 3, 1).astype(np.int32) - 128).astype(np.int8)
    return x


def predictions(path, data, form):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    shape = [d if isinstance(d, int) else 1 for d in feed.shape]
    x = fed(np.load(data)["x"][:COUNT], form)
    return [int(session.run(None, {feed.name: v.reshape(shape)})[0].argmax()) for v in x]


def main(shared):
    rows = {}
    for model, data, form in MODELS:
        found = predictions(f"{shared}/models/{model}.onnx", f"{shared}/data/{data}.npz", form)
        rows[model] = f"{data} {form} {','.join(map(str, found))}"
    for model, other in SAME:
        rows[model] = rows[other]
    for model in sorted(rows):
        print(model, rows[model])


main(sys.argv[1])
