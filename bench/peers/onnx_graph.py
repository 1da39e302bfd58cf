"""ONNX graphs built node by node, and their sessions."""
import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Nodes and constants; names are made as they come."""

    def __init__(self):
        self.nodes, self.constants, self.inputs, self.count = [], [], [], 0

    def input(self, name, shape):
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def constant(self, array, name=None):
        name = name or f'c{len(self.constants)}'
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(array), name))
        return name

    def node(self, op, *inputs, outputs=1, domain='', **attributes):
        self.count += 1
        names = [f'{op}_{self.count}_{i}' for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def session(self, output, threads):
        """Of the graph that ends in `output`, on so many threads."""
        graph = helper.make_graph(self.nodes, 'peer', self.inputs,
                                  [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)], self.constants)
        # 20 has Gelu as an operator of its own.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 20),
                                                        helper.make_opsetid('com.microsoft', 1)])
        model.ir_version = 10
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])
