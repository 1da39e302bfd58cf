"""The operator in ONNX Runtime: its own fused softmax attention, and LION's full form as a graph."""
import numpy
from safetensors.numpy import load_file

from onnx_graph import Graph


def softmax(graph, tensors):
    """MultiHeadAttention of ONNX Runtime, on [B,L,H D]."""
    batch, heads, length, width = tensors['q'].shape
    names = [graph.input(name, [batch, length, heads * width]) for name in ('q', 'k', 'v')]
    y = graph.node('MultiHeadAttention', *names, domain='com.microsoft', num_heads=heads)
    return y, {name: tensors[name].transpose(0, 2, 1, 3).reshape(batch, length, heads * width)
               for name in ('q', 'k', 'v')}


def full(graph, tensors):
    """math.md §1 for the linear mask and the decays of heads, whose L x L mask is a constant of the graph."""
    batch, heads, length, width = tensors['q'].shape
    if tensors.get('log_lambda') is not None and tensors['log_lambda'].ndim != 1:
        raise NotImplementedError('decays of tokens would have to be made into a mask by the graph')
    q, k, v = (graph.input(name, [batch, heads, length, width]) for name in ('q', 'k', 'v'))
    weights = graph.node('MatMul', q, graph.node('Transpose', k, perm=[0, 1, 3, 2]))
    factor = numpy.float32(width ** -0.5) * numpy.ones((1, 1, 1), numpy.float32)
    if 'log_lambda' in tensors:
        i = numpy.arange(length, dtype=numpy.float32)
        factor = factor * numpy.exp(tensors['log_lambda'][:, None, None] * abs(i[:, None] - i))
    weights = graph.node('Mul', weights, graph.constant(factor.astype(numpy.float32)))
    total = graph.node('ReduceSum', weights, graph.constant(numpy.array([-1])), keepdims=1)
    total = graph.node('Add', total, graph.constant(numpy.float32(1e-6)))
    return graph.node('Div', graph.node('MatMul', weights, v), total), {n: tensors[n] for n in ('q', 'k', 'v')}


def make(inputs, form, threads):
    tensors = load_file(inputs)
    heads, length = tensors['q'].shape[1:3]
    graph = Graph()
    output, feed = {'softmax': softmax, 'full': full}[form](graph, tensors)
    if form == 'full' and 'log_lambda' in tensors and heads * length ** 2 * 4 > 2 ** 31 - 1:
        raise NotImplementedError('the mask is beyond the two gigabytes of an ONNX file')
    session = graph.session(output, threads)
    batch, width = tensors['q'].shape[0], tensors['q'].shape[3]

    def run():
        y = session.run(None, feed)[0]
        return y if y.ndim == 4 else y.reshape(batch, length, heads, width).transpose(0, 2, 1, 3)
    return run
