"""A ViT in ONNX Runtime, its graph made of fused operators (LayerNormalization, Gelu, MultiHeadAttention)."""
import numpy
from safetensors import safe_open
from safetensors.numpy import load_file

from onnx_graph import Graph


def make(inputs, threads):
    """The ViT of the file's size and weights."""
    with safe_open(inputs, 'np') as file:
        config = file.metadata()
    if config['mask_type'] != 'softmax':
        raise NotImplementedError(f'no graph for {config["mask_type"]}')
    width, heads, depth, patch = (int(config[key]) for key in ('embed_dim', 'num_heads', 'depth', 'patch_size'))
    p, images = load_file(inputs), load_file(inputs + '.images')['images']
    batch = images.shape[0]
    g = Graph()

    def linear(x, name):
        y = g.node('MatMul', x, g.constant(p[name + '.weight'].T))
        return g.node('Add', y, g.constant(p[name + '.bias']))

    def norm(x, name):
        return g.node('LayerNormalization', x, g.constant(p[name + '.weight']), g.constant(p[name + '.bias']),
                      epsilon=1e-6)

    x = g.node('Conv', g.input('images', list(images.shape)), g.constant(p['patch_embed.proj.weight']),
               g.constant(p['patch_embed.proj.bias']), strides=[patch, patch])
    x = g.node('Reshape', x, g.constant(numpy.array([batch, width, -1])))
    x = g.node('Transpose', x, perm=[0, 2, 1])
    x = g.node('Concat', g.constant(numpy.repeat(p['cls_token'], batch, 0)), x, axis=1)
    x = g.node('Add', x, g.constant(p['pos_embed']))
    for i in range(depth):
        b = f'blocks.{i}.'
        q, k, v = g.node('Split', linear(norm(x, b + 'norm1'), b + 'attn.qkv'), outputs=3, axis=-1, num_outputs=3)
        y = g.node('MultiHeadAttention', q, k, v, domain='com.microsoft', num_heads=heads)
        x = g.node('Add', x, linear(y, b + 'attn.proj'))
        h = g.node('Gelu', linear(norm(x, b + 'norm2'), b + 'mlp.fc1'))
        x = g.node('Add', x, linear(h, b + 'mlp.fc2'))
    x = g.node('Gather', norm(x, 'norm'), g.constant(numpy.array(0)), axis=1)
    session = g.session(linear(x, 'head'), threads)
    return lambda: session.run(None, {'images': images})[0]
