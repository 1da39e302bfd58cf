"""Peers of the library in one process, for bench/figures/run, which tells it by standard input what to do.

Each line is a command, answered by one line of JSON:
  make LABEL JSON    a peer: {"peer": NAME, ...what its maker takes}; {"skipped": SENTENCE} where it cannot be
  run LABEL N        seconds of a pass, the mean of N
  check LABEL FILE   ||y - z|| / ||z||, where y is the peer's last output and z the tensor y of the file
  drop LABEL
  about              peak resident bytes, those before the first peer, versions
"""
import argparse
import gc
import importlib
import json
import os
import sys
import time

# name -> (module, maker): imported only when asked for, so that a missing package costs its own peers alone.
MAKERS = {
    'torch-attention': ('attention_torch', 'make'),
    'onnx-attention': ('attention_onnx', 'make'),
    'torch-linear': ('linear_torch', 'make'),
    'torch-vision': ('vision_torch', 'make'),
    'torch-training': ('vision_torch', 'make_training'),
    'onnx-vision': ('vision_onnx', 'make'),
    'torch-text': ('text_torch', 'make'),
}


def status(key):
    """Bytes of a line of /proc/self/status."""
    with open('/proc/self/status') as file:
        for line in file:
            if line.startswith(key + ':'):
                return int(line.split()[1]) * 1024
    return 0


class Server:
    def __init__(self, threads):
        self.threads, self.peers, self.outputs, self.before = threads, {}, {}, 0

    def make(self, label, text):
        options = json.loads(text)
        module, maker = MAKERS[options.pop('peer')]
        try:
            make = getattr(importlib.import_module(module), maker)
            self.before = self.before or status('VmRSS')
            self.peers[label] = make(threads=self.threads, **options)
        except (ImportError, NotImplementedError, MemoryError) as error:
            return {'skipped': f'{type(error).__name__}: {error}'}
        return {}

    def run(self, label, passes):
        peer, count = self.peers[label], int(passes)
        start = time.perf_counter()
        for _ in range(count):
            y = peer()
        seconds = (time.perf_counter() - start) / count
        self.outputs[label] = y
        return {'seconds': seconds}

    def check(self, label, path):
        import numpy
        from safetensors.numpy import load_file
        expected = load_file(path)['y'].astype(numpy.float64)
        y = self.outputs[label]
        y = (y if isinstance(y, numpy.ndarray) else y.float().numpy()).astype(numpy.float64)
        y = y.reshape(expected.shape)
        return {'error': float(numpy.linalg.norm(y - expected) / numpy.linalg.norm(expected))}

    def drop(self, label):
        self.peers.pop(label, None)
        self.outputs.pop(label, None)
        gc.collect()
        return {}

    def about(self):
        versions = {name: module.__version__ for name, module in sys.modules.items()
                    if name in ('torch', 'timm', 'onnxruntime', 'numpy')}
        return {'peak_bytes': status('VmHWM'), 'before_bytes': self.before, 'versions': versions}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--threads', type=int, default=1)
    server = Server(parser.parse_args().threads)
    # What libraries print must not stand between the answers.
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    commands = {'make': server.make, 'run': server.run, 'check': server.check, 'drop': server.drop,
                'about': server.about}
    for line in sys.stdin:
        name, _, rest = line.strip().partition(' ')
        label, _, last = rest.partition(' ')
        arguments = [word for word in (label, last) if word]
        try:
            reply = commands[name](*arguments)
        except Exception as error:  # one peer that fails must not end the others
            reply = {'failed': f'{type(error).__name__}: {error}'}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == '__main__':
    main()
