"""What is measured. Each study is points (a length, a size), each with entries that are timed in turns."""
import functools
import json

from workers import Entry, Unavailable

MASKS = {'linear': 'LION-LIT', 'decay': 'LION-D', 'selective': 'LION-S'}
# Of packed weights: how far the output may be from that of plain ones.
TOLERANCE = {'float32': 1e-4, 'bfloat16': 0.1, 'int8': 0.3}


def memory_left():
    with open('/proc/meminfo') as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith('MemAvailable'))


def require_memory(size):
    if size > memory_left() / 2:
        raise Unavailable(f'it would take about {size / 2 ** 30:.0f} GiB of memory')


def peer(bench, name, threads, options, shared=True, **about):
    """The entry of a peer made from these options; with shared=False in a process of its own, for its memory."""
    worker = bench.peer_process(threads, shared)
    try:
        worker.ask(f"make {name.replace(' ', '-')} {json.dumps(options)}")
    except Unavailable:
        if not shared:
            worker.close()
        raise
    entry = Entry(name, worker, name.replace(' ', '-'), options.get('compiled', False), own_process=not shared, **about)
    if not shared:
        drop = entry.close
        entry.close = lambda: (drop(), worker.close())
    return entry


# ---------------------------------------------------------------- the operator against length


def operator_point(bench, length, threads):
    """Both sides on q, k, v [1,H,L,64]; float32, of softmax bfloat16 too. Every pair of tokens takes 4·64 operations
    with softmax, so 12 heads of the longest sequences would take minutes a pass: one head there, for all."""
    heads = 2 if bench.quick else 12 if length <= 8192 else 1
    width = 64
    makers = []

    def own(mask, form):
        def make():
            worker = bench.subject('operator', threads, mask=mask, form=form, heads=heads, length=length)
            if form != 'auto':
                return Entry(name, worker)
            worker.ask(f"inputs {bench.path(f'{mask}-inputs')}")
            return Entry(name, worker, writes=bench.path(f'{mask}-y'))
        name = f'lion {mask}' + ('' if mask == 'softmax' else f' {form}')
        return name, make, heads * length * (length if mask == 'softmax' or form == 'full' else 1)

    def other(package, mask, form, dtype='float32'):
        def make():
            if form == 'full' or (package, form) == ('onnx', 'softmax'):
                require_memory(5 * 4 * heads * length ** 2)
            options = {'peer': f'{package}-attention', 'inputs': bench.path(f'{mask}-inputs'), 'form': form}
            if form in ('chunk', 'states'):
                options['chunk'] = 64 if form == 'states' else 128
            if dtype != 'float32':
                options['dtype'] = dtype
            return peer(bench, name, threads, options, against=bench.path(f'{mask}-y'),
                        tolerance=1e-4 if dtype == 'float32' else 3e-2)
        name = f'{package} {mask}' + ('' if mask == form else f' {form}') + ('' if dtype == 'float32' else f' {dtype}')
        return name, make, heads * length * (1 if form in ('states', 'rnn') else length)

    makers.append(own('softmax', 'auto'))
    makers += [other('torch', 'softmax', 'softmax'), other('torch', 'softmax', 'softmax', 'bfloat16'),
               other('onnx', 'softmax', 'softmax')]
    for mask in MASKS:
        makers += [own(mask, form) for form in ('auto', 'chunk', 'full', 'rnn')]
        makers += [other('torch', mask, form) for form in ('full', 'chunk', 'states', 'rnn')]
        if mask != 'selective':
            makers.append(other('onnx', mask, 'full'))
    bench.point('operator', f'{length}/{threads}', {'length': length, 'heads': heads, 'width': width,
                                                     'threads': threads}, makers)


def operator(bench):
    lengths = [64, 128] if bench.quick else [64, 128, 197, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]
    for threads in bench.options.threads:
        bench.rates = {}
        for length in lengths:
            operator_point(bench, length, threads)
        bench.end_peers()


# ---------------------------------------------------------------- the operator against the size of its chunks


def chunk(bench):
    for length in [128] if bench.quick else [1025, 6085]:
        for size in [16, 64] if bench.quick else [16, 32, 64, 128, 256, 512, 1024]:
            def own(mask):
                return (f'lion {mask} chunk',
                        lambda: Entry(f'lion {mask} chunk', bench.subject('operator', mask=mask, form='chunk',
                                                                          chunk_size=size, length=length)), 1)
            bench.point('chunk', f'{length}/{size}', {'length': length, 'chunk': size, 'heads': 12, 'threads': 1},
                        [own(mask) for mask in MASKS])


# ---------------------------------------------------------------- inference of image models


def vision_work(tokens, batch=1):
    """Of a model, its linear layers and what grows with the square."""
    return batch * tokens * (1 + tokens / 4000)


def vision_size(bench):
    return 'tiny' if bench.quick else 'base'


def resolution(bench):
    """Every mask and form of the library, and its softmax, Hydra and Vim."""
    for size in [32, 64] if bench.quick else [224, 512, 738, 1024, 1248, 1536, 2496]:
        side = size // 16 * 16  # 738 is no multiple of a patch's 16 pixels
        tokens = (side // 16) ** 2 + 1

        def own(name, **options):
            return name, lambda: Entry(name, bench.subject('vision', bench.options.threads[0], image_size=side,
                                                           size=vision_size(bench), **options)), vision_work(tokens)
        makers = [own(f'{title} {form}', mask=mask, form=form)
                  for mask, title in MASKS.items() for form in ('full', 'chunk', 'rnn')]
        makers += [own('softmax', mask='softmax'), own('Hydra', kind='hydra'), own('Vim', kind='vim')]
        bench.point('resolution', str(size), {'image_size': side, 'tokens': tokens, 'batch': 1,
                                              'threads': bench.options.threads[0]}, makers)


def models_point(bench, size, batch, threads):
    """The library's ViT and LION models beside PyTorch and ONNX Runtime on the same weights and images."""
    work = vision_work((size // 16) ** 2 + 1, batch) / threads

    def own(mask, title, weights='plain'):
        name = f'lion {title}' + ('' if weights == 'plain' else f' packed {weights}')

        def make():
            worker = bench.subject('vision', threads, image_size=size, batch=batch, mask=mask, size=vision_size(bench),
                                   weights=weights)
            if weights != 'plain':
                return Entry(name, worker, against=bench.path(f'vision-{mask}-y'), tolerance=TOLERANCE[weights])
            worker.ask(f"inputs {bench.path(f'vision-{mask}')}")
            return Entry(name, worker, writes=bench.path(f'vision-{mask}-y'))
        return name, make, work

    def other(name, mask, **options):
        def make():
            if options.get('form') == 'full':
                require_memory(5 * 4 * 12 * batch * ((size // 16) ** 2 + 1) ** 2)
            return peer(bench, name, threads, dict(options, inputs=bench.path(f'vision-{mask}')), shared=False,
                        against=bench.path(f'vision-{mask}-y'),
                        tolerance=0.1 if options.get('dtype') == 'bfloat16' else 1e-3)
        return name, make, work

    makers = [own(mask, title, weights) for weights in ('plain', *TOLERANCE)
              for mask, title in {'softmax': 'ViT', **MASKS}.items()]
    for dtype in ('float32', 'bfloat16'):
        for compiled in (False, True):
            makers.append(other(f"torch ViT {dtype}{' compiled' if compiled else ''}", 'softmax', peer='torch-vision',
                                dtype=dtype, compiled=compiled))
    makers.append(other('onnx ViT', 'softmax', peer='onnx-vision'))
    for mask, title in MASKS.items():
        makers.append(other(f'torch {title} full', mask, peer='torch-vision', form='full'))
    bench.point('models', f'{size}/{batch}/{threads}', {'image_size': size, 'batch': batch, 'threads': threads,
                                                        'tokens': (size // 16) ** 2 + 1}, makers)


def models(bench):
    for size, batch in [(32, 1)] if bench.quick else [(224, 1), (224, 8), (1248, 1), (2496, 1)]:
        for threads in bench.options.threads:
            models_point(bench, size, batch, threads)


# ---------------------------------------------------------------- training of image models


def training_point(bench, size, batch, threads):
    """A step of the base model (forward, loss, backward, AdamW) beside PyTorch's on the same weights and images."""
    memory = 2 ** 20 if bench.quick else 3 * 2 ** 30  # of one entry: weights, gradients, moments, activations

    def own(mask, title):
        def make():
            require_memory(memory)
            worker = bench.subject('training', threads, image_size=size, batch=batch, mask=mask,
                                   size=vision_size(bench))
            worker.ask(f"inputs {bench.path(f'training-{mask}')}")
            return Entry(f'lion {title}', worker, writes=bench.path(f'training-{mask}-y'))
        return f'lion {title}', make, 1

    def other(name, mask, **options):
        def make():
            require_memory(memory)
            return peer(bench, name, threads, dict(options, peer='torch-training',
                                                   inputs=bench.path(f'training-{mask}')), shared=False,
                        against=bench.path(f'training-{mask}-y'),
                        tolerance=0.1 if options.get('dtype') == 'bfloat16' else 1e-3)
        return name, make, 1
    makers = [own('softmax', 'ViT'), other('torch ViT float32', 'softmax'),
              other('torch ViT float32 compiled', 'softmax', compiled=True)]
    makers += [own(mask, title) for mask, title in MASKS.items()]
    makers.append(other('torch ViT autocast bfloat16', 'softmax', dtype='bfloat16'))
    makers += [other(f'torch {title} full', mask) for mask, title in MASKS.items()]
    bench.point('training', f'{size}/{batch}/{threads}', {'image_size': size, 'batch': batch, 'threads': threads,
                                                          'tokens': (size // 16) ** 2 + 1}, makers)


def training(bench):
    size, batch = (32, 2) if bench.quick else (224, 8)
    for threads in bench.options.threads:
        training_point(bench, size, batch, threads)


# ---------------------------------------------------------------- inference of text models


def texts(bench):
    """LION-large and BERT-large, one text."""
    for length in [32] if bench.quick else [128, 2048]:
        for threads in bench.options.threads:
            def own(mask, title, weights='plain'):
                name = f'lion {title}' + ('' if weights == 'plain' else f' packed {weights}')

                def make():
                    worker = bench.subject('text', threads, length=length, mask=mask, size=vision_size(bench),
                                           weights=weights)
                    y = bench.path(f'text-{mask}-y')
                    if weights != 'plain':
                        # Untrained LION models of this width and depth amplify any rounding by a third in each layer,
                        # whatever computes them: only float32 can be compared (novel --pack compares trained ones).
                        rounded = weights != 'float32' and mask != 'softmax'
                        return Entry(name, worker, **({} if rounded else dict(against=y, tolerance=TOLERANCE[weights])))
                    if mask == 'softmax':
                        worker.ask(f"inputs {bench.path('text')}")
                    return Entry(name, worker, writes=y)
                return name, make, 1

            def other(dtype, compiled):
                name = f"torch BERT {dtype}{' compiled' if compiled else ''}"
                return name, lambda: peer(
                    bench, name, threads, {'peer': 'torch-text', 'dtype': dtype, 'compiled': compiled,
                                           'inputs': bench.path('text')}, shared=False, against=bench.path('text-softmax-y'),
                    tolerance=0.1 if dtype == 'bfloat16' else 1e-3), 1
            makers = [own(mask, title, weights) for weights in ('plain', *TOLERANCE)
                      for mask, title in {'softmax': 'BERT', **MASKS}.items()]
            makers += [other(dtype, compiled) for dtype in ('float32', 'bfloat16') for compiled in (False, True)]
            bench.point('texts', f'{length}/{threads}', {'length': length, 'batch': 1, 'threads': threads}, makers)


# ---------------------------------------------------------------- what the models' linear layers reach


def linear(bench):
    """The four shapes of a base model's layers, beside the peak of multiply-adds that stay in registers."""
    for rows in [32] if bench.quick else [197, 1576, 6085]:
        for into, out in [(768, 2304), (768, 768), (768, 3072), (3072, 768)]:
            inputs, y = bench.path('linear'), bench.path('linear-y')

            def own(weights='plain'):
                worker = bench.subject('linear', length=rows, weights=weights, **{'in': into, 'out': out})
                if weights != 'plain':
                    return Entry(f'lion packed {weights}', worker, against=y, tolerance=TOLERANCE[weights])
                worker.ask(f'inputs {inputs}')
                return Entry('lion', worker, writes=y)

            def other(dtype):
                name = f'torch {dtype}'
                return name, lambda: peer(bench, name, 1, {'peer': 'torch-linear', 'inputs': inputs, 'dtype': dtype},
                                          against=y, tolerance=1e-4 if dtype == 'float32' else 3e-2), 1
            bench.point('linear', f'{rows}x{into}x{out}',
                        {'rows': rows, 'in': into, 'out': out, 'threads': 1, 'operations': 2 * rows * into * out},
                        [('lion', own, 1),
                         *((f'lion packed {weights}', functools.partial(own, weights), 1) for weights in TOLERANCE),
                         other('float32'), other('bfloat16'),
                         ('peak', lambda: Entry('peak', bench.subject('peak')), 1)])
    bench.end_peers()


ALL = {'linear': linear, 'operator': operator, 'chunk': chunk, 'models': models, 'resolution': resolution,
       'training': training, 'texts': texts}
