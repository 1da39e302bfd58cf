"""Image models in PyTorch: timm's ViT, and the same with LION's attention in place of softmax (math.md §6)."""
import timm
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file

import attention_torch


class Lion(torch.nn.Module):
    """In place of a ViT's attention."""

    def __init__(self, width, heads, mask, form, chunk):
        super().__init__()
        self.heads, self.mask, self.function, self.chunk = heads, mask, attention_torch.FORMS[form], chunk
        self.qkv, self.proj = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        if mask == 'decay':
            self.a_i = torch.nn.Parameter(torch.zeros(heads))
        if mask == 'selective':
            self.a_i = torch.nn.Linear(width, heads)

    def forward(self, x, **_):
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        ell = None
        if self.mask == 'linear':
            q, k = F.elu(q) + 1, F.elu(k) + 1
        else:
            q, k = (F.normalize(F.silu(t) + 0.5, dim=-1) for t in (q, k))
        if self.mask == 'decay':
            ell = F.logsigmoid(self.a_i)
        if self.mask == 'selective':
            ell = F.logsigmoid(-self.a_i(x)).transpose(1, 2)
            ell = F.pad(ell[..., 1:], (1, 0))  # the class token does not decay
        y = self.function(q, k, v, ell, self.chunk)
        return self.proj(y.transpose(1, 2).reshape(batch, length, width))


def load(inputs, form, chunk):
    """timm's ViT of the file's size and weights, LION's attention in it if its mask_type says so, and the images."""
    with safe_open(inputs, 'pt') as file:
        config = file.metadata()
    size = {key: int(config[key]) for key in ('image_size', 'patch_size', 'embed_dim', 'num_heads', 'depth',
                                              'num_classes')}
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=size['image_size'], patch_size=size['patch_size'], embed_dim=size['embed_dim'],
        num_heads=size['num_heads'], depth=size['depth'], num_classes=size['num_classes'])
    if config['mask_type'] != 'softmax':
        for block in model.blocks:
            block.attn = Lion(size['embed_dim'], size['num_heads'], config['mask_type'], form, chunk)
    model.load_state_dict(load_file(inputs))
    return model, load_file(inputs + '.images')['images']


def make(inputs, threads, dtype='float32', compiled=False, form='full', chunk=128):
    """Inference."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    kind = getattr(torch, dtype)
    model, images = load(inputs, form, chunk)
    model, images = model.eval().to(kind), images.to(kind)
    function = torch.compile(model) if compiled else model

    def run():
        with torch.inference_mode():
            return function(images)
    return run


def make_training(inputs, threads, dtype='float32', compiled=False, form='full', chunk=128):
    """A training step: float32 weights under fused AdamW; a 16-bit dtype is that of autocast. Its output is the gradient
    of the first block's queries, keys and values."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    model, images = load(inputs, form, chunk)
    model.train()
    labels = torch.arange(images.shape[0])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    function = torch.compile(model) if compiled else model

    def run():
        optimiser.zero_grad()
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=dtype == 'bfloat16'):
            loss = F.cross_entropy(function(images), labels)
        loss.backward()
        optimiser.step()
        return model.blocks[0].attn.qkv.weight.grad
    return run
