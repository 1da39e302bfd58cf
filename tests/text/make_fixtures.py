#!/usr/bin/env python3
"""Writes data/NAME.vocab.txt and data/NAME.jsonl: what Hugging Face's tokenizers (0.23.3) make of texts with a BERT
vocabulary that they learn from the same texts. They are in the repository; run this after changing it:

    pip install tokenizers==0.23.3 && python3 make_fixtures.py

A line of NAME.jsonl is one call: text, perhaps pair and max_length; ids, type_ids, offsets (in characters, of each
token's own text), special_tokens_mask, and the ids decoded with and without special tokens. Characters are those that
Unicode 3.2 and today's put in the same category, since tables of tokenizers are of different ages; emoji besides."""

import json
import random
import unicodedata
from pathlib import Path

from tokenizers import BertWordPieceTokenizer

folder = Path(__file__).parent / "data"
random.seed(20250224)

sentences = """It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.
"My dear Mr. Bennet," said his lady to him one day, "have you heard that Netherfield Park is let at last?"
I don't think they've said we're going; it's 3.14 or $5.00 (50 %)... isn't it?
The capital of France is [MASK]. [CLS] and [SEP] stand alone, a[MASK]b does not. [mask] [ MASK ] [PAD][UNK]
Crème brûlée à la carte, naïve façade, Ångström, Straße STRASSE ẞ, İstanbul'da ILIK ısı, Việt Nam, Čeština
Σίσυφος ΣΊΣΥΦΟΣ ΟΔΟΣ, Москва ЁЛКА ёлка й, עִבְרִית שָׁלוֹם, العَرَبِيَّة, हिन्दी भाषा, ภาษาไทย
我们在 Tokyo東京 learn 機械学習と自然言語処理。日本語のカタカナ、ひらがな
한국어 형태소 분석 안녕하세요 각 각
emoji 😀😃 👩‍👩‍👧 🇫🇷 ❤️ and ✂ tabs\tand\r\nlines\u2028too\u00a0no break\u3000wide
zero\u200bwidth \ufeffBOM soft\u00adhyphen nul\u0000bell\u0007del\u007f\ufffd x\u0085y
e\u0301e\u0301\u0323 q\u0323\u0307 q\u0307\u0323 \u0301 \u0301a ﬁn ½ ² Ⅷ ㎏ Ａ ｱ 〜 — – ‘quotes’ «guillemets» … ¿qué? ¡sí!
豈 㐀 \U00020000 \U0002f800 \U0002b81f\U0002b820 々 〇 ー
unaffable embeddings tokenization pretraining Transformer's O'Neill's e-mail under_score C++ C# a/b user@example.com #tag
 leading and trailing   spaces  

""".split("\n")
sentences = [s.encode().decode("unicode_escape").encode("latin-1").decode() if "\\" in s else s for s in sentences]
sentences += ["w" * n for n in (99, 100, 101)] + ["é" * 100, "e\u0301" * 100 + "x", "long" * 30 + " ok"]

blocks = [(0x20, 0x7F)] * 6 + [(0xA0, 0x250)] * 3 + [
    (0, 0x20), (0x300, 0x370), (0x370, 0x530), (0x5D0, 0x700), (0x900, 0xE80), (0x1100, 0x1200), (0x1E00, 0x2000),
    (0x2000, 0x2070), (0x20A0, 0x2700), (0x3000, 0x3130), (0x3400, 0x4DB5), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3),
    (0xE000, 0xE010), (0xF900, 0xFA6B), (0xFE30, 0xFFFF), (0x1D400, 0x1D7FF), (0x1F600, 0x1F640)]


def steady(c):
    return unicodedata.category(c) == unicodedata.ucd_3_2_0.category(c) or c >= "\U0001f600"


def random_text():
    text = ""
    for _ in range(random.randint(1, 20)):
        first, last = random.choice(blocks)
        letters = (chr(random.randrange(first, last)) for _ in range(random.randint(1, 4)))
        text += "".join(c for c in letters if steady(c)) + random.choice(["", "", " ", "[MASK]", ".", "\u0301"])
    return text


texts = sentences + [random_text() for _ in range(90)]
configurations = {
    "uncased": dict(lowercase=True),
    "cased": dict(lowercase=False),
    "accents": dict(lowercase=True, strip_accents=False),
    "plain": dict(lowercase=False, strip_accents=True, handle_chinese_chars=False),
}
folder.mkdir(exist_ok=True)
for name, options in configurations.items():
    tokenizer = BertWordPieceTokenizer(**options)
    tokenizer.train_from_iterator(texts[:90], vocab_size=1500, min_frequency=2, limit_alphabet=700, show_progress=False)
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    (folder / f"{name}.vocab.txt").write_text("".join(token + "\n" for token in vocabulary), encoding="utf-8")
    tokenizer = BertWordPieceTokenizer(vocab={token: id for id, token in enumerate(vocabulary)}, **options)
    calls = [(text, None, None) for text in (texts if name in ("uncased", "cased") else texts[:60])]
    for _ in range(40):
        pair = random.choice(texts) if random.random() < 0.75 else None
        calls.append((random.choice(texts), pair, random.randint(3, 40)))
    with open(folder / f"{name}.jsonl", "w") as file:
        for text, pair, max_length in calls:
            tokenizer.no_truncation()
            if max_length:
                tokenizer.enable_truncation(max_length)
            encoding = tokenizer.encode(text, pair)
            call = {"text": text}
            if pair is not None:
                call["pair"] = pair
            if max_length:
                call["max_length"] = max_length
            call |= {
                "ids": encoding.ids, "type_ids": encoding.type_ids, "offsets": sum(encoding.offsets, ()),
                "special_tokens_mask": encoding.special_tokens_mask, "decoded": tokenizer.decode(encoding.ids),
                "decoded_whole": tokenizer.decode(encoding.ids, skip_special_tokens=False)}
            file.write(json.dumps(call, separators=(",", ":")) + "\n")
