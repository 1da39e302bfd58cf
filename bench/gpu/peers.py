#!/usr/bin/env python3
"""The operator and the base image model on a GPU beside PyTorch's softmax attention and flash-linear-attention.

    cmake --preset gpu && cmake --build --preset gpu --target gpu_subject
    bench/gpu/peers.py [operator] [model] [--json bench/results/NAME-OF-THE-GPU.json]

Needs PyTorch, and flash-linear-attention (fla-core) and timm for what is theirs; what is missing is left out with a
sentence. bfloat16, tensors [B,L,H,D]. Before anything is timed our y is compared with float64, under every mask and
form; the peers' outputs are not looked at. The operator's entries are captured in CUDA graphs and take turns, five
rounds of at least 20 ms each (three where a call takes longer), medians. Models, of batch 64 and with initial weights,
run one after another, chunks of 256 tokens; their logits must be finite. flash-linear-attention is causal: it
runs forward and, on inputs that are turned around beforehand, backward, without normaliser and without the sum of the
two, so that its entries do less than ours. `floor` is the time of copying as many bytes as q, k, v and y have (backward
too: and dy, dq, dk, dv).
"""
import argparse
import ctypes
import json
import os
import statistics
import sys

import torch
import torch.nn.functional as F

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADS, WIDTH = 12, 64
MASKS = ('linear', 'decay', 'selective')


def left_out(what, why):
    print(f'left out: {what}: {str(why).splitlines()[0][:200]}', file=sys.stderr)


class Call(ctypes.Structure):
    _fields_ = ([('mask', ctypes.c_char_p), ('form', ctypes.c_char_p)]
                + [(name, ctypes.c_ssize_t) for name in ('chunk', 'B', 'H', 'L', 'D')]
                + [(name, ctypes.c_void_p) for name in ('q', 'k', 'v', 'y', 'decays', 'row_sum', 'dy', 'dq', 'dk', 'dv',
                                                        'slopes', 'scratch')]
                + [('scratch_bytes', ctypes.c_size_t), ('stream', ctypes.c_void_p)])


class Lion:
    """The subject's functions; errors are raised."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        for name in ('lion_scratch', 'lion_forward', 'lion_backward', 'lion_vision_create', 'lion_vision_forward'):
            getattr(self.library, name).restype = ctypes.c_char_p

    def __call__(self, name, *arguments):
        failure = getattr(self.library, name)(*arguments)
        if failure:
            raise RuntimeError(failure.decode())


class Point:
    """Inputs of one shape, the same for all entries."""

    def __init__(self, batch, length):
        generator = torch.Generator('cuda').manual_seed(0)
        shape = (batch, length, HEADS, WIDTH)
        draw = lambda: torch.rand(shape, generator=generator, device='cuda', dtype=torch.bfloat16)
        self.batch, self.length = batch, length
        self.q, self.k, self.v, self.dy = draw(), draw(), draw() * 2 - 1, draw() * 2 - 1
        self.per_head = -torch.rand(HEADS, generator=generator, device='cuda') / 10
        self.per_token = -torch.rand(batch, HEADS, length, generator=generator, device='cuda') / 2
        self.y, self.dq, self.dk, self.dv = (torch.full_like(self.q, float('nan')) for _ in range(4))
        self.row_sum, self.slopes = torch.empty_like(self.per_token), torch.empty_like(self.per_token)

    def decays(self, mask):
        return {'linear': None, 'decay': self.per_head, 'selective': self.per_token}[mask]

    def lion(self, lion, mask, form, backward, chunk=64):
        """A function that computes y, and the gradients if asked, on the current stream."""
        call = Call(mask=mask.encode(), form=form.encode(), chunk=chunk, B=self.batch, H=HEADS, L=self.length, D=WIDTH)
        for name in ('q', 'k', 'v', 'y', 'row_sum', 'dy', 'dq', 'dk', 'dv', 'slopes'):
            setattr(call, name, getattr(self, name).data_ptr())
        decays = self.decays(mask)
        call.decays = None if decays is None else decays.data_ptr()
        sizes = ctypes.c_size_t(), ctypes.c_size_t()
        lion('lion_scratch', ctypes.byref(call), *map(ctypes.byref, sizes))
        call.scratch_bytes = max(size.value for size in sizes[:1 + backward])
        scratch = torch.empty(call.scratch_bytes, dtype=torch.uint8, device='cuda')
        call.scratch = scratch.data_ptr()

        def run():
            call.stream = torch.cuda.current_stream().cuda_stream
            lion('lion_forward', ctypes.byref(call))
            if backward:
                lion('lion_backward', ctypes.byref(call))
        run.keeps = scratch
        return run

    def softmax(self, backend, backward):
        q, k, v = (x.transpose(1, 2).detach().requires_grad_(backward) for x in (self.q, self.k, self.v))

        def run():
            with torch.nn.attention.sdpa_kernel(backend):
                y = F.scaled_dot_product_attention(q, k, v)
            if backward:
                torch.autograd.grad(y, (q, k, v), self.dy.transpose(1, 2))
        return run

    def fla(self, mask, backward):
        from fla.ops.linear_attn import chunk_linear_attn
        from fla.ops.simple_gla import chunk_simple_gla
        decays = self.decays(mask)
        if mask == 'selective':
            decays = decays.transpose(1, 2).contiguous()
        sides = []
        for turn in (False, True):
            turned = [x.flip(1) if turn else x.clone() for x in (self.q, self.k, self.v, self.dy)]
            inputs = [x.requires_grad_(backward) for x in turned[:3]]
            options = {}
            if mask == 'decay':
                options['g_gamma'] = decays
            if mask == 'selective':
                options['g'] = (decays.flip(1) if turn else decays.clone()).requires_grad_(backward)
                inputs.append(options['g'])
            sides.append((inputs, options, turned[3]))

        def run():
            for inputs, options, dy in sides:
                if mask == 'linear':
                    y = chunk_linear_attn(*inputs[:3], normalize=False)[0]
                else:
                    y = chunk_simple_gla(*inputs[:3], **options)[0]
                if backward:
                    torch.autograd.grad(y, inputs, dy)
        return run

    def wanted(self, mask, head):
        """y of one head of the first sequence in float64 (math.md §1)."""
        q, k, v = (x[0, :, head].double() for x in (self.q, self.k, self.v))
        weights = q @ k.T / WIDTH ** 0.5
        if mask != 'linear':
            ell = self.decays(mask)
            ell = ell[head].expand(self.length) if mask == 'decay' else ell[0, head]
            c = F.pad(ell.double().cumsum(0), (1, 0))
            at, after = c[:-1], c[1:]
            past = torch.ones_like(weights, dtype=torch.bool).tril()
            weights = weights * torch.where(past, at[:, None] - at, after - after[:, None]).exp()
        return weights @ v / (weights.sum(-1, keepdim=True) + 1e-6)


def graph_of(run):
    """A function that runs it as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()

    def replay():
        graph.replay()
    replay.keeps = run, graph
    return replay


def milliseconds(run, calls):
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(calls):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / calls


def take_turns(entries, rounds=5):
    """{name: [ms]} of {name: function}."""
    calls, times = {}, {name: [] for name in entries}
    for name, run in entries.items():
        milliseconds(run, 1)
        calls[name] = max(1, min(200, int(20 / max(milliseconds(run, 1), 1e-3)) + 1))
    for round_ in range(rounds):
        for name, run in entries.items():
            if calls[name] > 1 or round_ < 3:
                times[name].append(milliseconds(run, calls[name]))
    return times


def make(entries, name, factory):
    """Adds what the factory makes, captured, unless it does not work."""
    try:
        entries[name] = graph_of(factory())
    except Exception as error:  # a peer may fail in any way
        left_out(name, f'{type(error).__name__}: {error}')


def operator(lion, options, results):
    from torch.nn.attention import SDPBackend
    small = Point(2, 500)
    for mask in MASKS:
        for form in ('full', 'chunk', 'rnn', 'auto'):
            small.lion(lion, mask, form, False)()
            wanted = small.wanted(mask, 3)
            torch.cuda.synchronize()
            error = ((small.y[0, :, 3] - wanted).norm() / wanted.norm()).item()
            assert error < 5e-3, f'{mask} {form}: y is wrong by {error}'
    for batch, length in options.points:
        point = Point(batch, length)
        for backward in (False, True):
            entries = {}
            for mask in MASKS:
                for form in ('auto', 'full') if length <= 2048 else ('auto',):
                    make(entries, f'lion {mask} {form}', lambda: point.lion(lion, mask, form, backward))
                if options.fla_backward or not backward:
                    make(entries, f'fla {mask}', lambda: point.fla(mask, backward))
            for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION):
                make(entries, f'softmax {backend.name.lower()}', lambda: point.softmax(backend, backward))
            pairs = [(point.q, point.y), (point.dy, point.dq)]
            if backward:
                pairs += [(point.q, point.dk), (point.dy, point.dv)]
            entries['floor'] = lambda: [to.copy_(x) for x, to in pairs]
            for name, times in take_turns(entries).items():
                results.append({'B': batch, 'L': length, 'backward': backward, 'entry': name,
                                'ms': statistics.median(times), 'least': min(times), 'most': max(times)})
            report(results, batch, length, backward)
            del entries
        del point
        torch.cuda.empty_cache()


def report(results, batch, length, backward):
    here = {r['entry']: r['ms'] for r in results if (r['B'], r['L'], r['backward']) == (batch, length, backward)}
    print(f'B {batch}, L {length}, {"forward and backward" if backward else "forward"}: '
          + ', '.join(f'{name} {ms:.3f} ms ({ms / here["floor"]:.2f})' for name, ms in here.items()), flush=True)


def torch_vit(size, batch, images):
    import timm
    model = timm.models.vision_transformer.VisionTransformer(img_size=size, patch_size=16, embed_dim=768, depth=12,
                                                             num_heads=12, num_classes=1000)
    model = model.cuda().bfloat16().eval()

    def run():
        with torch.inference_mode():
            model(images)
    return run


def model(lion, options, results):
    for size in options.sizes:
        batch = 64
        images = torch.rand(batch, 3, size, size, device='cuda', dtype=torch.bfloat16) * 2 - 1
        logits = torch.empty(batch, 1000, device='cuda', dtype=torch.bfloat16)
        cases = [(mask, form) for mask in MASKS for form in ('auto', 'full', 'chunk', 'rnn')] + [('softmax', 'full')]
        for mask, form in cases:
            if form == 'rnn' and size > options.most_rnn or form == 'full' and size > options.most_full:
                continue
            handle, bytes_ = ctypes.c_void_p(), ctypes.c_size_t()
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            free = torch.cuda.mem_get_info()[0]
            try:
                lion('lion_vision_create', mask.encode(), form.encode(), ctypes.c_ssize_t(256), ctypes.c_ssize_t(batch),
                     ctypes.c_ssize_t(size), ctypes.byref(handle), ctypes.byref(bytes_))
                scratch = torch.empty(bytes_.value, dtype=torch.uint8, device='cuda')

                def run():
                    lion('lion_vision_forward', handle, ctypes.c_void_p(images.data_ptr()),
                         ctypes.c_void_p(logits.data_ptr()), ctypes.c_void_p(scratch.data_ptr()), bytes_,
                         ctypes.c_void_p(torch.cuda.current_stream().cuda_stream))
                milliseconds(run, 1)
                used = (free - torch.cuda.mem_get_info()[0]) / 2 ** 30
                times = [milliseconds(run, 1)]
                while len(times) < 5 and sum(times) < 1500:
                    times.append(milliseconds(run, 1))
                assert torch.isfinite(logits).all(), 'logits are not finite'
                results.append({'size': size, 'mask': mask, 'form': form, 'ms': statistics.median(times),
                                'least': min(times), 'GiB': used})
                print(f'{size} px, {mask} {form}: {results[-1]["ms"]:.1f} ms, {used:.2f} GiB', flush=True)
            except Exception as error:
                left_out(f'{size} px, {mask} {form}', f'{type(error).__name__}: {error}')
            scratch = None
            if handle:
                lion.library.lion_vision_destroy(handle)
        try:
            free = torch.cuda.mem_get_info()[0]
            torch.cuda.empty_cache()
            run = torch_vit(size, batch, images)
            milliseconds(run, 1)
            times = [milliseconds(run, 1) for _ in range(3)]
            used = (free - torch.cuda.mem_get_info()[0]) / 2 ** 30
            results.append({'size': size, 'mask': 'softmax', 'form': 'timm, PyTorch', 'ms': statistics.median(times),
                            'least': min(times), 'GiB': used})
            print(f'{size} px, timm: {results[-1]["ms"]:.1f} ms, {used:.2f} GiB', flush=True)
            del run
        except Exception as error:
            left_out(f'{size} px, timm', f'{type(error).__name__}: {error}')
        torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('studies', nargs='*', help='operator, model [both]')
    parser.add_argument('--subject', default=os.path.join(ROOT, 'build/gpu/bench/gpu/libgpu_subject.so'))
    parser.add_argument('--json')
    parser.add_argument('--points', nargs='+', default=['64/197', '256/512', '64/2048', '16/8192', '64/6085', '4/32768'],
                        help='of the operator, BATCH/LENGTH')
    parser.add_argument('--sizes', nargs='+', type=int, default=[224, 512, 1248, 2496], help='of images, pixels')
    parser.add_argument('--most-rnn', type=int, default=512, help='largest images for the recurrent form [512]')
    parser.add_argument('--most-full', type=int, default=1248, help='largest images for the full form [1248]')
    parser.add_argument('--fla-backward', action='store_true', help="flash-linear-attention's backward too, which tunes "
                        'itself for minutes first')
    options = parser.parse_args()
    options.points = [tuple(map(int, point.split('/'))) for point in options.points]
    name = torch.cuda.get_device_name()
    path = options.json or os.path.join(ROOT, 'bench/results', ''.join(c if c.isalnum() else '-' for c in name) + '.json')
    report = {'gpu': name, 'torch': torch.__version__, 'cuda': torch.version.cuda}
    lion = Lion(options.subject)
    for study in options.studies or ['operator', 'model']:
        report[study] = []
        {'operator': operator, 'model': model}[study](lion, options, report[study])
        with open(path, 'w') as file:
            json.dump(report, file, indent=1)


if __name__ == '__main__':
    main()
