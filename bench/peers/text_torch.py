"""BERT's encoder and masked language head in PyTorch, with softmax attention (math.md §7)."""
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file


class Bert(torch.nn.Module):
    def __init__(self, weights, heads, layers, epsilon):
        super().__init__()
        self.p = torch.nn.ParameterDict({name.replace('.', '/'): torch.nn.Parameter(w, requires_grad=False)
                                         for name, w in weights.items()})
        self.heads, self.layers, self.epsilon = heads, layers, epsilon

    def at(self, name):
        return self.p[name.replace('.', '/')]

    def linear(self, x, name):
        return F.linear(x, self.at(name + '.weight'), self.at(name + '.bias'))

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.at(name + '.weight'), self.at(name + '.bias'), self.epsilon)

    def forward(self, ids):
        batch, length = ids.shape
        e = 'bert.embeddings.'
        x = F.embedding(ids, self.at(e + 'word_embeddings.weight')) + self.at(e + 'token_type_embeddings.weight')[0]
        x = self.norm(x + self.at(e + 'position_embeddings.weight')[:length], e + 'LayerNorm')
        for i in range(self.layers):
            b = f'bert.encoder.layer.{i}.'
            q, k, v = (self.linear(x, f'{b}attention.self.{n}').view(batch, length, self.heads, -1).transpose(1, 2)
                       for n in ('query', 'key', 'value'))
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
            x = self.norm(x + self.linear(y, b + 'attention.output.dense'), b + 'attention.output.LayerNorm')
            h = self.linear(F.gelu(self.linear(x, b + 'intermediate.dense')), b + 'output.dense')
            x = self.norm(x + h, b + 'output.LayerNorm')
        t = 'cls.predictions.transform.'
        x = self.norm(F.gelu(self.linear(x[:, 0], t + 'dense')), t + 'LayerNorm')
        return F.linear(x, self.at(e + 'word_embeddings.weight'), self.at('cls.predictions.bias'))


def make(inputs, threads, dtype='float32', compiled=False):
    """The model of the file's size and weights on the texts of FILE.ids: logits of each text's first token."""
    torch.set_num_threads(threads)
    kind = getattr(torch, dtype)
    with safe_open(inputs, 'pt') as file:
        config = file.metadata()
    if config['mask_type'] != 'softmax':
        raise NotImplementedError(f'no peer for {config["mask_type"]}')
    model = Bert({name: w.to(kind) for name, w in load_file(inputs).items()}, int(config['num_attention_heads']),
                 int(config['num_hidden_layers']), float(config['layer_norm_eps'])).eval()
    ids = load_file(inputs + '.ids')['ids']
    function = torch.compile(model) if compiled else model

    def run():
        with torch.inference_mode():
            return function(ids)
    return run
