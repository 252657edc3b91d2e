//! From an ONNX file to the tensor IR.
