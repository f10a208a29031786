"""Networks run by PyTorch: ONNX files read into graphs of torch operations.

=================  ========================================================================
``operations``     ONNX operations on numbers, a function each
``shapes``         those that move values and change none
``images``         those that look at a pixel's neighbours: convolution, pooling, resampling
``graph``          an ONNX file and a size of frames → a module, shape arithmetic folded
``engine``         that module on the buffers and the stream of a pair on the GPU
=================  ========================================================================
"""
