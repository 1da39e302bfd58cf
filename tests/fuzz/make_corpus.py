#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets: small files of every kind, well-formed and not. They are in the repository;
run this after changing it:  python3 make_corpus.py"""

import json
import struct
from pathlib import Path

folder = Path(__file__).parent / "corpus" / "safetensors"


def save(name, header, data=b"", length=None):
    header = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    header = header + b" " * (-len(header) % 8) if length is None else header
    length = len(header) if length is None else length
    (folder / name).write_bytes(struct.pack("<Q", length) + header + data)


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


folder.mkdir(parents=True, exist_ok=True)
sizes = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
         "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8}
every, at = {"__metadata__": {"key": "value", "é": "\n"}}, 0
for dtype, size in sizes.items():
    every[dtype] = tensor(dtype, [2], at, at + 2 * size)
    at += 2 * size
save("every_dtype", every, bytes(i * 37 % 256 for i in range(at)))
save("empty_header", {})
save("scalar", {"s": tensor("F32", [], 0, 4)}, b"\0\0\x80?")
save("matrix", {"m": tensor("F32", [2, 3], 0, 24)}, bytes(24))
save("cube", {"c": tensor("F16", [1, 2, 2], 0, 8)}, bytes(range(8)))
save("no_elements", {"e": tensor("F32", [4, 0], 0, 0), "x": tensor("U8", [1], 0, 1)}, b"\1")
save("unaligned", {"b": tensor("U8", [1], 0, 1), "d": tensor("F64", [1], 1, 9)}, bytes(9))
save("escapes", b'{"a\\u0000\\"\\ud83d\\ude00":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}')
save("truncated_data", {"m": tensor("F32", [2, 3], 0, 24)}, bytes(23))
save("truncated_header", b'{"m":{"dtype":"F3')
save("absurd_length", b"{}", length=2**64 - 1)
save("length_beyond_file", b"{}", length=3)
save("overlap", {"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [4], 2, 6)}, bytes(6))
save("hole", {"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [4], 5, 9)}, bytes(9))
save("out_of_range", {"a": tensor("U8", [4], 2**63 - 5, 2**63 - 1)}, bytes(4))
save("begin_after_end", {"a": tensor("U8", [0], 4, 0)}, bytes(4))
save("wrong_size", {"a": tensor("F32", [2], 0, 4)}, bytes(4))
save("overflow", {"a": tensor("F32", [2**62, 2**62, 0], 0, 0)})
save("negative", {"a": tensor("F32", [-1], 0, 4)}, bytes(4))
save("real_number", b'{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4e0]}}', bytes(4))
save("unknown_dtype", {"a": tensor("F128", [1], 0, 16)}, bytes(16))
save("same_name", b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}')
save("same_key", b'{"__metadata__":{"k":"1","k":"2"}}')
save("same_field", b'{"a":{"dtype":"U8","dtype":"I8"}}')
save("metadata_number", {"__metadata__": {"k": 1}})
save("invalid_utf8", b'{"\xc0\xaf":{}}')
save("lone_surrogate", b'{"\\ud800":{}}')
save("nested", b'{"a":' + b"[" * 200)
save("nul", b"{}\0{}")
(folder / "short").write_bytes(b"\2\0\0")

images = Path(__file__).parent / "corpus" / "images"
images.mkdir(parents=True, exist_ok=True)


def idx(*words, data=b""):
    return struct.pack(">%dI" % len(words), *words) + data


for name, content in {
    "idx1": idx(0x801, 3, data=b"\1\2\3"),
    "idx3": idx(0x803, 2, 2, 3, data=bytes(range(12))),
    "idx3_empty": idx(0x803, 0, 28, 28),
    "idx3_short": idx(0x803, 2, 2, 3, data=bytes(11)),
    "idx3_overflow": idx(0x803, 2**31, 2**31, 4),
    "idx3_empty_overflow": idx(0x803, 0, 2**32 - 129, 2**32 - 1),
    "idx_header": idx(0x803, 1),
    "idx_float": idx(0xD01, 1, data=bytes(4)),
    "gzip": b"\x1f\x8b\x08\0",
    "cifar10": b"\7" + bytes(i * 37 % 256 for i in range(3072)),
    "cifar10_label": b"\x0b" + bytes(3072),
    "cifar100": b"\3\x63" + bytes(3072),
    "ppm": b"P6\n# comment\n2 1\n255\n123456",
    "pgm_16": b"P5 2 1 65535\n\0\1\2\3",
    "pgm_dark": b"P5 1 1 7 \5",
    "ppm_short": b"P6 2 2 255\n123",
    "ppm_absurd": b"P6 178956970 178956970 255\n",
    "ppm_cut": b"P6 2 1 255",
}.items():
    (images / name).write_bytes(content)

# fuzz_text: the first byte says what the rest is read as.
folder = Path(__file__).parent / "corpus" / "text"
folder.mkdir(parents=True, exist_ok=True)
special = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
for name, text in {
    "uncased": "uAb\u00e9E\u0301\u0323 [MASK]b\u200b\u6771. \ud55c \u0130\t\u2028",
    "marks": "u\u302e\U0001d165e\u0301\u0323\u0301",
    "cased": "cAB ab [CLS][UNK] \u00c9",
    "invalid_utf8": b"ua\xc0\xaf\xed\xa0\x80b\xf4\x90\x80\x80\xe6\x9d",
    "train": "taab aab ab ba caf\u00e9 [SEP] " + "a" * 120,
    "vocabulary": "v" + special + "the\r\n##s\n\u00e9\n",
    "vocabulary_twice": "v" + special + "a\na\n",
    "paragraphs": "pone\ntwo\n\n \nthree",
    "json_lines": 'j{"text":"caf\\u00e9","url":{"a":[1,null]}}\n\n{"text":3}\n',
    "cola": "0gj04\t1\t\tA.\ngj04\t0\t*\tB.\n",
    "cola_test": "0index\tsentence\n0\tA.\n",
    "sst2": "1sentence\tlabel\na \t1\n",
    "mrpc": "2\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\t\"A\tB\n",
    "qqp": "Did\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\n3\t4\t5\tA\tB\t0\n",
    "stsb": "4sentence1\tsentence2\tscore\na\tb\t3.800\na\tb\t6\n",
    "mnli": "5sentence1\tsentence2\tlabel1\tgold_label\na\tb\tneutral\tcontradiction\n",
    "qnli": "6index\tquestion\tsentence\tlabel\n0\ta\tb\tnot_entailment\n",
    "rte": "7index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n",
}.items():
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
