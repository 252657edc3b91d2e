"""Records what onnxruntime computes with the models of ../shared.

    python testsuite/onnx/record.py ../shared testsuite/onnx [FOLDER]

writes predictions.txt and outputs.txt into the second folder, and every output as .npy into FOLDER.
Optimisations are off: with them onnxruntime refuses two of the graphs. The networks of QONNX are run
by the package `qonnx`, which gives onnxruntime operator by operator; mnist-opset1, which
onnxruntime does not read, is recorded from the same network in a newer version.
"""

import pathlib
import sys

import numpy as np
import onnxruntime as ort

# How samples are fed: `unit` x/255, `bytes` x, `signed` x - 128, `as-is` x; `made` are numbers that
# need no file. A model that takes its channels last gets them so.
DIGITS = ("digits-test-360", "unit")
FASHION = ("fashion-mnist-test-10000", "unit")
MNIST = ("mnist-test-10000", "unit")
CIFAR = ("cifar10-test-800", "unit")
MADE = ("-", "made")

MODELS = {
    "cifar/cifar10_resnet20_bn_float": ("float", *CIFAR),
    "cifar/cifar10_resnet8_nchw_float": ("float", *CIFAR),
    "cifar/cifar10_resnet8_w4a4_qat_qcdq": ("QCDQ", *CIFAR),
    "cifar/cifar10_resnet8_w8a8_ptq_qcdq": ("QCDQ", *CIFAR),
    "digits/digits_cnn_bn_float": ("float", *DIGITS),
    "digits/digits_cnn_w2a2_qcdq": ("QCDQ", *DIGITS),
    "digits/digits_cnn_w4a4_qcdq": ("QCDQ", *DIGITS),
    "digits/digits_cnn_w4a4_qdq_int4": ("QDQ", *DIGITS),
    "digits/digits_cnn_w8a8_qdq": ("QDQ", *DIGITS),
    "digits/digits_mlp_w4a4_qcdq": ("QCDQ", *DIGITS),
    "mlperf-tiny/ad01_int8": ("tf2onnx-QDQ", *MADE),
    "mlperf-tiny/kws_ref_model": ("tf2onnx-QDQ", "speech-commands-mfcc-1000-i8", "as-is"),
    "mlperf-tiny/kws_ref_model_float32": ("float", "speech-commands-mfcc-1000", "as-is"),
    "mlperf-tiny/pretrainedResnet": ("float", "cifar10-test-800", "bytes"),
    "mlperf-tiny/pretrainedResnet_quant": ("tf2onnx-QDQ", "cifar10-test-800", "signed"),
    "qonnx/TFC_1W1A": ("QONNX", *MNIST),
    "qonnx/TFC_2W2A": ("QONNX", *MNIST),
    "qonnx/TFC_2W2A_lowered": ("lowered-QONNX", *MNIST),
    "qonnx/qkeras_jettagging": ("QONNX", *MADE),
    "qonnx/residual_block_clean": ("QONNX", *MADE),
    "snn-toolbox/mnist_lenet5_9914": ("float", *MNIST),
    "trained/fmnist_lenet_bn_float": ("float", *FASHION),
    "trained/fmnist_lenet_bn_float_torchexport": ("float", *FASHION),
    "trained/fmnist_lenet_folded_float": ("float", *FASHION),
    "trained/fmnist_lenet_int8_qdq_ort": ("QDQ", *FASHION),
    "trained/fmnist_lenet_int8_qoperator_ort": ("QOperator", *FASHION),
    "trained/fmnist_lenet_u8s8_qdq_ort": ("QDQ", *FASHION),
    "trained/fmnist_lenet_w2a2_qcdq": ("QCDQ", *FASHION),
    "trained/fmnist_lenet_w3a3_qcdq": ("QCDQ", *FASHION),
    "trained/fmnist_lenet_w4a4_qcdq": ("QCDQ", *FASHION),
    "trained/fmnist_lenet_w4a4_qdq_int4": ("QDQ", *FASHION),
    "trained/fmnist_resnet8_bn_float": ("float", *FASHION),
    "trained/fmnist_resnet8_int8_qdq_ort": ("QDQ", *FASHION),
    "trained/fmnist_resnet8_u8s8_qdq_ort": ("QDQ", *FASHION),
    "trained/fmnist_resnet8_w4a4_qcdq": ("QCDQ", *FASHION),
    "trained/mnist_mlp_float": ("float", *MNIST),
    "trained/mnist_mlp_w4a4_qcdq": ("QCDQ", *MNIST),
    "trained/mnist_mlp_w4a4_qdq_int4": ("QDQ", *MNIST),
    "zoo/mnist-8": ("float", "mnist-test-10000", "bytes"),
    "zoo/mnist-opset1": ("float", "mnist-test-10000", "bytes"),
    "zoo/shufflenet-v2-12-int8": ("QOperator", *MADE),
    "zoo/super_resolution": ("float", *MADE),
}
SAME = {"zoo/mnist-opset1": "zoo/mnist-8"}
# Samples whose outputs are recorded, and samples that are made.
FEW = 8
# Samples of a network that the package `qonnx` runs, which takes its time.
SLOW = 1000


def fed(x, form):
    """Samples as the network takes them, but for the order of dimensions."""
    if form == "unit":
        return (x * (1 / 255)).astype(np.float32)
    if form == "bytes":
        return x.astype(np.float32)
    if form == "signed":
        return (x.astype(np.int32) - 128).astype(np.int8)
    return x


def made(shape, integer):
    """Element i of sample s is the byte (37 i + 101 s + floor(i^2 / 128)) mod 256."""
    i = np.arange(np.prod(shape), dtype=np.int64)
    x = np.stack([(37 * i + 101 * s + (i * i >> 7)) % 256 for s in range(FEW)])
    return fed(x.astype(np.uint8), "signed" if integer else "unit")


def onnxruntime_runner(path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    shape = [d if isinstance(d, int) else 1 for d in feed.shape]
    run = lambda x: session.run(None, {feed.name: x})[0]
    return shape, feed.type == "tensor(int8)", run


def qonnx_runner(path):
    import onnx

    make = onnx.helper.make_model

    def old(*args, **kwargs):
        # onnxruntime may know fewer versions of the format than onnx.
        model = make(*args, **kwargs)
        model.ir_version = min(model.ir_version, 10)
        return model

    onnx.helper.make_model = old
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = ModelWrapper(path).transform(InferShapes())
    name, output = model.graph.input[0].name, model.graph.output[0].name
    run = lambda x: execute_onnx(model, {name: x})[output]
    return model.get_tensor_shape(name), False, run


def outputs(shared, model, dialect, data, form):
    """Labels, and the outputs of every sample."""
    path = f"{shared}/models/{SAME.get(model, model)}.onnx"
    shape, integer, run = (qonnx_runner if dialect == "QONNX" else onnxruntime_runner)(path)
    if form == "made":
        x, y = made(shape, integer), None
    else:
        file = np.load(f"{shared}/data/{data}.npz")
        x, y = fed(file["x"], form), file["y"]
        if x.ndim == 4 and list(x.shape[2:]) + [x.shape[1]] == shape[1:] != list(x.shape[1:]):
            x = x.transpose(0, 2, 3, 1)
    if dialect == "QONNX" and y is not None:
        x, y = x[:SLOW], y[:SLOW]
    found = [run(np.ascontiguousarray(v).reshape(shape)).ravel().astype(np.float32) for v in x]
    return y, np.stack(found)


def mistakes(predictions, labels):
    """Where predictions are not the labels: how far after the last one, and the class as a letter."""
    text, last = "", 0
    for i in np.flatnonzero(predictions != labels):
        text += f"{i - last}{chr(ord('a') + predictions[i])}"
        last = i
    return text or "-"


def main(shared, folder, everything=None):
    folder = pathlib.Path(folder)
    source = f"onnxruntime {ort.__version__} without optimisations, by record.py"
    predictions = [
        f"# Predictions of {source}.",
        "# Model, dialect, data, form of the samples, number of samples, and the samples whose",
        "# prediction is not the label: how far after the last one, and the class as a letter.",
    ]
    figures = [
        f"# Outputs of {source}.",
        "# Model, sample, largest and smallest output, and their sum with signs in turn.",
    ]
    for model, (dialect, data, form) in MODELS.items():
        labels, found = outputs(shared, model, dialect, data, form)
        wrong = "-" if labels is None else mistakes(found.argmax(1), labels)
        predictions.append(f"{model} {dialect} {data} {form} {len(found)} {wrong}")
        if dialect == "float" or labels is None:
            signs = np.where(np.arange(found.shape[1]) % 2, -1.0, 1.0)
            for s, row in enumerate(found[:FEW]):
                total = (row.astype(np.float64) * signs).sum()
                figures.append(f"{model} {s} {row.max():.8g} {row.min():.8g} {total:.8g}")
        if everything:
            np.save(f"{everything}/{model.replace('/', '-')}.npy", found)
    (folder / "predictions.txt").write_text("\n".join(predictions) + "\n")
    (folder / "outputs.txt").write_text("\n".join(figures) + "\n")


main(*sys.argv[1:])
