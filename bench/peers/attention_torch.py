"""The operator in PyTorch: softmax attention, and LION's forms as one would write them from math.md."""
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

EPSILON = 1e-6


def log_decays(log_lambda, heads, length):
    """[H,1 + L] or [B,H,1 + L]: sums of the log-decays before each token (math.md §1); None without decay."""
    if log_lambda is None:
        return None
    if log_lambda.dim() == 1:
        return log_lambda[:, None] * torch.arange(length + 1)
    return F.pad(log_lambda.cumsum(-1), (1, 0))


def log_mask(c, rows, first):
    """log M of the rows of tokens first ... first + rows against all tokens: [...,rows,L]."""
    length = c.shape[-1] - 1
    i = torch.arange(first, first + rows)
    past = i[:, None] >= torch.arange(length)
    at, after = c[..., :-1], c[..., 1:]
    return torch.where(past, at[..., i, None] - at[..., None, :], after[..., None, :] - after[..., i, None])


def divided(weights, v):
    return weights @ v / (weights.sum(-1, keepdim=True) + EPSILON)


def full(q, k, v, log_lambda, chunk):
    """math.md §1: the L x L matrix."""
    c = log_decays(log_lambda, q.shape[1], q.shape[2])
    weights = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    return divided(weights if c is None else weights * log_mask(c, q.shape[2], 0).exp(), v)


def chunk_pairs(q, k, v, log_lambda, chunk):
    """The paper's chunks: each chunk of queries against every key."""
    c = log_decays(log_lambda, q.shape[1], q.shape[2])
    y, scale = torch.empty_like(v), q.shape[-1] ** -0.5
    for first in range(0, q.shape[2], chunk):
        rows = min(chunk, q.shape[2] - first)
        weights = q[:, :, first:first + rows] @ k.transpose(-1, -2) * scale
        if c is not None:
            weights = weights * log_mask(c, rows, first).exp()
        y[:, :, first:first + rows] = divided(weights, v)
    return y


def chunk_states(q, k, v, log_lambda, chunk):
    """math.md §3: pairs inside chunks, and states across them. Not the paper's: the best of PyTorch known to us."""
    batch, heads, length, width = q.shape
    v = torch.cat([v, torch.ones_like(v[..., :1])], -1)
    if log_lambda is None:  # one state for all
        n = q @ (k.transpose(-1, -2) @ v) * width ** -0.5
        return n[..., :-1] / (n[..., -1:] + EPSILON)
    count = -(-length // chunk)
    pad = count * chunk - length
    split = lambda x: F.pad(x, (0, 0, 0, pad)).view(batch, heads, count, chunk, -1)
    q, k, v = split(q), split(k), split(v)
    per_token = log_lambda.dim() == 3
    ell = (log_lambda if per_token else log_lambda[None, :, None].expand(batch, heads, length))
    c = F.pad(F.pad(ell, (0, pad)).view(batch, heads, count, chunk).cumsum(-1), (1, 0))  # from each chunk's start
    if not per_token:
        inner = log_mask(log_decays(log_lambda, heads, chunk), chunk, 0).exp()[:, None]
    else:
        inner = log_mask(c, chunk, 0).exp()
    last = c[..., -1:]
    u = (k * (last - c[..., :-1]).exp()[..., None]).transpose(-1, -2) @ v
    w = (k * c[..., 1:].exp()[..., None]).transpose(-1, -2) @ v
    across = last.exp()[..., None]
    before, behind = torch.zeros_like(u), torch.zeros_like(w)
    for n in range(1, count):
        before[:, :, n] = across[:, :, n - 1] * before[:, :, n - 1] + u[:, :, n - 1]
        m = count - 1 - n
        behind[:, :, m] = across[:, :, m + 1] * behind[:, :, m + 1] + w[:, :, m + 1]
    n = ((q @ k.transpose(-1, -2) * inner) @ v + (q * c[..., :-1].exp()[..., None]) @ before
         + (q * (last - c[..., 1:]).exp()[..., None]) @ behind) * width ** -0.5
    n = n.reshape(batch, heads, count * chunk, -1)[:, :, :length]
    return n[..., :-1] / (n[..., -1:] + EPSILON)


def rnn(q, k, v, log_lambda, chunk):
    """math.md §2: two sweeps, token by token."""
    batch, heads, length, width = q.shape
    v = torch.cat([v, torch.ones_like(v[..., :1])], -1)
    lam = torch.ones(()) if log_lambda is None else log_lambda.exp()
    at = (lambda t: lam) if lam.dim() == 0 else (
        (lambda t: lam[:, None, None]) if lam.dim() == 1 else (lambda t: lam[:, :, t, None, None]))
    q = q * width ** -0.5
    n = torch.empty_like(v)
    state = torch.zeros(batch, heads, width, v.shape[-1])
    for t in range(length):
        if t > 0:
            state = at(t - 1) * state
        state = state + k[:, :, t, :, None] * v[:, :, t, None, :]
        n[:, :, t] = (q[:, :, t, None, :] @ state)[:, :, 0]
    state = torch.zeros_like(state)
    for t in range(length - 2, -1, -1):
        state = at(t + 1) * (state + k[:, :, t + 1, :, None] * v[:, :, t + 1, None, :])
        n[:, :, t] += (q[:, :, t, None, :] @ state)[:, :, 0]
    return n[..., :-1] / (n[..., -1:] + EPSILON)


def softmax(q, k, v, log_lambda, chunk):
    return F.scaled_dot_product_attention(q, k, v)


FORMS = {'softmax': softmax, 'full': full, 'chunk': chunk_pairs, 'states': chunk_states, 'rnn': rnn}


def make(inputs, form, threads, chunk=128, dtype='float32', compiled=False):
    """The operator on the tensors of a file: q, k, v [B,H,L,D] and log_lambda [H], [B,H,L] or absent."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # far tokens' weights are subnormal, and those cost ten times as much
    tensors = load_file(inputs)
    q, k, v = (tensors[name].to(getattr(torch, dtype)) for name in ('q', 'k', 'v'))
    function = torch.compile(FORMS[form]) if compiled else FORMS[form]

    def run():
        with torch.inference_mode():
            return function(q, k, v, tensors.get('log_lambda'), chunk)
    return run
