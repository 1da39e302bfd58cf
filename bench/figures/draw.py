#!/usr/bin/env python3
"""Draws the figures of a report of bench/figures/run: draw.py REPORT.json FOLDER. Without matplotlib it says so."""
import json
import os
import sys

MASKS = {'linear': 'LION-LIT', 'decay': 'LION-D', 'selective': 'LION-S'}
FORM_MARKS = {'full': 's', 'chunk': 'o', 'rnn': '^'}
COLOURS = {'linear': 'tab:orange', 'decay': 'tab:green', 'selective': 'tab:blue'}


def described(study):
    m = study['machine']
    return (f"{m['processor']}, {m['cores']} cores, {m['memory_bytes'] / 2 ** 30:.0f} GiB, "
            f"{', '.join(m['vectors']) or 'no wide vectors'}; medians, bars from least to most")


def series(points, x, value):
    """entry -> ([x], [median], [min], [max]) over the points that have it; value(point, entry) -> dict or None."""
    lines = {}
    for point in sorted(points, key=lambda p: p[x]):
        for name, entry in point['entries'].items():
            figure = value(point, entry)
            if figure:
                for axis, number in zip(lines.setdefault(name, ([], [], [], [])),
                                        (point[x], figure['median'], figure['min'], figure['max'])):
                    axis.append(number)
    return lines


def seconds(point, entry):
    return entry['seconds']


def scaled(figure, factor):
    return {key: factor * figure[key] for key in ('median', 'min', 'max')}


def plot(axis, line, **style):
    xs, middle, low, high = line
    below, above = [m - l for m, l in zip(middle, low)], [h - m for h, m in zip(high, middle)]
    axis.errorbar(xs, middle, yerr=[below, above], markersize=4, linewidth=1.3, capsize=2, **style)


def finish(axis, title, x, y, ticks=None):
    axis.set(xscale='log', yscale='log', title=title, xlabel=x, ylabel=y)
    if ticks:
        axis.set_xticks(ticks, [str(t) for t in ticks])
        axis.set_xticks([], minor=True)
    axis.grid(alpha=0.3)


def save(figure, study, folder, name):
    figure.text(0.01, 0.005, described(study), fontsize=7, color='0.35')
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    path = os.path.join(folder, name + '.svg')
    figure.savefig(path, metadata={'Date': None})
    print(path)


PEERS = {'torch {} full': ('PyTorch, full', 'tab:red', 's'), 'torch {} chunk': ('PyTorch, chunk', 'tab:red', 'o'),
         'torch {} rnn': ('PyTorch, RNN', 'tab:red', '^'),
         'torch {} states': ('PyTorch, chunk with states', 'tab:pink', 'o'),
         'onnx {} full': ('ONNX Runtime, full', 'tab:purple', 's')}
SOFTMAX = {'torch softmax': ('PyTorch SDPA', '0.2', '-'), 'torch softmax bfloat16': ('PyTorch SDPA, bfloat16', '0.2', ':'),
           'onnx softmax': ('ONNX Runtime softmax', '0.6', '-'), 'lion softmax': ('softmax of this library', '0.6', ':')}


def operator(pyplot, study, folder):
    """Throughput against length beside the peers, a panel per mask; a file per number of threads."""
    for threads in sorted({p['threads'] for p in study['points'].values()}):
        points = [p for p in study['points'].values() if p['threads'] == threads]
        # Heads are fewer in the longest sequences: of each, tokens times heads.
        lines = series(points, 'length', lambda p, e: {
            key: p['heads'] * p['length'] / e['seconds'][of] for key, of in
            (('median', 'median'), ('min', 'max'), ('max', 'min'))})
        figure, axes = pyplot.subplots(1, 3, figsize=(15, 5.5), sharey=True)
        for axis, (mask, title) in zip(axes, MASKS.items()):
            for form, mark in FORM_MARKS.items():
                if f'lion {mask} {form}' in lines:
                    plot(axis, lines[f'lion {mask} {form}'], label=f'this library, {form if form != "rnn" else "RNN"}',
                         color='tab:blue', marker=mark)
            for pattern, (label, colour, mark) in PEERS.items():
                if pattern.format(mask) in lines:
                    plot(axis, lines[pattern.format(mask)], label=label, color=colour, marker=mark)
            for name, (label, colour, dash) in SOFTMAX.items():
                if name in lines:
                    plot(axis, lines[name], label=label, color=colour, linestyle=dash)
            finish(axis, title, 'tokens', 'tokens × heads per second' if axis is axes[0] else None)
            axis.set_xscale('log', base=2)
            axis.legend(fontsize=7, loc='lower left')
        figure.suptitle(f'The operator, forward, D = E = 64, float32, {threads} thread{"s" * (threads > 1)}')
        save(figure, study, folder, 'operator' if threads == 1 else f'operator-{threads}-threads')


def chunk(pyplot, study, folder):
    """Time and scratch against the size of chunks."""
    points = list(study['points'].values())
    lengths = sorted({p['length'] for p in points})
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.8))
    for length, dash in zip(lengths, ('-', '--', ':')):
        at = [p for p in points if p['length'] == length]
        sizes = sorted({p['chunk'] for p in at})
        for name, line in series(at, 'chunk', seconds).items():
            mask = name.split()[1]
            line = (line[0],) + tuple([1e3 * s for s in axis] for axis in line[1:])
            plot(axes[0], line, label=f'{MASKS[mask]}, {length} tokens', color=COLOURS[mask], marker='o', linestyle=dash)
        for name, line in series(at, 'chunk', lambda p, e: dict.fromkeys(
                ('median', 'min', 'max'), e['scratch_bytes'] / 1024)).items():
            mask = name.split()[1]
            plot(axes[1], line, label=f'{MASKS[mask]}, {length} tokens', color=COLOURS[mask], marker='o', linestyle=dash)
    finish(axes[0], 'time of the chunk form, 12 heads', 'tokens in a chunk', 'milliseconds', sizes)
    finish(axes[1], 'its scratch', 'tokens in a chunk', 'KiB', sizes)
    axes[0].legend(fontsize=7)
    save(figure, study, folder, 'chunk')


def resolution(pyplot, study, folder):
    """Time and memory of inference against resolution."""
    points = list(study['points'].values())
    sizes = sorted({p['image_size'] for p in points})
    figure, axes = pyplot.subplots(1, 2, figsize=(13, 5.5))
    for axis, value, title, unit in (
            (axes[0], seconds, 'time of an image', 'seconds'),
            (axes[1], lambda p, e: dict.fromkeys(('median', 'min', 'max'), e['peak_bytes'] / 2 ** 20),
             'peak resident memory, weights included', 'MiB')):
        for name, line in series(points, 'image_size', value).items():
            title_, _, form = name.partition(' ')
            mask = next((m for m, t in MASKS.items() if t == title_), None)
            style = (dict(color=COLOURS[mask], marker=FORM_MARKS[form]) if mask else
                     dict(color={'softmax': '0.2', 'Hydra': 'tab:red', 'Vim': 'tab:purple'}[name], marker='x',
                          linestyle='--'))
            plot(axis, line, label=name.replace('rnn', 'RNN'), **style)
        finish(axis, title, 'pixels', unit, sizes)
    axes[0].legend(fontsize=7, ncol=2)
    threads = points[0]['threads']
    figure.suptitle(f'Inference of base models (patch 16, batch 1), float32, {threads} thread{"s" * (threads > 1)}')
    save(figure, study, folder, 'resolution')


def bars(pyplot, study, folder, name, first, label):
    """Throughput of each entry beside that of `first`, a panel per point."""
    points = list(study['points'].items())
    figure, axes = pyplot.subplots(1, len(points), figsize=(2.6 * len(points) + 5, 4.6), sharey=True, squeeze=False)
    names = []
    for _, point in points:
        names += [n for n in point['entries'] if n not in names]
    for axis, (_, point) in zip(axes[0], points):
        base = point['entries'][first]['seconds']['median'] if first in point['entries'] else None
        for i, entry in enumerate(names):
            if entry not in point['entries'] or not base:
                axis.text(0.02, i, 'left out', va='center', fontsize=7, color='0.5')
                continue
            ratio, least, most = (base / point['entries'][entry]['seconds'][of] for of in ('median', 'max', 'min'))
            axis.barh(i, ratio, xerr=[[ratio - least], [most - ratio]], ecolor='0.3', error_kw={'linewidth': 0.8},
                      color='tab:blue' if entry.startswith('lion') else '0.6')
            axis.text(most, i, f' {ratio:.2f}', va='center', fontsize=7)
        axis.axvline(1, color='0.2', linewidth=0.8)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_title(label(point), fontsize=9)
        axis.set_xlabel(f'speed, {first} = 1', fontsize=8)
    axes[0][0].invert_yaxis()
    save(figure, study, folder, name)


def models(pyplot, study, folder):
    bars(pyplot, study, folder, 'models', 'torch ViT float32', lambda p: (
        f"{p['image_size']} px, batch {p['batch']}, {p['threads']} thread{'s' * (p['threads'] > 1)}"))


def texts(pyplot, study, folder):
    bars(pyplot, study, folder, 'texts', 'torch BERT float32', lambda p: (
        f"{p['length']} tokens, {p['threads']} thread{'s' * (p['threads'] > 1)}"))


DRAWN = {'operator': operator, 'chunk': chunk, 'resolution': resolution, 'models': models, 'texts': texts}


def main(path, folder):
    try:
        import matplotlib
    except ImportError:
        sys.exit('bench/figures/draw.py: matplotlib is not installed (bench/peers/install), so nothing is drawn.')
    matplotlib.use('svg')
    matplotlib.rcParams['svg.hashsalt'] = 'lion'  # the same bytes for the same figures
    from matplotlib import pyplot
    with open(path) as file:
        report = json.load(file)
    os.makedirs(folder, exist_ok=True)
    for name, study in report['studies'].items():
        if name in DRAWN:
            DRAWN[name](pyplot, study, folder)


if __name__ == '__main__':
    main(*sys.argv[1:])
